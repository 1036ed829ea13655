//! What the log's entries mean for the database: which rows are written and changed, which entries are set aside, which are
//! copies, which texts must go from the log.
//!
//! Pure. Given the same log, any cut into batches gives the same rows.

mod apply;
mod batch;
mod wanted;

pub use apply::{REACTIONS_MAX, project};
pub use batch::{
    Batch, Change, Changed, Ended, Expired, Given, GivenAt, Ignored, Kept, Known, LogEntry, Mark, Place,
    Sent, Text,
};
pub use wanted::{Wanted, asked, wanted};

use broker::Record;
use bytes::Bytes;
use protocol::event::Unreadable;
use protocol::subject::{Shard, Shards, room_of};
use protocol::view::SealedRow;
use protocol::{KeepDays, MessageId, RoomSlug, SealedEvent, SealedStored, Target, Timestamp, UserId, limits};
use serde::{Deserialize, Serialize};

/// Which part of the log is projected, and into how many parts it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub shard: Shard,
    pub shards: Shards,
}

impl Part {
    /// Whether a room is in it.
    pub fn has(&self, room: &RoomSlug) -> bool {
        self.shards.of(room) == Some(self.shard)
    }

    /// The whole of a log that is not cut.
    pub const fn whole() -> Self {
        Self { shard: Shard(0), shards: Shards::at_first(1) }
    }
}

/// What is kept of a room beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    pub creator: UserId,
    /// The number of the last row: rows are numbered `first` to `count`, in the order of the log. Changes of rows have no number.
    pub count: u64,
    /// The number of the first row that has not expired; behind `count` when all have.
    #[serde(default = "one")]
    pub first: u64,
    /// Up to which sequence all has expired.
    #[serde(default)]
    pub expired: u64,
    /// How long the room keeps what happens in it.
    #[serde(default)]
    pub keep: KeepDays,
    /// The sequence of the last row; 0 when there is none.
    pub last_seq: u64,
    /// The number of the last message that is not erased; 0 when there is none.
    pub last_message: u64,
    /// Whose texts were erased: their reactions are not counted any more.
    pub erased_people: Vec<UserId>,
    /// The room was erased: it has no rows, and what the log has of it after that means nothing.
    pub erased: bool,
    /// Under which its rows are, see [`crate::edition`]. The projection leaves it as it is.
    pub generation: u64,
}

/// What makes an event that has a number one event, however often it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SentKey {
    pub room: RoomSlug,
    pub id: MessageId,
    pub author: UserId,
}

/// Why an entry of the log is not in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Unreadable(Unreadable),
    /// A room was created that was there already.
    RoomExists,
    /// The room belongs to another shard, in whose log its events are.
    OtherShard,
}

/// An entry that is kept beside the history, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    pub seq: u64,
    pub at: Timestamp,
    pub subject: String,
    pub reason: Reason,
    /// Its first bytes, at most [`limits::EVENT_BYTES_MAX`]: what is longer is no event in any version.
    pub payload: Bytes,
    /// How long it is in the log, in bytes.
    pub bytes: usize,
}

/// An entry of the log that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Event {
        room: RoomSlug,
        event: SealedStored,
    },
    /// What can't be read, with what stands for it in its room.
    Unreadable {
        room: RoomSlug,
        event: SealedStored,
        aside: Aside,
    },
    Aside(Aside),
}

impl RoomState {
    /// How many rows it has.
    pub const fn rows(&self) -> u64 {
        (self.count + 1).saturating_sub(self.first)
    }

    /// A room without rows.
    pub const fn new(creator: UserId) -> Self {
        Self {
            creator,
            count: 0,
            first: 1,
            expired: 0,
            keep: KeepDays::FOREVER,
            last_seq: 0,
            last_message: 0,
            erased_people: Vec::new(),
            erased: false,
            generation: 0,
        }
    }
}

const fn one() -> u64 {
    1
}

impl SentKey {
    pub fn of(room: &RoomSlug, event: &SealedEvent) -> Self {
        Self { room: room.clone(), id: event.id(), author: event.author() }
    }

    pub fn of_row(room: &RoomSlug, row: &SealedRow) -> Self {
        Self { room: room.clone(), id: row.id, author: row.author }
    }

    pub fn of_target(room: &RoomSlug, target: Target) -> Self {
        Self { room: room.clone(), id: target.id, author: target.author }
    }
}

impl Reason {
    /// All words of [`Reason::code`].
    pub const CODES: [&str; 9] = [
        "too_large",
        "not_an_event",
        "version",
        "kind",
        "fields",
        "subject",
        "no_room",
        "room_exists",
        "other_shard",
    ];

    /// A word for metrics and for the database.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable(Unreadable::TooLarge(_)) => "too_large",
            Self::Unreadable(Unreadable::NotAnEvent) => "not_an_event",
            Self::Unreadable(Unreadable::Version(_)) => "version",
            Self::Unreadable(Unreadable::Kind) => "kind",
            Self::Unreadable(Unreadable::Fields) => "fields",
            Self::Unreadable(Unreadable::Subject) => "subject",
            Self::Unreadable(Unreadable::NoRoom) => "no_room",
            Self::RoomExists => "room_exists",
            Self::OtherShard => "other_shard",
        }
    }
}

impl Reason {
    /// Whether [`Reason::code`] says that it was the bytes which this version, or an older one, could not read.
    pub fn is_of_bytes(code: &str) -> bool {
        ["too_large", "not_an_event", "version", "kind", "fields"].contains(&code)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(unreadable) => unreadable.fmt(f),
            Self::RoomExists => f.write_str("its room was created before"),
            Self::OtherShard => f.write_str("its room belongs to another shard"),
        }
    }
}

impl Aside {
    fn of(record: &Record, reason: Reason) -> Self {
        let kept = record.payload.len().min(limits::EVENT_BYTES_MAX);
        Self {
            seq: record.seq,
            at: record.at,
            subject: record.subject.clone(),
            reason,
            payload: record.payload.slice(..kept),
            bytes: record.payload.len(),
        }
    }
}

impl Entry {
    /// What happened in which room, or stands for it.
    pub const fn event(&self) -> Option<(&RoomSlug, &SealedStored)> {
        match self {
            Self::Event { room, event } | Self::Unreadable { room, event, .. } => Some((room, event)),
            Self::Aside(_) => None,
        }
    }
}

/// Reads an entry by itself: what its subject and its bytes say.
pub fn read(part: Part, record: &Record) -> Entry {
    let room = match room(part, record) {
        Ok(room) => room,
        Err(reason) => return Entry::Aside(Aside::of(record, reason)),
    };
    match SealedStored::read(record.seq, record.at, &record.payload) {
        (event, None) => Entry::Event { room, event },
        (event, Some(why)) => {
            Entry::Unreadable { room, event, aside: Aside::of(record, Reason::Unreadable(why)) }
        }
    }
}

/// The room in whose log an entry is.
fn room(part: Part, record: &Record) -> Result<RoomSlug, Reason> {
    let no_room = Reason::Unreadable(Unreadable::Subject);
    let room = room_of(&record.subject).ok_or(no_room)?;
    // More tokens than one after the shard: no reader of the room's own subject sees such an entry.
    if record.subject != part.shard.log(&room) {
        return Err(no_room);
    }
    if !part.has(&room) {
        return Err(Reason::OtherShard);
    }
    Ok(room)
}

#[cfg(test)]
pub mod tests;
