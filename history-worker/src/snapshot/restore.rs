//! Making a history of snapshots, in a database that has none.

use archive::{Lines, Opened, names};
use broker::Broker;
use protocol::RoomSlug;
use protocol::subject::Shard;
use service::process::say;

use super::{Begin, Line};
use crate::checkpoint::{Checkpoint, LogFacts};
use crate::projection::{Batch, Mark, Part, Place, RoomState};
use crate::store::{Store, StoreError};
use crate::{Config, Error, opened};

/// Entries that are written in one transaction.
const PIECE: usize = 1_000;

/// What was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    pub rooms: u64,
    pub rows: u64,
}

/// Restores from a place, after all of it was read once.
///
/// # Errors
/// As [`restore`]; [`Error::Start`] when there is no whole backup.
pub async fn restore_from(config: &Config, place: &str) -> Result<(), Error> {
    let backup = Opened::whole_at(place).await.map_err(unread)?;
    let restored = restore(config, &backup).await?;
    say(&format!("The history: {} rooms, {} rows.", restored.rooms, restored.rows));
    Ok(())
}

/// Writes the snapshots of a backup into the history's databases, which must be empty. The log must be there already, and continue
/// what the snapshots hold. One that was cut short is begun again.
///
/// # Errors
/// [`Error::Start`] with a sentence for what can't be restored, and [`Error::Parted`] when the log is another one: then nothing was
/// changed. Others when broker or database fail.
pub async fn restore(config: &Config, from: &Opened) -> Result<Restored, Error> {
    let (broker, shards) = opened::broker(config).await?;
    let mut restored = Restored::default();
    for (address, of_store) in &opened::databases(config)?.of_shards(shards).map_err(Error::Start)? {
        let mut files = Vec::new();
        // Of a shard whose log had nothing yet there is no snapshot.
        let has_one = |shard: &&Shard| from.manifest().file(&names::history(**shard)).is_some();
        for shard in of_store.iter().filter(has_one) {
            files.push(File::open(Part { shard: *shard, shards }, &broker, from).await?);
        }
        if files.is_empty() {
            continue;
        }
        let store = Store::open_to_restore(address).await.map_err(refused)?;
        let result = of_database(&store, files, &mut restored).await;
        store.close().await;
        result?;
    }
    Ok(restored)
}

async fn of_database(store: &Store, files: Vec<File>, restored: &mut Restored) -> Result<(), Error> {
    store.begin_restore().await.map_err(refused)?;
    let mut checkpoints = Vec::new();
    for file in files {
        checkpoints.push((file.part, file.checkpoint.clone()));
        file.load(store, restored).await?;
    }
    store.end_restore(&checkpoints).await?;
    Ok(())
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Refused(why) => Error::Start(why),
        other => Error::Store(other),
    }
}

fn unread(error: archive::Error) -> Error {
    Error::Start(error.to_string())
}

/// The snapshot of one shard.
struct File {
    part: Part,
    name: String,
    lines: Lines,
    /// As the log's life is called now.
    checkpoint: Checkpoint,
}

impl File {
    async fn open(part: Part, broker: &Broker, from: &Opened) -> Result<Self, Error> {
        let name = names::history(part.shard);
        let mut lines = from.lines(&name).await.map_err(unread)?;
        let Some(Line::Begin(begin)) = lines.next().await.map_err(unread)? else {
            return Err(damaged(&name, "does not begin as a snapshot does"));
        };
        if begin.format > Begin::FORMAT {
            return Err(unread(archive::Error::Newer { found: begin.format, known: Begin::FORMAT }));
        }
        if (begin.shard, begin.shards) != (part.shard.0, part.shards.first()) {
            return Err(Error::Start(format!(
                "{name} is of shard {} of a log that was cut into {} at first, but this one into {}",
                begin.shard,
                begin.shards,
                part.shards.first()
            )));
        }
        let checkpoint = continued(part, broker, begin.checkpoint).await?;
        Ok(Self { part, name, lines, checkpoint })
    }

    async fn load(mut self, store: &Store, restored: &mut Restored) -> Result<(), Error> {
        let (rooms, batch) = (Vec::new(), Batch::default());
        let mut loading = Loading { part: self.part, store, rooms, batch, entries: 0 };
        let mut count = 1;
        loop {
            let line = self.lines.next().await.map_err(unread)?;
            match line.ok_or_else(|| damaged(&self.name, "has no end"))? {
                Line::End { lines } if lines == count => break,
                Line::End { .. } => return Err(damaged(&self.name, "lacks lines")),
                line => {
                    restored.rooms += u64::from(matches!(line, Line::Room { .. }));
                    restored.rows += u64::from(matches!(line, Line::Row { .. }));
                    loading.take(line).await?;
                }
            }
            count += 1;
        }
        loading.write().await
    }
}

fn damaged(name: &str, why: &str) -> Error {
    unread(archive::Error::Damaged { file: name.to_owned(), why: why.to_owned() })
}

/// The checkpoint in the log that is there: a log that was restored too is called otherwise, but holds the same entries.
async fn continued(part: Part, broker: &Broker, checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
    let stream = part.shard.stream();
    let info = broker.stream(&stream).await?;
    let checkpoint = Checkpoint { stream: info.identity, ..checkpoint };
    let at_applied = broker.get(&stream, checkpoint.applied).await?.map(|record| record.at);
    let log = LogFacts { stream: info.identity, head: info.last_seq, at_applied };
    checkpoint.continues_in(log).map_err(|parted| Error::Parted { shard: part.shard, parted })?;
    Ok(checkpoint)
}

/// What is written next.
struct Loading<'a> {
    part: Part,
    store: &'a Store,
    /// The rooms of what is written; the last is the one of which more may come.
    rooms: Vec<(RoomSlug, RoomState)>,
    batch: Batch,
    entries: usize,
}

impl Loading<'_> {
    async fn take(&mut self, line: Line) -> Result<(), Error> {
        match line {
            Line::Room { room, state } => self.rooms.push((room, state)),
            Line::Row { number, kept } => {
                let place = self.place(number)?;
                self.batch.rows.insert(place, kept);
            }
            Line::Reaction { number, tag, user, given } => {
                let mark = Mark { place: self.place(number)?, tag, user };
                self.batch.marks.insert(mark, Some(given));
            }
            Line::Change(change) => self.batch.changes.push(change),
            Line::Text(text) => self.batch.texts.push(text),
            Line::Erase(entry) => drop(self.batch.erase.insert(entry.seq, entry)),
            Line::Ended(ended) => self.batch.ended.push(ended),
            Line::Expired(expired) => self.batch.expired.push(expired),
            Line::Aside(aside) => self.store.load_aside(self.part, &aside).await?,
            Line::Begin(_) | Line::End { .. } => {}
        }
        self.entries += 1;
        if self.entries >= PIECE { self.write().await } else { Ok(()) }
    }

    fn place(&self, number: u64) -> Result<Place, Error> {
        match self.rooms.last() {
            Some((room, _)) => Ok(Place::new(room, number)),
            None => Err(damaged(&names::history(self.part.shard), "has a row of no room")),
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let last = self.rooms.last().cloned();
        let rooms = std::mem::take(&mut self.rooms).into_iter().collect();
        self.store.load(self.part, &rooms, &self.batch).await?;
        self.rooms.extend(last);
        (self.batch, self.entries) = (Batch::default(), 0);
        Ok(())
    }
}
