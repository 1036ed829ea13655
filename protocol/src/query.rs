//! What the history worker is asked over the broker, as JSON requests on
//! [`crate::subject::Shard::history_queries`], and what it answers.

use crate::{RoomSlug, StoredEvent, StreamIdentity};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum HistoryQuery {
    /// A page of a room, oldest first.
    Page(PageQuery),
    /// The last message of each of these rooms (at most 200), where there is one.
    Last { rooms: Vec<RoomSlug> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    pub room: RoomSlug,
    pub at: PageAt,
    /// Events in the page, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub limit: usize,
    /// Answer only when the projection has applied this sequence; wait for it within the time-out.
    pub at_least: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageAt {
    /// The `limit` events just before this sequence, which itself is left out.
    Before(u64),
    /// The `limit` events just after this sequence, which itself is left out.
    After(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HistoryAnswer {
    Page(Page),
    Last {
        events: Vec<(RoomSlug, StoredEvent)>,
    },
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
    pub events: Vec<StoredEvent>,
    /// The room's event just before the first of `events`; 0 when there is none, so nothing is older.
    pub prev: u64,
    /// Whether the room has events after the last of `events`, as far as applied.
    pub more_after: bool,
}
