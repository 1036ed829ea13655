//! What the log can give back before a replay begins, and giving the rest of a snapshot to the history worker.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use archive::{Lines, Opened, names};
use broker::Broker;
use history_worker::snapshot::{Begin, Line};
use protocol::RoomSlug;
use protocol::query::{
    AgedRoom, Among, AskReplay, HistoryAnswer, HistoryQuery, Look, Looked, Replay, SeedPiece, Seeding,
};
use protocol::subject::Shard;
use serde_json::{Value, json};
use service::process::say;

use crate::backup::refused;
use crate::history::{NOTHING_APPLIED, ask, says_nothing};
use crate::{Error, reader};

/// How long a history worker may take for one part, or to write one piece.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rooms that are named before a replay.
const NAMED: usize = 10;
/// Rooms in one question.
const ROOMS_AT_ONCE: usize = 200;
/// Bytes of lines in a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// What of a shard is to be made anew, and what is known of it before.
pub struct Prepared {
    pub shard: Shard,
    pub what: Replay,
    rooms: u64,
    /// Rooms whose beginning the log has lost.
    aged: Vec<AgedRoom>,
    snapshot: Option<Snapshot>,
}

/// The snapshot of a shard, whose lines were looked through once.
struct Snapshot {
    begin: Begin,
    rooms: HashSet<RoomSlug>,
}

impl Prepared {
    /// Looks through the rooms that are to be made anew; with a snapshot also through that.
    ///
    /// # Errors
    /// When the history worker does not answer, or the snapshot has nothing of the shard.
    pub async fn of(
        broker: &Broker,
        (shard, what): (Shard, Replay),
        from: Option<&Opened>,
    ) -> Result<Self, Error> {
        let snapshot = match from {
            None => None,
            Some(from) => Snapshot::of(from, shard, &what).await?,
        };
        let upto = snapshot.as_ref().map(|snapshot| snapshot.begin.checkpoint.applied);
        let mut prepared = Self { shard, what, rooms: 0, aged: Vec::new(), snapshot };
        let first = match &prepared.what {
            Replay::Room(room) => Among::Room(room.clone()),
            Replay::Shard => Among::Known { after: None },
        };
        prepared.look(broker, first, upto).await?;
        if prepared.what == Replay::Shard
            && let Some(snapshot) = &prepared.snapshot
        {
            let rooms: Vec<_> = snapshot.rooms.iter().cloned().collect();
            for some in rooms.chunks(ROOMS_AT_ONCE) {
                prepared.look(broker, Among::Strange(some.to_vec()), upto).await?;
            }
        }
        // A room that the log alone knows may have been met twice.
        prepared.aged.sort_by(|one, other| one.room.cmp(&other.room));
        prepared.aged.dedup_by(|one, other| one.room == other.room);
        Ok(prepared)
    }

    async fn look(&mut self, broker: &Broker, first: Among, snapshot: Option<u64>) -> Result<(), Error> {
        let mut next = Some(first);
        while let Some(rooms) = next {
            let looked = |answer| match answer {
                HistoryAnswer::Looked(looked) => Some(looked),
                _ => None,
            };
            let query = HistoryQuery::Replay(AskReplay::Look(Look { rooms, snapshot }));
            let Looked { rooms, aged, next: further } =
                match ask(broker, self.shard, query, PATIENCE, looked).await {
                    Ok(looked) => looked,
                    // There is no history yet.
                    Err(why) if why == NOTHING_APPLIED => return Ok(()),
                    Err(why) => return Err(says_nothing(self.shard, &why)),
                };
            self.rooms += rooms;
            self.aged.extend(aged);
            next = further;
        }
        Ok(())
    }

    /// Says what the log can give back, and what the snapshot.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn say(&self, broker: &Broker) -> Result<(), Error> {
        let log = broker.stream(&self.shard.stream()).await.map_err(crate::ground::fault)?;
        let (first, last) = (log.first_seq, log.last_seq);
        say(&if reader::is_a_person() { self.sentences(first, last) } else { self.line(first, last) });
        Ok(())
    }

    fn line(&self, first: u64, last: u64) -> String {
        let covered = self.snapshot.as_ref().map(|_| self.given_back().count());
        let names: Vec<_> = self.aged.iter().take(NAMED).map(|aged| aged.room.as_str()).collect();
        json!({ "shard": self.shard.0, "log_first": first, "log_last": last, "of_rooms": self.rooms,
            "lost_beginnings": self.aged.len(), "lost_rooms": names, "given_back": covered })
        .to_string()
    }

    fn sentences(&self, first: u64, last: u64) -> String {
        let shard = self.shard.0;
        let log = format!(
            "The log of shard {shard} reaches from {first} to {last}. The history will have what is in it and nothing else: lines that \
             say that a message was deleted go."
        );
        if self.aged.is_empty() {
            return format!("{log} It has the beginning of each of {} rooms.", self.rooms);
        }
        let names = named(self.aged.iter());
        let lost = format!(
            "{log} Of {} rooms it has lost the beginning of {}: {names}.",
            self.rooms,
            self.aged.len()
        );
        let Some(snapshot) = &self.snapshot else {
            return format!(
                "{lost} They stay as they are; --snapshot PLACE gives back what a snapshot has of them."
            );
        };
        let Begin { at, checkpoint, .. } = &snapshot.begin;
        let (given, applied) = (self.given_back().count(), checkpoint.applied);
        let snapshot =
            format!("The snapshot of {at}, up to {applied}, gives back what it has lost of {given} of them");
        let left = self.aged.iter().filter(|aged| !self.gives_back(aged));
        match self.aged.len() - given {
            0 => format!("{lost} {snapshot}."),
            _ => format!("{lost} {snapshot}; the others stay as they are: {}.", named(left)),
        }
    }

    fn gives_back(&self, aged: &AgedRoom) -> bool {
        aged.covered && self.snapshot.as_ref().is_some_and(|snapshot| snapshot.rooms.contains(&aged.room))
    }

    fn given_back(&self) -> impl Iterator<Item = &AgedRoom> {
        self.aged.iter().filter(|aged| self.gives_back(aged))
    }

    /// Refuses a snapshot that gives nothing back of what the log has lost.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason.
    pub fn check(&self, is_wanted: bool) -> Result<(), Error> {
        let Some(lost) = self.aged.first().filter(|_| is_wanted && self.given_back().next().is_none()) else {
            return Ok(());
        };
        let shard = self.shard.0;
        let Some(snapshot) = &self.snapshot else {
            return Err(Error::Refused(format!(
                "the snapshot has nothing of shard {shard}, of which the log has lost something; nothing was changed"
            )));
        };
        let upto = snapshot.begin.checkpoint.applied;
        if !snapshot.rooms.contains(&lost.room) {
            return Err(Error::Refused(format!(
                "the snapshot has nothing of {}, whose beginning the log has lost; nothing was changed",
                lost.room
            )));
        }
        let begins = lost.first.map_or_else(|| "at all".to_owned(), |first| format!("before {first}"));
        Err(Error::Refused(format!(
            "the snapshot reaches up to {upto} of the log of shard {shard}, which has nothing of {} {begins}: what lies between is in \
             neither, take a newer snapshot; nothing was changed",
            lost.room
        )))
    }

    /// Gives the history worker what the log has lost, and gives under which generation it is; nothing where there is nothing.
    ///
    /// # Errors
    /// When the worker refuses it, or the snapshot can't be read: nothing of it is used then.
    pub async fn give(&self, broker: &Broker, from: &Opened) -> Result<Option<u64>, Error> {
        let wanted: HashSet<_> = self.given_back().map(|aged| aged.room.as_str()).collect();
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| !wanted.is_empty()) else { return Ok(None) };
        let Begin { shard, shards, checkpoint, .. } = &snapshot.begin;
        let seeding = Seeding {
            shard: *shard,
            shards: *shards,
            stream: checkpoint.stream,
            applied: checkpoint.applied,
            applied_at: checkpoint.applied_at,
        };
        let generation = self.seeds(broker, AskReplay::Seed(seeding)).await?;
        let mut giving =
            Giving { prepared: self, broker, generation, room: None, lines: Vec::new(), bytes: 0 };
        let mut lines = lines_of(from, self.shard).await?;
        let (mut is_wanted, mut rooms, mut rows) = (false, 0_u64, 0_u64);
        loop {
            let line: Value = lines.next().await.map_err(refused)?.ok_or_else(|| no_end(self.shard))?;
            if line.get("end").is_some() {
                break;
            }
            if let Some(room) = line.get("room") {
                is_wanted = room["room"].as_str().is_some_and(|room| wanted.contains(room));
                rooms += u64::from(is_wanted);
            } else if is_beside_rooms(&line) {
                is_wanted = false;
            }
            if is_wanted {
                rows += u64::from(line.get("row").is_some());
                giving.push(line).await?;
            }
        }
        giving.give().await?;
        if reader::is_a_person() {
            say(&format!("Shard {shard}: the snapshot has given back {rooms} rooms with {rows} rows."));
        } else {
            say(&json!({ "shard": shard, "given_rooms": rooms, "given_rows": rows }).to_string());
        }
        Ok(Some(generation))
    }

    async fn seeds(&self, broker: &Broker, asked: AskReplay) -> Result<u64, Error> {
        let taken = |answer| match answer {
            HistoryAnswer::Seeding { generation } => Some(generation),
            _ => None,
        };
        let answer = ask(broker, self.shard, HistoryQuery::Replay(asked), PATIENCE, taken).await;
        answer.map_err(|why| {
            Error::Refused(format!("the history of shard {} takes no snapshot: {why}", self.shard.0))
        })
    }
}

/// The lines that are given next.
struct Giving<'a> {
    prepared: &'a Prepared,
    broker: &'a Broker,
    generation: u64,
    /// Of which room they are.
    room: Option<Value>,
    lines: Vec<Value>,
    bytes: usize,
}

impl Giving<'_> {
    async fn push(&mut self, line: Value) -> Result<(), Error> {
        if line.get("room").is_some() {
            self.room = Some(line.clone());
        } else if self.lines.is_empty() {
            // Each piece says of which room it is.
            self.lines.extend(self.room.clone());
        }
        self.bytes += line.to_string().len();
        self.lines.push(line);
        if self.bytes >= PIECE_BYTES { self.give().await } else { Ok(()) }
    }

    async fn give(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            let piece = SeedPiece { generation: self.generation, lines };
            self.prepared.seeds(self.broker, AskReplay::Rows(piece)).await?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// Nothing where the snapshot has nothing of the shard.
    async fn of(from: &Opened, shard: Shard, what: &Replay) -> Result<Option<Self>, Error> {
        if from.manifest().file(&names::history(shard)).is_none() {
            return Ok(None);
        }
        let mut lines = lines_of(from, shard).await?;
        let first = lines.next::<Line>().await.map_err(refused)?;
        let Some(Line::Begin(begin)) = first else { return Err(no_end(shard)) };
        if begin.format > Begin::FORMAT {
            return Err(refused(archive::Error::Newer { found: begin.format, known: Begin::FORMAT }));
        }
        let mut rooms = HashSet::new();
        while let Some(line) = lines.next::<HashMap<String, Value>>().await.map_err(refused)? {
            let room = line.get("room").and_then(|room| room["room"].as_str());
            let room = room.and_then(|room| RoomSlug::parse(room).ok());
            rooms.extend(room.filter(|room| is_in(room, what)));
        }
        Ok(Some(Self { begin, rooms }))
    }
}

fn is_in(room: &RoomSlug, what: &Replay) -> bool {
    match what {
        Replay::Shard => true,
        Replay::Room(one) => one == room,
    }
}

async fn lines_of(from: &Opened, shard: Shard) -> Result<Lines, Error> {
    from.lines(&names::history(shard)).await.map_err(refused)
}

fn no_end(shard: Shard) -> Error {
    refused(archive::Error::Damaged { file: names::history(shard), why: "is no whole snapshot".to_owned() })
}

/// Behind the last room comes what the shard has beside them.
fn is_beside_rooms(line: &Value) -> bool {
    ["begin", "aside", "erase", "ended", "expired"].iter().any(|kind| line.get(kind).is_some())
}

fn named<'a>(rooms: impl Iterator<Item = &'a AgedRoom>) -> String {
    let mut names: Vec<_> = rooms.map(|aged| aged.room.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use history_worker::checkpoint::Checkpoint;
    use protocol::{StreamIdentity, Timestamp};

    fn room(name: &str) -> RoomSlug {
        RoomSlug::parse(name).unwrap()
    }

    fn prepared(lost: &[(&str, bool)], given: Option<&[&str]>) -> Prepared {
        let aged = |(name, covered): &(&str, bool)| AgedRoom {
            room: room(name),
            first: Some(17),
            covered: *covered,
        };
        let checkpoint = Checkpoint { applied: 12, ..Checkpoint::new(StreamIdentity(1)) };
        let begin = Begin { format: 1, shard: 0, shards: 1, at: Timestamp::from_millis(0), checkpoint };
        let snapshot =
            given.map(|given| Snapshot { begin, rooms: given.iter().copied().map(room).collect() });
        Prepared {
            shard: Shard(0),
            what: Replay::Shard,
            rooms: 40,
            aged: lost.iter().map(aged).collect(),
            snapshot,
        }
    }

    #[test]
    fn it_is_said_which_rooms_the_log_and_the_snapshot_can_give_back() {
        let whole = prepared(&[], None);
        assert!(whole.sentences(1, 90).ends_with("It has the beginning of each of 40 rooms."));
        let lost = prepared(&[("tea", false), ("chai", false)], None);
        let said = lost.sentences(10, 90);
        assert!(said.contains("lost the beginning of 2: tea, chai. They stay as they are"), "{said}");
        let some = prepared(&[("tea", true), ("chai", false), ("mate", true)], Some(&["tea", "chai"]));
        let said = some.sentences(10, 90);
        assert!(
            said.contains(
                "up to 12, gives back what it has lost of 1 of them; the others stay as they are: chai, mate."
            ),
            "{said}"
        );
        let line: Value = serde_json::from_str(&some.line(10, 90)).unwrap();
        let expected = json!({ "shard": 0, "log_first": 10, "log_last": 90, "of_rooms": 40, "lost_beginnings": 3,
            "lost_rooms": ["tea", "chai", "mate"], "given_back": 1 });
        assert_eq!(line, expected);
        let many: Vec<_> = (0..13).map(|number| (format!("room_{number}"), false)).collect();
        let many: Vec<_> = many.iter().map(|(name, covered)| (name.as_str(), *covered)).collect();
        let said = prepared(&many, None).sentences(10, 90);
        assert!(said.contains("room_9 and 3 more."), "{said}");
    }

    #[test]
    fn a_snapshot_that_gives_nothing_back_is_refused_with_the_reason() {
        let why = |prepared: &Prepared| prepared.check(true).unwrap_err().to_string();
        let hole = why(&prepared(&[("tea", false)], Some(&["tea"])));
        assert!(hole.contains("reaches up to 12") && hole.contains("nothing of tea before 17"), "{hole}");
        assert!(why(&prepared(&[("tea", true)], Some(&["chai"]))).contains("has nothing of tea"));
        assert!(why(&prepared(&[("tea", false)], None)).contains("has nothing of shard 0"));
        assert!(prepared(&[("tea", true), ("chai", false)], Some(&["tea"])).check(true).is_ok());
        assert!(
            prepared(&[], None).check(true).is_ok() && prepared(&[("tea", false)], None).check(false).is_ok()
        );
    }
}
