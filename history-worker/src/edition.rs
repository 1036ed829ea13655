//! Under which generation a room's rows are. A room that is made anew from the log gets its rows under a new one, beside those that
//! are read; then the room's own row names the new one, and the others are deleted.

use std::collections::HashMap;

use protocol::RoomSlug;

use crate::projection::RoomState;

/// The rows of a room under one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition<'a> {
    pub room: &'a RoomSlug,
    pub generation: u64,
}

/// Which edition of each room is meant.
#[derive(Debug, Clone, Copy)]
pub enum Editions<'a> {
    /// The one that is read; of a room that is not there yet, the first.
    Read(&'a HashMap<RoomSlug, RoomState>),
    /// The one under this generation.
    Under(u64),
}

impl RoomState {
    /// The rows of this room that are read.
    pub const fn edition<'a>(&self, room: &'a RoomSlug) -> Edition<'a> {
        Edition { room, generation: self.generation }
    }
}

impl<'a> Editions<'a> {
    /// Whether the room is there, as far as that is known.
    pub fn has(&self, room: &RoomSlug) -> bool {
        matches!(self, Self::Read(rooms) if rooms.contains_key(room))
    }

    pub fn of<'room>(&self, room: &'room RoomSlug) -> Edition<'room>
    where
        'a: 'room,
    {
        let generation = match self {
            Self::Read(rooms) => rooms.get(room).map_or(0, |state| state.generation),
            Self::Under(generation) => *generation,
        };
        Edition { room, generation }
    }
}
