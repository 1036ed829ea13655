//! Which rooms are made anew, one after the other.

use std::collections::{HashMap, VecDeque};

use broker::Record;
use futures_util::future::try_join_all;
use protocol::query::RoomLeft;
use protocol::{RoomSlug, SealedEvent, Timestamp};
use serde::{Deserialize, Serialize};

use super::aged::Looking;
use super::seed::Seed;
use crate::Error;
use crate::projection::RoomState;
use crate::shard::Shard;
use crate::unknown::{self, Unknown};

/// Entries of the log that are projected at once. The projection waits so long.
pub const PIECE: usize = 500;
/// Rooms that are looked at side by side.
const AT_ONCE: usize = 32;

/// The rooms that are still to be made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rooms {
    left: Cursor,
    /// The next ones, each with the cursor behind it.
    #[serde(skip)]
    ahead: VecDeque<(RoomSlug, Cursor)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cursor {
    One(RoomSlug),
    /// Those of the history behind this one.
    Known {
        after: Option<RoomSlug>,
    },
    /// Those that the log has behind this sequence and the history has not.
    Unknown {
        after: u64,
    },
    /// Those behind this one that a snapshot gives back, of which neither has anything.
    Seeded {
        after: Option<RoomSlug>,
    },
    Done,
}

/// A room as it was looked at.
pub struct Looked {
    pub room: RoomSlug,
    pub found: Found,
}

/// Whether the log has all of a room.
pub enum Found {
    /// It has, and this is how its log begins.
    Whole { generation: u64, first: Read },
    /// It has not, but a snapshot gives back what it lost.
    Seeded(Seed),
    /// It has not: the room stays as it is.
    Left(RoomLeft),
    /// The room is being erased, with all that was made of it.
    Ending,
}

/// Entries of a room's log.
pub struct Read {
    pub records: Vec<Record>,
    /// Whether there are no more up to where the log is applied.
    pub is_all: bool,
}

impl Rooms {
    pub const fn one(room: RoomSlug) -> Self {
        Self { left: Cursor::One(room), ahead: VecDeque::new() }
    }

    pub const fn all() -> Self {
        Self { left: Cursor::Known { after: None }, ahead: VecDeque::new() }
    }

    /// The next rooms, of those that the log has up to `applied`; none at the end. They come again until they are passed.
    pub async fn next(
        &mut self,
        shard: &Shard,
        applied: u64,
        seeds: Option<u64>,
    ) -> Result<Vec<Looked>, Error> {
        while self.ahead.is_empty() {
            if !self.look_ahead(shard, applied, seeds).await? {
                return Ok(Vec::new());
            }
        }
        let rooms = || self.ahead.iter().take(AT_ONCE).map(|(room, _)| room);
        let ending = shard.store.ending(shard.part).await?;
        let live = shard.store.rooms(rooms()).await?;
        let mut given = HashMap::new();
        if let Some(generation) = seeds {
            let seeds = shard.store.seeds(shard.part, rooms()).await?.into_iter();
            let ours = seeds.filter(|seed| seed.generation == generation);
            given.extend(ours.map(|seed| (seed.room.clone(), seed)));
        }
        let looked = rooms().map(|room| {
            // Above all that were ever begun, also of those that were given up.
            let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
            let generation = live.get(room).map_or(0, |state| state.generation + 1).max(now);
            let seed = given.remove(room);
            look_at(shard, (room, live.get(room)), (generation, ending.contains(room), seed), applied)
        });
        try_join_all(looked).await
    }

    /// So many of them are done, or are somebody else's to go on with.
    pub fn pass(&mut self, count: usize) {
        for (_, behind) in self.ahead.drain(..count) {
            self.left = behind;
        }
    }

    /// Looks which rooms come next; says whether there may be any.
    async fn look_ahead(&mut self, shard: &Shard, applied: u64, seeds: Option<u64>) -> Result<bool, Error> {
        match self.left.clone() {
            Cursor::Done => return Ok(false),
            Cursor::One(room) => self.ahead.push_back((room, Cursor::Done)),
            Cursor::Known { after } => self.known(shard, after.as_ref()).await?,
            Cursor::Unknown { after } => self.unknown(shard, after, applied).await?,
            Cursor::Seeded { .. } if seeds.is_none() => self.left = Cursor::Done,
            Cursor::Seeded { after } => self.seeded(shard, after.as_ref()).await?,
        }
        Ok(true)
    }

    async fn known(&mut self, shard: &Shard, after: Option<&RoomSlug>) -> Result<(), Error> {
        let rooms = shard.store.rooms_after(after).await?;
        self.left = match rooms.last() {
            Some((last, _)) => Cursor::Known { after: Some(last.clone()) },
            None => Cursor::Unknown { after: 0 },
        };
        let part = shard.part;
        let of_shard = rooms.into_iter().map(|(room, _)| room);
        let of_shard = of_shard.filter(|room| part.has(room));
        self.ahead.extend(of_shard.map(|room| (room.clone(), Cursor::Known { after: Some(room) })));
        Ok(())
    }

    async fn unknown(&mut self, shard: &Shard, after: u64, applied: u64) -> Result<(), Error> {
        let with = (&shard.broker, &shard.store);
        let Unknown { rooms, next } = unknown::rooms(shard.part, with, after, applied).await?;
        self.left = next.map_or(Cursor::Seeded { after: None }, |after| Cursor::Unknown { after });
        self.ahead.extend(rooms.into_iter().map(|(seq, room)| (room, Cursor::Unknown { after: seq })));
        Ok(())
    }

    async fn seeded(&mut self, shard: &Shard, after: Option<&RoomSlug>) -> Result<(), Error> {
        let seeds = shard.store.seeds_after(shard.part, after).await?;
        let held = shard.store.rooms(seeds.iter().map(|seed| &seed.room)).await?;
        self.left = match seeds.last() {
            Some(last) => Cursor::Seeded { after: Some(last.room.clone()) },
            None => Cursor::Done,
        };
        let rooms = seeds.into_iter().map(|seed| seed.room).filter(|room| !held.contains_key(room));
        self.ahead.extend(rooms.map(|room| (room.clone(), Cursor::Seeded { after: Some(room) })));
        Ok(())
    }
}

/// What the log has lost of a room, no history made from it has.
async fn look_at(
    shard: &Shard,
    (room, live): (&RoomSlug, Option<&RoomState>),
    (generation, is_ending, seed): (u64, bool, Option<Seed>),
    applied: u64,
) -> Result<Looked, Error> {
    let looked = |found| Ok(Looked { room: room.clone(), found });
    if is_ending {
        return looked(Found::Ending);
    }
    let (stream, log) = (shard.part.shard.stream(), shard.part.shard.log(room));
    let first = shard.broker.next_confirmed(&stream, &log, 0).await?;
    if first.as_ref().is_some_and(|first| is_a_beginning(&first.payload)) {
        let first = read(shard, room, 0, applied).await?;
        return looked(Found::Whole { generation, first });
    }
    let first = first.map(|first| first.seq);
    let lost = match first {
        None => "the log has nothing of it".to_owned(),
        Some(first) => format!("the log has lost its beginning: it has nothing of it before {first}"),
    };
    let Some(seed) = seed else { return looked(Found::Left(RoomLeft { room: room.clone(), reason: lost })) };
    let (part, broker, store) = (shard.part, &shard.broker, &shard.store);
    let looking = Looking { part, broker, store, applied };
    let reason = if live.is_some_and(|live| live.generation >= seed.generation) {
        format!("{lost}; it was made anew after the snapshot was given")
    } else if looking.covers(seed.applied, (room, live), first).await? {
        return looked(Found::Seeded(seed));
    } else {
        format!("{lost}, and the snapshot reaches up to {}: what lies between is in neither", seed.applied)
    };
    looked(Found::Left(RoomLeft { room: room.clone(), reason }))
}

/// The next entries of a room's log behind a sequence, up to `applied`.
pub async fn read(shard: &Shard, room: &RoomSlug, after: u64, applied: u64) -> Result<Read, Error> {
    let (stream, log) = (shard.part.shard.stream(), shard.part.shard.log(room));
    let batch = shard.broker.read_after(&stream, &log, after, PIECE).await?;
    let mut records = batch.records;
    let found = records.len();
    records.retain(|record| record.seq <= applied);
    if batch.more && records.len() == found {
        return Ok(Read { records, is_all: false });
    }
    // A replica that lags may have answered, of which the leader knows more.
    let last = records.last().map_or(after, |record| record.seq);
    let next = shard.broker.next_known(&stream, &log, last).await?;
    Ok(Read { records, is_all: next.is_none_or(|next| next.seq > applied) })
}

/// Whether an entry of the log is one with which a room's log can begin.
pub fn is_a_beginning(payload: &[u8]) -> bool {
    SealedEvent::decode(payload).is_ok_and(|event| event.begins_log())
}
