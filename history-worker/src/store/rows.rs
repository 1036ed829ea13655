//! The rows of rooms, checkpoints and entries set aside, and what the keys of all rows are made of.

use std::ops::{Bound, Range};

use protocol::query::SetAside;
use protocol::{KeepDays, MessageId, RoomSlug, Sealed, SealedText, StreamIdentity, Timestamp, UserId};
use surrealdb::types::{Array, Bytes, RecordId, RecordIdKey, RecordIdKeyRange, SurrealValue, Value};
use uuid::Uuid;

use super::StoreError;
use super::tables::{ASIDE, CHECKPOINT, ROOM};
use crate::checkpoint::{Checkpoint, Totals};
use crate::edition::Edition;
use crate::projection::{Aside, Part, RoomState};

#[derive(Debug, SurrealValue)]
pub(super) struct RoomRow {
    pub id: RecordId,
    pub creator: Uuid,
    pub count: i64,
    pub last_seq: i64,
    pub last_message: i64,
    pub erased_people: Vec<Uuid>,
    pub erased: bool,
    pub generation: i64,
    /// Missing in rows from before anything could expire, as the two below.
    pub first: Option<i64>,
    pub expired: Option<i64>,
    pub keep_days: Option<i64>,
}

/// A room in any layout.
#[derive(Debug, SurrealValue)]
pub(super) struct RoomHead {
    id: RecordId,
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

/// An entry that was set aside, without its bytes, which may be many.
#[derive(Debug, SurrealValue)]
pub(super) struct AsideHead {
    pub id: RecordId,
    pub subject: String,
    pub reason: String,
    pub at_ms: i64,
    pub bytes: i64,
}

#[derive(Debug, SurrealValue)]
pub(super) struct CheckpointRow {
    pub stream: i64,
    pub applied: i64,
    pub turn: i64,
    pub applied_at_ms: Option<i64>,
    pub events: i64,
    pub duplicates: i64,
    pub asides: i64,
}

/// A sealed text from its columns.
pub(super) fn sealed_text(by: Uuid, sealed: &Bytes) -> Result<SealedText, StoreError> {
    let sealed = Sealed::from_bytes(sealed.to_vec()).ok_or(StoreError::Malformed("box"))?;
    Ok(SealedText { by: MessageId(by), sealed })
}

pub(super) fn sealed_bytes(text: &SealedText) -> Bytes {
    Bytes::from(text.sealed.as_bytes().to_vec())
}

/// Sequences and counts are far below the database's largest integer; what is above means "the end".
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn natural(number: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Malformed(what))
}

pub(super) fn keep_days(days: i64) -> Result<KeepDays, StoreError> {
    let days = u16::try_from(days).ok().and_then(KeepDays::new);
    days.ok_or(StoreError::Malformed("days"))
}

pub(super) fn array(parts: impl IntoIterator<Item = Value>) -> RecordIdKey {
    RecordIdKey::Array(Array::from(parts.into_iter().collect::<Vec<_>>()))
}

pub(super) fn text(text: &impl ToString) -> Value {
    Value::String(text.to_string())
}

/// The key of a row of a room's edition, which ends with these parts.
pub(super) fn row_key(
    Edition { room, generation }: Edition<'_>,
    rest: impl IntoIterator<Item = Value>,
) -> RecordIdKey {
    array([text(room), int(generation).into_value()].into_iter().chain(rest))
}

/// The key of what an edition has with a number or a sequence.
pub(super) fn numbered_key(edition: Edition<'_>, number: u64) -> RecordIdKey {
    row_key(edition, [int(number).into_value()])
}

/// Everything of an edition in a table whose key goes on with one of these numbers.
pub(super) fn numbered_range(table: &str, edition: Edition<'_>, numbers: Range<u64>) -> RecordId {
    let key = |number| numbered_key(edition, number);
    range(table, key(numbers.start), key(numbers.end))
}

/// Everything of a room in a table, under any of these generations.
pub(super) fn generations_range(table: &str, room: &RoomSlug, generations: Range<u64>) -> RecordId {
    let key = |generation| row_key(Edition { room, generation }, []);
    range(table, key(generations.start), key(generations.end))
}

pub(super) fn range(table: &str, from: RecordIdKey, to: RecordIdKey) -> RecordId {
    RecordId::new(table, RecordIdKeyRange { start: Bound::Included(from), end: Bound::Excluded(to) })
}

pub(super) fn room_id(room: &RoomSlug) -> RecordId {
    RecordId::new(ROOM, array([text(room)]))
}

/// All rooms of a table behind this one: an array is greater than any text.
pub(super) fn behind_room(table: &str, after: Option<&RoomSlug>) -> RecordId {
    let end = || Value::Array(Vec::<Value>::new().into());
    let from = after.map_or_else(|| array([]), |after| array([text(after), end()]));
    range(table, from, array([end()]))
}

pub(super) fn aside_id(part: Part, seq: u64) -> RecordId {
    RecordId::new(ASIDE, shard_key(part, seq))
}

/// What a shard has set aside behind a sequence.
pub(super) fn asides_after(part: Part, seq: u64) -> RecordId {
    range(ASIDE, shard_key(part, seq.saturating_add(1)), shard_key(part, u64::MAX))
}

/// What a shard has set aside from one sequence to another, both included.
pub(super) fn asides_between(part: Part, first: u64, last: u64) -> RecordId {
    range(ASIDE, shard_key(part, first), shard_key(part, last.saturating_add(1)))
}

pub(super) fn checkpoint_id(part: Part) -> RecordId {
    RecordId::new(CHECKPOINT, array([i64::from(part.shard.0).into_value()]))
}

/// The key of what a shard has with a sequence.
pub(super) fn shard_key(part: Part, seq: u64) -> RecordIdKey {
    array([i64::from(part.shard.0).into_value(), int(seq).into_value()])
}

/// The key of what a shard has of a room.
pub(super) fn shard_room_key(part: Part, room: &RoomSlug) -> RecordIdKey {
    array([i64::from(part.shard.0).into_value(), text(room)])
}

/// What a shard has of all its rooms: an array is greater than any text.
pub(super) fn shard_rooms(table: &str, part: Part) -> RecordId {
    let shard = || i64::from(part.shard.0).into_value();
    range(table, array([shard()]), array([shard(), Value::Array(Vec::<Value>::new().into())]))
}

/// The same behind a room.
pub(super) fn shard_rooms_behind(table: &str, part: Part, after: &RoomSlug) -> RecordId {
    let shard = || i64::from(part.shard.0).into_value();
    let end = || Value::Array(Vec::<Value>::new().into());
    range(table, array([shard(), text(after), end()]), array([shard(), end()]))
}

/// The room in the id of such a record.
pub(super) fn shard_room_in(id: &RecordId) -> Result<RoomSlug, StoreError> {
    match parts(id).get(1) {
        Some(Value::String(text)) => RoomSlug::parse(text).map_err(|_| StoreError::Malformed("room")),
        _ => Err(StoreError::Malformed("room")),
    }
}

/// The parts of a record id's key.
pub(super) fn parts(id: &RecordId) -> &[Value] {
    match &id.key {
        RecordIdKey::Array(parts) => parts,
        _ => &[],
    }
}

/// The room in a record id that begins with one.
pub(super) fn room_in(id: &RecordId) -> Result<RoomSlug, StoreError> {
    let bad = StoreError::Malformed("room");
    match parts(id).first() {
        Some(Value::String(text)) => RoomSlug::parse(text).map_err(|_| bad),
        _ => Err(bad),
    }
}

/// The number at a place of a record id's key.
pub(super) fn number_in(id: &RecordId, place: usize) -> Result<u64, StoreError> {
    match parts(id).get(place) {
        Some(Value::Number(number)) => number
            .to_int()
            .ok_or(StoreError::Malformed("number"))
            .and_then(|number| natural(number, "number")),
        _ => Err(StoreError::Malformed("number")),
    }
}

impl RoomRow {
    pub fn of(room: &RoomSlug, state: &RoomState) -> Self {
        Self {
            id: room_id(room),
            creator: state.creator.0,
            count: int(state.count),
            last_seq: int(state.last_seq),
            last_message: int(state.last_message),
            erased_people: state.erased_people.iter().map(|user| user.0).collect(),
            erased: state.erased,
            generation: int(state.generation),
            first: Some(int(state.first)),
            expired: Some(int(state.expired)),
            keep_days: Some(i64::from(state.keep.get())),
        }
    }

    pub fn room(self) -> Result<(RoomSlug, RoomState), StoreError> {
        let state = RoomState {
            creator: UserId(self.creator),
            count: natural(self.count, "count")?,
            last_seq: natural(self.last_seq, "sequence")?,
            last_message: natural(self.last_message, "number")?,
            erased_people: self.erased_people.into_iter().map(UserId).collect(),
            erased: self.erased,
            generation: natural(self.generation, "generation")?,
            first: natural(self.first.unwrap_or(1), "number")?,
            expired: natural(self.expired.unwrap_or(0), "sequence")?,
            keep: keep_days(self.keep_days.unwrap_or(0))?,
        };
        Ok((room_in(&self.id)?, state))
    }
}

impl RoomHead {
    pub fn room(&self) -> Result<RoomSlug, StoreError> {
        room_in(&self.id)
    }
}

impl AsideRow {
    pub fn of(part: Part, aside: &Aside) -> Self {
        Self {
            id: aside_id(part, aside.seq),
            subject: aside.subject.clone(),
            code: aside.reason.code().to_owned(),
            reason: aside.reason.to_string(),
            at_ms: aside.at.as_millis(),
            bytes: int(aside.bytes as u64),
            payload: Bytes::from(aside.payload.clone()),
        }
    }
}

impl AsideHead {
    pub fn set_aside(self) -> Result<SetAside, StoreError> {
        Ok(SetAside {
            seq: number_in(&self.id, 1)?,
            at: Timestamp::from_millis(self.at_ms),
            subject: self.subject,
            reason: self.reason,
            bytes: natural(self.bytes, "bytes")?,
        })
    }
}

impl CheckpointRow {
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            stream: checkpoint.stream.0,
            applied: int(checkpoint.applied),
            turn: int(checkpoint.turn),
            applied_at_ms: checkpoint.applied_at.map(Timestamp::as_millis),
            events: int(checkpoint.totals.events),
            duplicates: int(checkpoint.totals.duplicates),
            asides: int(checkpoint.totals.asides),
        }
    }

    pub fn checkpoint(self) -> Result<Checkpoint, StoreError> {
        Ok(Checkpoint {
            stream: StreamIdentity(self.stream),
            applied: natural(self.applied, "sequence")?,
            turn: natural(self.turn, "turn")?,
            applied_at: self.applied_at_ms.map(Timestamp::from_millis),
            totals: Totals {
                events: natural(self.events, "count")?,
                duplicates: natural(self.duplicates, "count")?,
                asides: natural(self.asides, "count")?,
            },
        })
    }
}
