//! A snapshot of a shard's history: everything that it holds at one moment, as lines of JSON that say what they are and not how they
//! are stored, so that another layout reads them too.
//!
//! It is given piece by piece to whoever asks ([`giving`]), and written into an empty database by [`restore`]. The history then goes
//! on with the log behind the checkpoint that is its first line.

mod giving;
mod restore;
mod walk;

pub use giving::{Giving, begin};
pub use restore::{Restored, restore, restore_from};

use protocol::query::SetAside;
use protocol::{RoomSlug, Tag, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::projection::{Change, Ended, Expired, GivenAt, Kept, LogEntry, RoomState, Text};

/// A line of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Begin(Begin),
    /// What follows, up to the next room, is of this one.
    Room {
        room: RoomSlug,
        state: RoomState,
    },
    Row {
        number: u64,
        kept: Kept,
    },
    Reaction {
        number: u64,
        tag: Tag,
        user: UserId,
        given: GivenAt,
    },
    Change(Change),
    Text(Text),
    /// What the shard has beside its rooms, here and below.
    Aside(KeptAside),
    Erase(LogEntry),
    Ended(Ended),
    Expired(Expired),
    /// The last, with how many lines are before it.
    End {
        lines: u64,
    },
}

/// Of what a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    pub shard: u16,
    /// Into how many shards the log was cut at first.
    pub shards: u16,
    pub at: Timestamp,
    pub checkpoint: Checkpoint,
}

impl Begin {
    /// The format that this code writes, and the newest that it reads.
    pub const FORMAT: u32 = 2;
}

/// An entry that was set aside, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAside {
    pub entry: SetAside,
    pub code: String,
    /// Its first bytes in base64.
    pub payload: String,
}
