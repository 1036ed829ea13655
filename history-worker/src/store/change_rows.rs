//! The rows of what happened to other rows, and of what must go from the log.

use protocol::event::SealedReaction;
use protocol::{MessageId, Tag, Target, Timestamp, UserId};
use surrealdb::types::{Bytes, RecordId, SurrealValue};
use uuid::Uuid;

use super::StoreError;
use super::rows::{
    int, keep_days, natural, number_in, numbered_key, room_in, row_key, sealed_bytes, sealed_text, shard_key,
};
use super::tables::{CHANGE, ENDED, ERASE, TEXT};
use crate::edition::Editions;
use crate::projection::{Change, Changed, Ended, LogEntry, Part, Text};

#[derive(Debug, SurrealValue)]
pub(super) struct ChangeRow {
    pub id: RecordId,
    pub at_ms: i64,
    pub kind: String,
    pub author: Uuid,
    pub message_id: Uuid,
    pub target_id: Uuid,
    pub target_author: Uuid,
    pub target_seq: i64,
    pub number: i64,
    /// Of a deletion: when the message had been stored, and what its text hashed to. When something had happened last before all
    /// up to the target expired.
    pub of_ms: Option<i64>,
    pub hash: Option<String>,
    /// Of a reaction: its tag and its box, which this event brought.
    pub tag: Option<String>,
    pub sealed: Option<Bytes>,
    pub on: Option<bool>,
    /// Of what has expired.
    pub keep_days: Option<i64>,
}

/// Which message, and where in the log, is its key.
#[derive(Debug, SurrealValue)]
pub(super) struct TextRow {
    pub id: RecordId,
    pub author: Uuid,
    pub message_id: Uuid,
}

#[derive(Debug, SurrealValue)]
pub(super) struct EraseRow {
    pub id: RecordId,
    pub room: String,
    pub author: Uuid,
    pub message_id: Uuid,
}

/// Where the log says so is its key.
#[derive(Debug, SurrealValue)]
pub(super) struct EndedRow {
    pub id: RecordId,
    pub room: String,
    pub event_id: Uuid,
}

pub(super) fn ended_id(part: Part, seq: u64) -> RecordId {
    RecordId::new(ENDED, shard_key(part, seq))
}

pub(super) fn erase_id(part: Part, seq: u64) -> RecordId {
    RecordId::new(ERASE, shard_key(part, seq))
}

impl ChangeRow {
    pub fn of(editions: Editions<'_>, change: &Change) -> Self {
        let mut row = Self {
            id: RecordId::new(CHANGE, numbered_key(editions.of(&change.room), change.seq)),
            at_ms: change.at.as_millis(),
            kind: "edited".to_owned(),
            author: change.author.0,
            message_id: change.id.0,
            target_id: change.target.id.0,
            target_author: change.target.author.0,
            target_seq: int(change.target.seq),
            number: int(change.number),
            of_ms: None,
            hash: None,
            tag: None,
            sealed: None,
            on: None,
            keep_days: None,
        };
        match &change.what {
            Changed::Edited => {}
            Changed::Deleted { of, hash } => {
                "deleted".clone_into(&mut row.kind);
                row.of_ms = Some(of.as_millis());
                row.hash = Some(hash.clone());
            }
            Changed::Reacted { reaction, on } => {
                "reacted".clone_into(&mut row.kind);
                row.tag = Some(reaction.tag.to_string());
                row.sealed = Some(sealed_bytes(&reaction.text));
                row.on = Some(*on);
            }
            Changed::Expired { of, keep } => {
                "expired".clone_into(&mut row.kind);
                row.of_ms = Some(of.as_millis());
                row.keep_days = Some(i64::from(keep.get()));
            }
        }
        row
    }

    pub fn change(self) -> Result<Change, StoreError> {
        let what = match (self.kind.as_str(), self.of_ms, self.hash, self.tag, self.on) {
            ("edited", ..) => Changed::Edited,
            ("deleted", Some(of_ms), Some(hash), ..) => {
                Changed::Deleted { of: Timestamp::from_millis(of_ms), hash }
            }
            ("reacted", _, _, Some(tag), Some(on)) => {
                let tag = Tag::parse(&tag).ok_or(StoreError::Malformed("tag"))?;
                let sealed = self.sealed.as_ref().ok_or(StoreError::Malformed("box"))?;
                let text = sealed_text(self.message_id, sealed)?;
                let reaction = SealedReaction { tag, author: UserId(self.author), text };
                Changed::Reacted { reaction, on }
            }
            ("expired", Some(of_ms), ..) => Changed::Expired {
                of: Timestamp::from_millis(of_ms),
                keep: keep_days(self.keep_days.unwrap_or(0))?,
            },
            _ => return Err(StoreError::Malformed("change")),
        };
        let target = Target {
            id: MessageId(self.target_id),
            author: UserId(self.target_author),
            seq: natural(self.target_seq, "sequence")?,
        };
        Ok(Change {
            room: room_in(&self.id)?,
            seq: number_in(&self.id, 2)?,
            at: Timestamp::from_millis(self.at_ms),
            id: MessageId(self.message_id),
            author: UserId(self.author),
            target,
            number: natural(self.number, "number")?,
            what,
        })
    }
}

impl TextRow {
    pub fn of(editions: Editions<'_>, Text { message, entry }: &Text) -> Self {
        let rest = [int(*message).into_value(), int(entry.seq).into_value()];
        let key = row_key(editions.of(&entry.room), rest);
        Self { id: RecordId::new(TEXT, key), author: entry.author.0, message_id: entry.id.0 }
    }

    pub fn text(self) -> Result<Text, StoreError> {
        let entry = LogEntry {
            room: room_in(&self.id)?,
            seq: number_in(&self.id, 3)?,
            id: MessageId(self.message_id),
            author: UserId(self.author),
        };
        Ok(Text { message: number_in(&self.id, 2)?, entry })
    }
}

impl EndedRow {
    pub fn of(part: Part, ended: &Ended) -> Self {
        Self { id: ended_id(part, ended.seq), room: ended.room.to_string(), event_id: ended.id.0 }
    }

    pub fn ended(self) -> Result<Ended, StoreError> {
        let room = protocol::RoomSlug::parse(&self.room).map_err(|_| StoreError::Malformed("room"))?;
        Ok(Ended { room, seq: number_in(&self.id, 1)?, id: MessageId(self.event_id) })
    }
}

impl EraseRow {
    pub fn of(part: Part, entry: &LogEntry) -> Self {
        Self {
            id: erase_id(part, entry.seq),
            room: entry.room.to_string(),
            author: entry.author.0,
            message_id: entry.id.0,
        }
    }

    pub fn entry(self) -> Result<LogEntry, StoreError> {
        let room = protocol::RoomSlug::parse(&self.room).map_err(|_| StoreError::Malformed("room"))?;
        let (id, author) = (MessageId(self.message_id), UserId(self.author));
        Ok(LogEntry { room, seq: number_in(&self.id, 1)?, id, author })
    }
}
