//! The contracts between backchat's pieces: events, frames, queries, subjects, ids, limits.
//!
//! Types and pure functions only. Nothing here opens a socket, reads a clock other than through
//! [`Timestamp::now`], or knows which broker or database stands behind a contract.

pub mod accounts;
pub mod chain;
pub mod clues;
pub mod cookie;
pub mod event;
pub mod frame;
#[cfg(test)]
mod golden;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod path;
pub mod place;
pub mod presence;
pub mod query;
pub mod reaction;
pub mod retention;
pub mod sealed;
pub mod search;
pub mod state;
pub mod subject;
pub mod text;
pub mod timestamp;
pub mod token;
pub mod view;
pub mod worker;

pub use clues::Clues;
pub use event::{Body, Event, SealedEvent, SealedStored, StoredEvent, Target, Text};
pub use ids::{Cursor, MessageId, RoomSlug, SessionId, StreamIdentity, UserId};
pub use place::{PagePlace, Since, Spot};
pub use reaction::Reaction;
pub use retention::KeepDays;
pub use sealed::{Sealed, SealedText, Tag};
pub use timestamp::Timestamp;
