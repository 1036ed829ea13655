//! The rows, and their way to and from the types of the protocol.

use std::ops::Bound;

use protocol::view::{Content, Row, What};
use protocol::{Body, Event, MessageId, Reaction, RoomSlug, StoredEvent, StreamIdentity, Timestamp, UserId};
use surrealdb::types::{Array, Bytes, Object, RecordId, RecordIdKey, RecordIdKeyRange, SurrealValue, Value};
use uuid::Uuid;

use super::StoreError;
use crate::changes::{Applied, Place, Sent};
use crate::checkpoint::{Checkpoint, Totals};
use crate::projection::{Aside, Numbered, Part, RoomState, SentKey};

#[derive(Debug, SurrealValue)]
pub(super) struct EventRow {
    pub id: RecordId,
    pub seq: i64,
    pub at_ms: i64,
    pub kind: String,
    pub author: Uuid,
    pub message_id: Uuid,
    /// The body of a message, the name of a room that was created.
    pub text: Option<String>,
    pub edited_at_ms: Option<i64>,
    /// What a deleted message's text was hashed to.
    pub hash: Option<String>,
}

#[derive(Debug, SurrealValue)]
pub(super) struct SentRow {
    pub id: RecordId,
    pub number: i64,
    pub seq: i64,
    pub is_message: bool,
    pub edits: Vec<i64>,
    pub erased: bool,
    pub reactions: i64,
}

/// A reaction that stands: its id says on what, which, and whose.
#[derive(Debug, SurrealValue)]
pub(super) struct ReactionRow {
    pub id: RecordId,
    pub seq: i64,
}

/// A change that was applied; the text is the changed row's.
#[derive(Debug, SurrealValue)]
pub(super) struct ChangeRow {
    pub id: RecordId,
    pub seq: i64,
    pub number: i64,
    pub at_ms: i64,
    /// The event as JSON, an edit's text left out.
    pub event: String,
}

/// What an edit does to a message's row.
#[derive(Debug, SurrealValue)]
pub(super) struct EditRow {
    pub id: RecordId,
    pub text: String,
    pub at_ms: i64,
}

/// What is left of a deleted message.
#[derive(Debug, SurrealValue)]
pub(super) struct ErasedRow {
    pub id: RecordId,
    pub hash: String,
    /// Its reactions, all of them.
    pub reactions: RecordId,
}

#[derive(Debug, SurrealValue)]
pub(super) struct RoomRow {
    pub id: RecordId,
    pub name: String,
    pub creator: Uuid,
    pub count: i64,
    pub last_seq: i64,
    pub last_message: i64,
}

#[derive(Debug, SurrealValue)]
pub(super) struct AsideRow {
    pub id: RecordId,
    pub subject: String,
    pub code: String,
    pub reason: String,
    pub at_ms: i64,
    pub bytes: i64,
    pub payload: Bytes,
}

#[derive(Debug, SurrealValue)]
pub(super) struct CheckpointRow {
    pub stream: i64,
    pub applied: i64,
    pub applied_at_ms: Option<i64>,
    pub events: i64,
    pub duplicates: i64,
    pub asides: i64,
    pub last_aside_seq: Option<i64>,
    pub last_aside_reason: Option<String>,
}

/// Sequences and counts are far below the database's largest integer; what is above means "the end".
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn natural(number: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Malformed(what))
}

pub(super) fn array(parts: impl IntoIterator<Item = Value>) -> RecordIdKey {
    RecordIdKey::Array(Array::from(parts.into_iter().collect::<Vec<_>>()))
}

fn text(text: &impl ToString) -> Value {
    Value::String(text.to_string())
}

pub(super) fn event_key(room: &RoomSlug, number: u64) -> RecordIdKey {
    array([text(room), int(number).into_value()])
}

pub(super) fn event_id(room: &RoomSlug, number: u64) -> RecordId {
    RecordId::new("event", event_key(room, number))
}

pub(super) fn room_id(room: &RoomSlug) -> RecordId {
    RecordId::new("room", array([text(room)]))
}

pub(super) fn sent_id(key: &SentKey) -> RecordId {
    RecordId::new("sent", array([text(&key.room), key.id.0.into_value(), key.author.0.into_value()]))
}

/// All that was sent to a room under an id, by whomever.
pub(super) fn sent_under(room: &RoomSlug, id: MessageId) -> RecordId {
    range(
        "sent",
        array([text(room), id.0.into_value()]),
        array([text(room), id.0.into_value(), Value::Object(Object::default())]),
    )
}

/// The changes of a room with these sequences.
pub(super) fn changes_between(room: &RoomSlug, first: u64, end: u64) -> RecordId {
    range("change", array([text(room), int(first).into_value()]), array([text(room), int(end).into_value()]))
}

/// The reactions to the room's events with these numbers.
pub(super) fn reactions_between(room: &RoomSlug, first: u64, end: u64) -> RecordId {
    range("reaction", event_key(room, first), event_key(room, end))
}

pub(super) fn reaction_id((room, number): &Place, reaction: &Reaction, user: UserId) -> RecordId {
    let parts = [
        text(room),
        int(*number).into_value(),
        Value::String(reaction.as_str().to_owned()),
        user.0.into_value(),
    ];
    RecordId::new("reaction", array(parts))
}

pub(super) fn erase_id(part: Part, seq: u64) -> RecordId {
    RecordId::new("erase", array([i64::from(part.shard.0).into_value(), int(seq).into_value()]))
}

/// All that is still to be erased of a shard's log.
pub(super) fn erase_all(part: Part) -> RecordId {
    let shard = i64::from(part.shard.0);
    range("erase", array([shard.into_value()]), array([(shard + 1).into_value()]))
}

pub(super) fn range(table: &str, start: RecordIdKey, end: RecordIdKey) -> RecordId {
    RecordId::new(table, RecordIdKeyRange { start: Bound::Included(start), end: Bound::Excluded(end) })
}

pub(super) fn checkpoint_id(part: Part) -> RecordId {
    RecordId::new("checkpoint", array([i64::from(part.shard.0).into_value()]))
}

/// The room in a record id that begins with one.
fn room_in(id: &RecordId) -> Result<RoomSlug, StoreError> {
    let bad = StoreError::Malformed("room");
    let RecordIdKey::Array(parts) = &id.key else { return Err(bad) };
    match parts.first() {
        Some(Value::String(text)) => RoomSlug::parse(text).map_err(|_| bad),
        _ => Err(bad),
    }
}

pub(super) fn sent_key(id: &RecordId) -> Result<SentKey, StoreError> {
    let bad = StoreError::Malformed("id");
    let room = room_in(id)?;
    let RecordIdKey::Array(parts) = &id.key else { return Err(bad) };
    match (parts.get(2), parts.get(1)) {
        (Some(Value::Uuid(author)), Some(Value::Uuid(message))) => {
            Ok(SentKey { room, author: UserId((*author).into()), id: MessageId((*message).into()) })
        }
        _ => Err(bad),
    }
}

impl EventRow {
    pub fn of(numbered: &Numbered) -> Self {
        let StoredEvent { seq, at, event } = &numbered.event;
        let (kind, text) = match event {
            Event::Created { name, .. } => ("created", Some(name.clone())),
            Event::Joined { .. } => ("joined", None),
            Event::Left { .. } => ("left", None),
            Event::Message { body, .. } => ("message", Some(body.as_str().to_owned())),
            Event::Edited { .. } | Event::Deleted { .. } | Event::Reacted { .. } => ("change", None),
        };
        Self {
            id: event_id(&numbered.room, numbered.number),
            seq: int(*seq),
            at_ms: at.as_millis(),
            kind: kind.to_owned(),
            author: event.author().0,
            message_id: event.id().0,
            text,
            edited_at_ms: None,
            hash: None,
        }
    }

    /// The row as it is now, without its reactions.
    pub fn row(self) -> Result<Row, StoreError> {
        let what = match (self.kind.as_str(), self.text) {
            ("created", Some(name)) => What::Created { name },
            ("joined", _) => What::Joined,
            ("left", _) => What::Left,
            ("erased", _) => What::Erased,
            ("message", Some(text)) => {
                let body = Body::parse(&text).map_err(|_| StoreError::Malformed("body"))?;
                let edited_at = self.edited_at_ms.map(Timestamp::from_millis);
                What::Message(Content { body, edited_at, reactions: Vec::new() })
            }
            _ => return Err(StoreError::Malformed("kind")),
        };
        Ok(Row {
            seq: natural(self.seq, "sequence")?,
            at: Timestamp::from_millis(self.at_ms),
            id: MessageId(self.message_id),
            author: UserId(self.author),
            what,
        })
    }
}

/// The event that made a row, with the text that the row has now; `None` when that is erased.
pub fn event_of(row: Row) -> Option<StoredEvent> {
    let Row { seq, at, id, author, what } = row;
    let event = match what {
        What::Created { name } => Event::Created { id, author, name },
        What::Joined => Event::Joined { id, author },
        What::Left => Event::Left { id, author },
        What::Message(content) => Event::Message { id, author, body: content.body },
        What::Erased => return None,
    };
    Some(StoredEvent { seq, at, event })
}

impl SentRow {
    pub fn of(key: &SentKey, sent: &Sent) -> Self {
        Self {
            id: sent_id(key),
            number: int(sent.number),
            seq: int(sent.seq),
            is_message: sent.is_message,
            edits: sent.edits.iter().map(|seq| int(*seq)).collect(),
            erased: sent.erased,
            reactions: int(sent.reactions),
        }
    }

    pub fn sent(self) -> Result<(SentKey, Sent), StoreError> {
        let edits = self.edits.into_iter().map(|seq| natural(seq, "sequence"));
        let sent = Sent {
            number: natural(self.number, "number")?,
            seq: natural(self.seq, "sequence")?,
            is_message: self.is_message,
            edits: edits.collect::<Result<_, _>>()?,
            erased: self.erased,
            reactions: natural(self.reactions, "count")?,
        };
        Ok((sent_key(&self.id)?, sent))
    }
}

impl ReactionRow {
    /// On which of the room's events it stands, which it is, and whose.
    pub fn given(&self) -> Result<(u64, Reaction, UserId), StoreError> {
        let bad = StoreError::Malformed("reaction");
        let RecordIdKey::Array(parts) = &self.id.key else { return Err(bad) };
        match (parts.get(1), parts.get(2), parts.get(3)) {
            (Some(Value::Number(number)), Some(Value::String(reaction)), Some(Value::Uuid(user))) => {
                let number = number.to_int().ok_or(StoreError::Malformed("number"))?;
                let reaction = Reaction::parse(reaction).map_err(|_| StoreError::Malformed("reaction"))?;
                Ok((natural(number, "number")?, reaction, UserId((*user).into())))
            }
            _ => Err(bad),
        }
    }
}

impl ChangeRow {
    pub fn of(applied: &Applied) -> Self {
        let StoredEvent { seq, at, event } = &applied.event;
        let mut json = serde_json::to_value(event).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            fields.remove("body");
        }
        Self {
            id: RecordId::new("change", array([text(&applied.room), int(*seq).into_value()])),
            seq: int(*seq),
            number: int(applied.number),
            at_ms: at.as_millis(),
            event: json.to_string(),
        }
    }

    /// The change, an edit with the text that the message has now; `None` when that is erased.
    pub fn event(self, message: Option<&Row>) -> Result<Option<StoredEvent>, StoreError> {
        let bad = StoreError::Malformed("change");
        let mut json: serde_json::Value =
            serde_json::from_str(&self.event).map_err(|_| StoreError::Malformed("change"))?;
        if json["type"] == "edited" {
            let Some(Row { what: What::Message(content), .. }) = message else { return Ok(None) };
            json["body"] = content.body.as_str().into();
        }
        let event = serde_json::from_value(json).map_err(|_| bad)?;
        let at = Timestamp::from_millis(self.at_ms);
        Ok(Some(StoredEvent { seq: natural(self.seq, "sequence")?, at, event }))
    }
}

impl RoomRow {
    pub fn of(room: &RoomSlug, state: &RoomState) -> Self {
        Self {
            id: room_id(room),
            name: state.name.clone(),
            creator: state.creator.0,
            count: int(state.count),
            last_seq: int(state.last_seq),
            last_message: int(state.last_message),
        }
    }

    pub fn room(self) -> Result<(RoomSlug, RoomState), StoreError> {
        let state = RoomState {
            creator: UserId(self.creator),
            count: natural(self.count, "count")?,
            last_seq: natural(self.last_seq, "sequence")?,
            last_message: natural(self.last_message, "number")?,
            name: self.name,
        };
        Ok((room_in(&self.id)?, state))
    }
}

impl AsideRow {
    pub fn of(part: Part, aside: &Aside) -> Self {
        let key = array([i64::from(part.shard.0).into_value(), int(aside.seq).into_value()]);
        Self {
            id: RecordId::new("aside", key),
            subject: aside.subject.clone(),
            code: aside.reason.code().to_owned(),
            reason: aside.reason.to_string(),
            at_ms: aside.at.as_millis(),
            bytes: int(aside.bytes as u64),
            payload: Bytes::from(aside.payload.clone()),
        }
    }
}

impl CheckpointRow {
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            stream: checkpoint.stream.0,
            applied: int(checkpoint.applied),
            applied_at_ms: checkpoint.applied_at.map(Timestamp::as_millis),
            events: int(checkpoint.totals.events),
            duplicates: int(checkpoint.totals.duplicates),
            asides: int(checkpoint.totals.asides),
            last_aside_seq: checkpoint.last_aside.as_ref().map(|(seq, _)| int(*seq)),
            last_aside_reason: checkpoint.last_aside.as_ref().map(|(_, reason)| reason.clone()),
        }
    }

    pub fn checkpoint(self) -> Result<Checkpoint, StoreError> {
        let last_aside = match (self.last_aside_seq, self.last_aside_reason) {
            (Some(seq), Some(reason)) => Some((natural(seq, "sequence")?, reason)),
            _ => None,
        };
        Ok(Checkpoint {
            stream: StreamIdentity(self.stream),
            applied: natural(self.applied, "sequence")?,
            applied_at: self.applied_at_ms.map(Timestamp::from_millis),
            totals: Totals {
                events: natural(self.events, "count")?,
                duplicates: natural(self.duplicates, "count")?,
                asides: natural(self.asides, "count")?,
            },
            last_aside,
        })
    }
}
