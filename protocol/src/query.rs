//! What the history worker is asked over the broker, as JSON requests on
//! [`crate::subject::Shard::history_queries`], and what it answers: texts are sealed, the worker has no keys.

use crate::{MessageId, RoomSlug, SealedStored, StreamIdentity, Timestamp, view::SealedRow};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum HistoryQuery {
    /// A page of a room as it is now, oldest first.
    Page(PageQuery),
    /// A room's events behind a cursor, for which the log does not reach back far enough.
    After(AfterQuery),
    /// The messages of a room with this id: one, but for clients that use an id that is another's.
    Find { room: RoomSlug, id: MessageId },
    /// The last message of each of these rooms (at most 200), where there is one.
    Last { rooms: Vec<RoomSlug> },
    /// How far the shard's history is.
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    pub room: RoomSlug,
    /// The `limit` rows just before this sequence, which itself is left out.
    pub before: u64,
    /// Rows in the page, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub limit: usize,
    /// Answer only when the projection has applied this sequence; wait for it within the time-out.
    pub at_least: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterQuery {
    pub room: RoomSlug,
    /// The `limit` events just after this sequence, which itself is left out.
    pub after: u64,
    /// Events in the answer, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub limit: usize,
    /// Answer only when the projection has applied this sequence; wait for it within the time-out.
    pub at_least: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HistoryAnswer {
    Page(Page),
    Events(Events),
    Found {
        stream: StreamIdentity,
        /// Up to which sequence of the shard the projection had applied the log: what came later is not in the answer.
        applied: u64,
        rows: Vec<SealedRow>,
    },
    Last {
        events: Vec<(RoomSlug, SealedStored)>,
    },
    Status(HistoryStatus),
    /// The projection has not come to `at_least` in time; it stands at `applied`.
    Behind {
        applied: u64,
    },
    /// The query can't be answered: its sense is wrong, or the database fails.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Of which life of the stream these sequences are.
    pub stream: StreamIdentity,
    /// Up to which sequence of the shard the projection had applied the log.
    pub applied: u64,
    /// Oldest first.
    pub rows: Vec<SealedRow>,
    /// The room's row just before the first of `rows`; 0 when there is none, so nothing is older.
    pub prev: u64,
}

/// How far the history of a shard is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    pub stream: StreamIdentity,
    /// Up to which sequence of the shard the log is applied.
    pub applied: u64,
    /// When the broker had stored what was applied last.
    pub applied_at: Option<Timestamp>,
    /// Entries of the shard's stream after that; 0 when no event is among them.
    pub lag_entries: u64,
    /// How long ago the first event that is not applied was stored, in seconds.
    pub lag_seconds: u64,
    /// Events in the history, and copies of such that were passed over, since it began.
    pub events: u64,
    pub duplicates: u64,
    /// Entries of the log that can't be applied.
    pub set_aside: u64,
    pub oldest_set_aside: Option<SetAside>,
}

/// An entry of the log that can't be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub seq: u64,
    /// When the broker stored it.
    pub at: Timestamp,
    pub subject: String,
    pub reason: String,
    /// How long it is in the log.
    pub bytes: u64,
}

/// Events of a room, with the changes of older messages among them. What was erased is left out, and a message or an edit
/// has the body that the message has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    pub stream: StreamIdentity,
    pub applied: u64,
    /// Oldest first.
    pub events: Vec<SealedStored>,
    /// Everything of the room after the asked sequence and up to here is in `events`.
    pub reached: u64,
}
