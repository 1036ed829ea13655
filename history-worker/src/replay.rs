//! Making a history anew from the log, beside the one that is read, while people chat.
//!
//! It goes room by room: the room's log is projected under a new generation, piece by piece, and with the last piece the room's own
//! row names that generation, in one transaction. Whoever applies the shard does it between two batches, so no event comes between.
//! How far it is lies in the database, written with each piece: after a crash, or in another worker, it goes on there.

mod rooms;

use std::collections::HashMap;
use std::time::Duration;

use broker::Record;
use protocol::query::{Replay as What, Replaying, RoomLeft};
use protocol::{RoomSlug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::projection::RoomState;
use crate::shard::Shard;
use crate::{Error, projecting};
use rooms::{Found, Rooms};

pub use rooms::is_a_beginning;

/// Entries of the log that are projected at once. The projection waits so long.
const PIECE: usize = 500;
/// Pause when a replica of the log does not have yet what the leader has.
const LAGS: Duration = Duration::from_millis(500);

/// A history that is made anew, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// What is told of it.
    pub told: Replaying,
    /// What comes after the room that is made.
    rooms: Rooms,
    making: Option<Making>,
}

/// A room that is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Making {
    room: RoomSlug,
    generation: u64,
    /// Up to which sequence its log is projected.
    read: u64,
    /// The room as it was then.
    state: Option<RoomState>,
}

/// A piece of a room, as it is written.
#[derive(Debug)]
pub struct Piece {
    pub room: RoomSlug,
    pub generation: u64,
    pub batch: crate::projection::Batch,
    /// The sequences that were read: what of them was set aside before and is not now is not any more.
    pub read: Option<(u64, u64)>,
    /// The room as it is with the last piece, from which on it is read from here.
    pub ready: Option<RoomState>,
}

impl Replay {
    /// Of a shard that has been applied up to a checkpoint.
    pub fn new(what: What, checkpoint: &Checkpoint) -> Self {
        let totals = checkpoint.totals;
        let (rooms, of) = match &what {
            What::Room(room) => (Rooms::one(room.clone()), checkpoint.applied),
            What::Shard => (Rooms::all(), totals.events + totals.duplicates + totals.asides),
        };
        let told = Replaying {
            what,
            began_at: Timestamp::now(),
            ended_at: None,
            rooms: 0,
            entries: 0,
            done: 0,
            of,
            left: 0,
            left_rooms: Vec::new(),
        };
        Self { told, rooms, making: None }
    }

    pub const fn is_under_way(&self) -> bool {
        self.told.ended_at.is_none()
    }

    /// Goes on for one piece, or to the next room, and gives the pause until more can be done. `rooms` are those that the shard
    /// holds in memory.
    ///
    /// # Errors
    /// When log or database fail, or somebody else has moved the checkpoint: then read the replay from the database again.
    pub async fn step(
        &mut self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        rooms: &mut HashMap<RoomSlug, RoomState>,
    ) -> Result<Duration, Error> {
        match self.making.take() {
            Some(making) => self.make(shard, checkpoint, rooms, making).await,
            None => match self.rooms.next(shard, checkpoint.applied).await? {
                Some(Found::Room { room, generation }) => {
                    self.making = Some(Making { room, generation, read: 0, state: None });
                    Ok(Duration::ZERO)
                }
                Some(Found::Left(left)) => {
                    shard.signals.not_replayed(shard.part.shard, &left);
                    self.leave(left);
                    Ok(Duration::ZERO)
                }
                None => {
                    self.told.ended_at = Some(Timestamp::now());
                    self.write(shard, checkpoint, None).await?;
                    shard.signals.replayed(shard.part.shard, &self.told);
                    Ok(Duration::ZERO)
                }
            },
        }
    }

    fn leave(&mut self, left: RoomLeft) {
        self.told.left += 1;
        if self.told.left_rooms.len() < Replaying::NAMED_MAX {
            self.told.left_rooms.push(left);
        }
    }

    async fn make(
        &mut self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        rooms: &mut HashMap<RoomSlug, RoomState>,
        mut making: Making,
    ) -> Result<Duration, Error> {
        if shard.store.is_ending(shard.part, &making.room).await? {
            // It is being erased, with all that was made of it.
            return Ok(Duration::ZERO);
        }
        let (records, is_last) = read(shard, checkpoint.applied, &making).await?;
        if records.is_empty() && !is_last {
            self.making = Some(making);
            return Ok(LAGS);
        }
        let known = making.state.take().map(|state| (making.room.clone(), state));
        let state = known.as_ref().map(|(_, state)| state.clone());
        let batch = projecting::anew(shard.part, &shard.store, &records, (making.generation, known)).await?;
        making.state = batch.rooms.get(&making.room).cloned().or(state);
        making.read = records.last().map_or(making.read, |last| last.seq);
        self.count(&records);
        let ready = making
            .state
            .clone()
            .filter(|_| is_last)
            .map(|state| RoomState { generation: making.generation, ..state });
        let piece = Piece {
            room: making.room.clone(),
            generation: making.generation,
            batch,
            read: records.first().zip(records.last()).map(|(first, last)| (first.seq, last.seq)),
            ready: ready.clone(),
        };
        self.making = Some(making).filter(|_| !is_last);
        self.told.rooms += u64::from(ready.is_some());
        self.write(shard, checkpoint, Some(&piece)).await?;
        shard.signals.replayed_piece(records.len() as u64);
        if let Some(state) = ready {
            // One that is not held is read when it is needed.
            if let Some(held) = rooms.get_mut(&piece.room) {
                *held = state;
            }
            shard.to_erase.notify_one();
            shard.signals.asides(shard.part.shard, shard.store.asides(shard.part).await?);
        }
        Ok(Duration::ZERO)
    }

    /// Every piece moves the checkpoint, so that another worker which was of the same turn knows that it must look again.
    async fn write(
        &self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        piece: Option<&Piece>,
    ) -> Result<(), Error> {
        let after = checkpoint.after_replay();
        shard.store.make(shard.part, checkpoint, (piece, self), &after).await?;
        *checkpoint = after;
        Ok(())
    }

    fn count(&mut self, records: &[Record]) {
        self.told.entries += records.len() as u64;
        self.told.done = match (&self.told.what, records.last()) {
            (What::Room(_), Some(last)) => last.seq,
            (What::Room(_), None) => self.told.done,
            (What::Shard, _) => self.told.entries,
        };
    }
}

/// The next entries of the room's log up to `applied`, and whether they are the last of these.
async fn read(shard: &Shard, applied: u64, making: &Making) -> Result<(Vec<Record>, bool), Error> {
    let (stream, subject) = (shard.part.shard.stream(), shard.part.shard.log(&making.room));
    let batch = shard.broker.read_after(&stream, &subject, making.read, PIECE).await?;
    let mut records = batch.records;
    let found = records.len();
    records.retain(|record| record.seq <= applied);
    if batch.more && records.len() == found {
        return Ok((records, false));
    }
    // A replica that lags may have answered, of which the leader knows more.
    let read = records.last().map_or(making.read, |last| last.seq);
    let next = shard.broker.next_known(&stream, &subject, read).await?;
    Ok((records, next.is_none_or(|next| next.seq > applied)))
}
