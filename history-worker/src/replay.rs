//! Making a history anew from the log, beside the one that is read, while people chat.
//!
//! It goes room by room, small ones together: a room's log is projected under a new generation, piece by piece, and with the last piece
//! the room's own row names that generation, in one transaction. Whoever applies the shard does it between two batches, so no event
//! comes between. How far it is lies in the database, written with each piece: after a crash, or in another worker, it goes on there.

pub mod aged;
mod rooms;
pub mod seed;

use std::collections::HashMap;
use std::time::Duration;

use broker::Record;
use protocol::query::{Replay as What, Replaying, RoomLeft};
use protocol::{RoomSlug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, RoomState};
use crate::shard::Shard;
use crate::{Error, projecting};
use rooms::{Found, Looked, PIECE, Rooms};
use seed::Seed;

pub use rooms::is_a_beginning;

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
    /// Under which generation a snapshot has given back rooms whose beginning the log has lost.
    #[serde(default)]
    pub seeds: Option<u64>,
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

/// A piece of rooms that are made anew, as it is written: of one large room, or several small ones.
#[derive(Debug)]
pub struct Piece {
    pub generation: u64,
    pub batch: Batch,
    /// The rooms whose log was read, and the first and the last sequence of all that was: what of them was set aside before and is
    /// not now is not any more.
    pub read: (Vec<RoomSlug>, Option<(u64, u64)>),
    /// Rooms as they are with their last piece, from which on they are read from here.
    pub ready: Vec<(RoomSlug, RoomState)>,
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
        Self { told, rooms, making: None, seeds: None }
    }

    /// With what a snapshot has given back.
    pub fn with_seeds(self, seeds: Option<u64>) -> Self {
        Self { seeds, ..self }
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
        if let Some(making) = self.making.take() {
            return self.make_large(shard, checkpoint, rooms, making).await;
        }
        let looked = self.rooms.next(shard, checkpoint.applied, self.seeds).await?;
        if looked.is_empty() {
            if self.seeds.is_some() {
                shard.store.drop_seeds(shard.part).await?;
            }
            self.told.ended_at = Some(Timestamp::now());
            self.write(shard, checkpoint, None).await?;
            shard.signals.replayed(shard.part.shard, &self.told);
            return Ok(Duration::ZERO);
        }
        self.make_small(shard, checkpoint, rooms, looked).await
    }

    /// Makes rooms of which a piece holds all, as many as it holds. A larger one is begun when it is the first.
    async fn make_small(
        &mut self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        rooms: &mut HashMap<RoomSlug, RoomState>,
        looked: Vec<Looked>,
    ) -> Result<Duration, Error> {
        let (mut records, mut small, mut newest, mut passed) = (Vec::new(), Vec::new(), 0, 0);
        for Looked { room, found } in looked {
            match found {
                Found::Whole { generation, first } if first.is_all => {
                    if !small.is_empty() && records.len() + first.records.len() > PIECE {
                        break;
                    }
                    records.extend(first.records);
                    small.push(room);
                    newest = generation.max(newest);
                }
                Found::Whole { generation, .. } => {
                    if small.is_empty() {
                        self.making = Some(Making { room, generation, read: 0, state: None });
                        passed += 1;
                    }
                    break;
                }
                Found::Seeded(Seed { generation, applied: read, state, .. }) => {
                    if small.is_empty() {
                        self.making = Some(Making { room, generation, read, state: Some(state) });
                        passed += 1;
                    }
                    break;
                }
                Found::Left(left) => {
                    shard.signals.not_replayed(shard.part.shard, &left);
                    self.leave(left);
                }
                Found::Ending => {}
            }
            passed += 1;
        }
        self.rooms.pass(passed);
        if small.is_empty() {
            return Ok(Duration::ZERO);
        }
        let batch = projecting::anew(shard.part, &shard.store, &records, (newest, None)).await?;
        let state = |room: &RoomSlug| Some((room.clone(), batch.rooms.get(room)?.clone()));
        let ready = small.iter().filter_map(state).collect();
        self.count(&records);
        let piece = Piece { generation: newest, batch, read: (small, ends(&records)), ready };
        self.give(shard, checkpoint, rooms, piece).await
    }

    fn leave(&mut self, left: RoomLeft) {
        self.told.left += 1;
        if self.told.left_rooms.len() < Replaying::NAMED_MAX {
            self.told.left_rooms.push(left);
        }
    }

    async fn make_large(
        &mut self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        rooms: &mut HashMap<RoomSlug, RoomState>,
        mut making: Making,
    ) -> Result<Duration, Error> {
        if shard.store.ending(shard.part).await?.contains(&making.room) {
            // It is being erased, with all that was made of it.
            return Ok(Duration::ZERO);
        }
        let read = rooms::read(shard, &making.room, making.read, checkpoint.applied).await?;
        if read.records.is_empty() && !read.is_all {
            self.making = Some(making);
            return Ok(LAGS);
        }
        let known = making.state.take().map(|state| (making.room.clone(), state));
        let state = known.as_ref().map(|(_, state)| state.clone());
        let mut batch =
            projecting::anew(shard.part, &shard.store, &read.records, (making.generation, known)).await?;
        making.state = batch.rooms.get(&making.room).cloned().or(state);
        making.read = read.records.last().map_or(making.read, |last| last.seq);
        self.count(&read.records);
        let ready = making.state.clone().filter(|_| read.is_all).map(|state| (making.room.clone(), state));
        if let Some((room, state)) = ready.as_ref().filter(|(_, state)| !state.keep.is_forever()) {
            // A snapshot may have said so, and not the log.
            batch.retained.insert(room.clone(), state.keep);
        }
        let (generation, room) = (making.generation, making.room.clone());
        let (ready, sequences) = (ready.into_iter().collect(), ends(&read.records));
        let piece = Piece { generation, batch, read: (vec![room], sequences), ready };
        self.making = Some(making).filter(|_| !read.is_all);
        self.give(shard, checkpoint, rooms, piece).await
    }

    /// Writes a piece. Rooms that it makes ready are read from there.
    async fn give(
        &mut self,
        shard: &Shard,
        checkpoint: &mut Checkpoint,
        rooms: &mut HashMap<RoomSlug, RoomState>,
        mut piece: Piece,
    ) -> Result<Duration, Error> {
        for (_, state) in &mut piece.ready {
            state.generation = piece.generation;
        }
        self.told.rooms += piece.ready.len() as u64;
        self.write(shard, checkpoint, Some(&piece)).await?;
        shard.signals.replayed_piece(piece.batch.entries());
        shard.rings_for(&piece.batch);
        for (room, state) in &piece.ready {
            // One that is not held is read when it is needed.
            if let Some(held) = rooms.get_mut(room) {
                held.clone_from(state);
            }
        }
        if !piece.ready.is_empty() {
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

/// The first and the last of the sequences.
fn ends(records: &[Record]) -> Option<(u64, u64)> {
    let sequences = || records.iter().map(|record| record.seq);
    sequences().min().zip(sequences().max())
}
