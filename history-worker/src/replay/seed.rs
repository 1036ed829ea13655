//! What a snapshot gives back of rooms whose beginning the log has lost.
//!
//! The operator's program gives the rows of such rooms piece by piece; they are written under a generation of their own, which nobody
//! reads. A replay then makes these rooms from there on, instead of from nothing, with what the log has behind the snapshot. What
//! was given and is not used goes.

use std::collections::HashMap;

use protocol::query::{SeedPiece, Seeding};
use protocol::{RoomSlug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, Mark, Part, Place, RoomState};
use crate::snapshot::Line;

/// After this time without a piece nobody is thought to give the rest.
pub const ABANDONED_MS: i64 = 10 * 60_000;

/// What was begun to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Under which it is written.
    pub generation: u64,
    /// Up to which sequence the log is in the snapshot.
    pub applied: u64,
    pub touched: Timestamp,
}

impl Begun {
    pub fn is_abandoned(&self) -> bool {
        Timestamp::now().as_millis() > self.touched.as_millis() + ABANDONED_MS
    }
}

/// A room, as the snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    pub room: RoomSlug,
    pub generation: u64,
    pub applied: u64,
    pub state: RoomState,
}

/// What of some rooms is written.
#[derive(Debug, Default)]
pub struct Given {
    pub rooms: HashMap<RoomSlug, RoomState>,
    pub batch: Batch,
}

/// Why a snapshot can't be one of this history.
///
/// # Errors
/// A sentence.
pub fn fits(part: Part, seeding: &Seeding, checkpoint: &Checkpoint) -> Result<(), String> {
    let Seeding { shard, shards, applied, .. } = *seeding;
    if (shard, shards) != (part.shard.0, part.shards.first()) {
        return Err(format!(
            "the snapshot is of shard {shard} of a log that was cut into {shards} at first, and this one into {}",
            part.shards.first()
        ));
    }
    if applied > checkpoint.applied {
        return Err(format!(
            "the snapshot reaches up to {applied} of the log, of which the history has only applied {}: it is of another installation, \
             or of a log that was lost since",
            checkpoint.applied
        ));
    }
    Ok(())
}

impl Given {
    /// Reads a piece: each begins with its room.
    ///
    /// # Errors
    /// A sentence for what is no such piece.
    pub fn read(part: Part, piece: &SeedPiece) -> Result<Self, &'static str> {
        const NOT_A_PIECE: &str = "this is no piece of a snapshot";
        let mut given = Self::default();
        let mut room: Option<RoomSlug> = None;
        for line in &piece.lines {
            let line = Line::deserialize(line).map_err(|_| NOT_A_PIECE)?;
            if let Line::Room { room: next, state } = line {
                if !part.has(&next) {
                    return Err("the room belongs to another shard");
                }
                given.rooms.insert(next.clone(), state);
                room = Some(next);
                continue;
            }
            let room = room.as_ref().ok_or(NOT_A_PIECE)?;
            given.take(room, line).ok_or(NOT_A_PIECE)?;
        }
        Ok(given)
    }

    fn take(&mut self, room: &RoomSlug, line: Line) -> Option<()> {
        match line {
            Line::Row { number, kept } => drop(self.batch.rows.insert(Place::new(room, number), kept)),
            Line::Reaction { number, tag, user, given } => {
                let mark = Mark { place: Place::new(room, number), tag, user };
                self.batch.marks.insert(mark, Some(given));
            }
            Line::Change(change) if change.room == *room => self.batch.changes.push(change),
            Line::Text(text) if text.entry.room == *room => self.batch.texts.push(text),
            _ => return None,
        }
        Some(())
    }
}
