//! The rows, and their way to and from the types of the protocol.

use protocol::{Body, Event, MessageId, RoomSlug, StoredEvent, StreamIdentity, Timestamp, UserId};
use surrealdb::types::{Array, Bytes, RecordId, RecordIdKey, SurrealValue, Value};
use uuid::Uuid;

use super::StoreError;
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
}

#[derive(Debug, SurrealValue)]
pub(super) struct SentRow {
    pub id: RecordId,
    pub number: i64,
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

fn natural(number: i64, what: &'static str) -> Result<u64, StoreError> {
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
    RecordId::new("sent", array([text(&key.room), key.author.0.into_value(), key.id.0.into_value()]))
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
    match (parts.get(1), parts.get(2)) {
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
        };
        Self {
            id: event_id(&numbered.room, numbered.number),
            seq: int(*seq),
            at_ms: at.as_millis(),
            kind: kind.to_owned(),
            author: event.author().0,
            message_id: event.id().0,
            text,
        }
    }

    pub fn event(self) -> Result<(RoomSlug, StoredEvent), StoreError> {
        let room = room_in(&self.id)?;
        let (author, id) = (UserId(self.author), MessageId(self.message_id));
        let event = match (self.kind.as_str(), self.text) {
            ("created", Some(name)) => Event::Created { id, author, name },
            ("joined", _) => Event::Joined { id, author },
            ("left", _) => Event::Left { id, author },
            ("message", Some(text)) => {
                let body = Body::parse(&text).map_err(|_| StoreError::Malformed("body"))?;
                Event::Message { id, author, body }
            }
            _ => return Err(StoreError::Malformed("kind")),
        };
        let seq = natural(self.seq, "sequence")?;
        Ok((room, StoredEvent { seq, at: Timestamp::from_millis(self.at_ms), event }))
    }
}

impl SentRow {
    pub fn of(numbered: &Numbered) -> Self {
        let key = SentKey::of(&numbered.room, &numbered.event.event);
        Self { id: sent_id(&key), number: int(numbered.number) }
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
