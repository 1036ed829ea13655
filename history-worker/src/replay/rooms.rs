//! Which rooms are made anew, one after the other.

use std::collections::VecDeque;

use protocol::query::RoomLeft;
use protocol::{RoomSlug, SealedEvent, Timestamp, subject};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::shard::Shard;
use crate::unknown::{self, Unknown};

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
    Done,
}

/// The next room.
pub enum Found {
    Room {
        room: RoomSlug,
        generation: u64,
    },
    /// It stays as it is.
    Left(RoomLeft),
}

impl Rooms {
    pub const fn one(room: RoomSlug) -> Self {
        Self { left: Cursor::One(room), ahead: VecDeque::new() }
    }

    pub const fn all() -> Self {
        Self { left: Cursor::Known { after: None }, ahead: VecDeque::new() }
    }

    /// The next room, of those that the log has up to `applied`.
    pub async fn next(&mut self, shard: &Shard, applied: u64) -> Result<Option<Found>, Error> {
        loop {
            if self.ahead.is_empty() && !self.look_ahead(shard, applied).await? {
                return Ok(None);
            }
            let Some((room, behind)) = self.ahead.pop_front() else { continue };
            self.left = behind;
            if let Some(found) = looked_at(shard, room).await? {
                return Ok(Some(found));
            }
        }
    }

    /// Looks which rooms come next; says whether there may be any.
    async fn look_ahead(&mut self, shard: &Shard, applied: u64) -> Result<bool, Error> {
        match self.left.clone() {
            Cursor::Done => return Ok(false),
            Cursor::One(room) => self.ahead.push_back((room, Cursor::Done)),
            Cursor::Known { after } => self.known(shard, after.as_ref()).await?,
            Cursor::Unknown { after } => self.unknown(shard, after, applied).await?,
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
        let of_shard = of_shard.filter(|room| subject::Shard::of(room, part.shards) == part.shard);
        self.ahead.extend(of_shard.map(|room| (room.clone(), Cursor::Known { after: Some(room) })));
        Ok(())
    }

    async fn unknown(&mut self, shard: &Shard, after: u64, applied: u64) -> Result<(), Error> {
        let with = (&shard.broker, &shard.store);
        let Unknown { rooms, next } = unknown::rooms(shard.part, with, after, applied).await?;
        self.left = next.map_or(Cursor::Done, |after| Cursor::Unknown { after });
        self.ahead.extend(rooms.into_iter().map(|(seq, room)| (room, Cursor::Unknown { after: seq })));
        Ok(())
    }
}

/// Whether the log has all of a room; `None` for a room that is being erased. What it has lost of a room, no history made from it has.
async fn looked_at(shard: &Shard, room: RoomSlug) -> Result<Option<Found>, Error> {
    let (stream, log) = (shard.part.shard.stream(), shard.part.shard.log(&room));
    if shard.store.is_ending(shard.part, &room).await? {
        return Ok(None);
    }
    let first = shard.broker.next_confirmed(&stream, &log, 0).await?;
    let reason = match first {
        None => "the log has nothing of it".to_owned(),
        Some(first) if is_a_beginning(&first.payload) => {
            let live = shard.store.rooms([&room]).await?.remove(&room);
            // Above all that were ever begun, also of those that were given up.
            let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
            let generation = live.map_or(0, |state| state.generation + 1).max(now);
            return Ok(Some(Found::Room { room, generation }));
        }
        Some(first) => format!("the log has lost its beginning: it has nothing of it before {}", first.seq),
    };
    Ok(Some(Found::Left(RoomLeft { room, reason })))
}

/// Whether an entry of the log is one with which a room's log can begin.
pub fn is_a_beginning(payload: &[u8]) -> bool {
    SealedEvent::decode(payload).is_ok_and(|event| event.begins_log())
}
