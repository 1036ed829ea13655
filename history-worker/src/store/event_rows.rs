//! The rows of a room's list: what is shown, which ids are known, who reacted.

use protocol::view::{Content, SealedRow, What};
use protocol::{MessageId, Tag, Timestamp, UserId};
use surrealdb::types::{Bytes, RecordId, SurrealValue, Value};
use uuid::Uuid;

use super::StoreError;
use super::rows::{
    int, keep_days, natural, number_in, numbered_key, parts, range, room_in, row_key, sealed_bytes,
    sealed_text, text,
};
use super::tables::{EVENT, REACTION, SENT};
use crate::edition::{Edition, Editions};
use crate::projection::{Given, GivenAt, Kept, Mark, Place, Sent, SentKey};

#[derive(Debug, SurrealValue)]
pub(super) struct EventRow {
    pub id: RecordId,
    pub seq: i64,
    pub at_ms: i64,
    pub kind: String,
    pub author: Uuid,
    pub message_id: Uuid,
    /// The body of a message, or the name of a room that was created: the box, and the event that brought it.
    pub by: Option<Uuid>,
    pub sealed: Option<Bytes>,
    pub edited_ms: Option<i64>,
    pub hash: Option<String>,
    /// See [`Kept::before`].
    pub before: Option<i64>,
    pub given: Option<Vec<GivenRow>>,
    /// Of a room that was told how long it keeps things.
    pub keep_days: Option<i64>,
}

#[derive(Debug, SurrealValue)]
pub(super) struct GivenRow {
    pub tag: String,
    pub count: i64,
}

#[derive(Debug, SurrealValue)]
pub(super) struct SentRow {
    pub id: RecordId,
    pub number: i64,
    pub seq: i64,
}

/// Who gave which reaction is its key.
#[derive(Debug, SurrealValue)]
pub(super) struct ReactionRow {
    pub id: RecordId,
    /// When it was given.
    pub seq: i64,
    pub by: Uuid,
    pub sealed: Bytes,
}

pub(super) fn event_id(edition: Edition<'_>, number: u64) -> RecordId {
    RecordId::new(EVENT, numbered_key(edition, number))
}

pub(super) fn sent_id(edition: Edition<'_>, id: MessageId, author: UserId) -> RecordId {
    RecordId::new(SENT, row_key(edition, [id.0.into_value(), author.0.into_value()]))
}

/// Everybody's events with one id: an array is greater than any author.
pub(super) fn sent_range(edition: Edition<'_>, id: MessageId) -> RecordId {
    let end = [id.0.into_value(), Value::Array(Vec::<Value>::new().into())];
    range(SENT, row_key(edition, [id.0.into_value()]), row_key(edition, end))
}

pub(super) fn reaction_id(editions: Editions<'_>, mark: &Mark) -> RecordId {
    let rest = [int(mark.place.number).into_value(), text(&mark.tag), mark.user.0.into_value()];
    RecordId::new(REACTION, row_key(editions.of(&mark.place.room), rest))
}

pub(super) fn mark(id: &RecordId) -> Result<Mark, StoreError> {
    let bad = StoreError::Malformed("reaction");
    let place = Place { room: room_in(id)?, number: number_in(id, 2)? };
    match (parts(id).get(3), parts(id).get(4)) {
        (Some(Value::String(tag)), Some(Value::Uuid(user))) => {
            let tag = Tag::parse(tag).ok_or(bad)?;
            Ok(Mark { place, tag, user: UserId((*user).into()) })
        }
        _ => Err(bad),
    }
}

impl EventRow {
    pub fn of(editions: Editions<'_>, place: &Place, kept: &Kept) -> Self {
        let SealedRow { seq, at, id, author, what } = &kept.row;
        let (kind, text, edited_at) = match what {
            What::Created { name } => ("created", Some(name), None),
            What::Joined => ("joined", None, None),
            What::Left => ("left", None, None),
            What::Retention { .. } => ("retention", None, None),
            What::Unreadable => ("unreadable", None, None),
            What::UserErased => ("user_erased", None, None),
            What::Message(content) => ("message", Some(&content.body), content.edited_at),
            What::Erased | What::Unopened => ("erased", None, None),
        };
        let given = kept.given.iter().map(GivenRow::of).collect::<Vec<_>>();
        Self {
            id: event_id(editions.of(&place.room), place.number),
            seq: int(*seq),
            at_ms: at.as_millis(),
            kind: kind.to_owned(),
            author: author.0,
            message_id: id.0,
            by: text.map(|text| text.by.0),
            sealed: text.map(sealed_bytes),
            edited_ms: edited_at.map(Timestamp::as_millis),
            hash: kept.hash.clone(),
            before: (kept.before > 0).then(|| int(kept.before)),
            given: (!given.is_empty()).then_some(given),
            keep_days: match what {
                What::Retention { keep } => Some(i64::from(keep.get())),
                _ => None,
            },
        }
    }

    pub fn kept(self) -> Result<(Place, Kept), StoreError> {
        let place = Place { room: room_in(&self.id)?, number: number_in(&self.id, 2)? };
        let text = match (self.by, &self.sealed) {
            (Some(by), Some(sealed)) => Some(sealed_text(by, sealed)?),
            _ => None,
        };
        let what = match (self.kind.as_str(), text) {
            ("created", Some(name)) => What::Created { name },
            ("joined", _) => What::Joined,
            ("left", _) => What::Left,
            ("retention", _) => What::Retention { keep: keep_days(self.keep_days.unwrap_or(0))? },
            ("unreadable", _) => What::Unreadable,
            ("user_erased", _) => What::UserErased,
            ("message", Some(body)) => {
                let edited_at = self.edited_ms.map(Timestamp::from_millis);
                What::Message(Content { body, edited_at, reactions: Vec::new() })
            }
            ("erased", _) => What::Erased,
            _ => return Err(StoreError::Malformed("kind")),
        };
        let (seq, at) = (natural(self.seq, "sequence")?, Timestamp::from_millis(self.at_ms));
        let (id, author) = (MessageId(self.message_id), UserId(self.author));
        let given = self.given.unwrap_or_default().into_iter().map(GivenRow::given);
        let kept = Kept {
            row: SealedRow { seq, at, id, author, what },
            given: given.collect::<Result<_, _>>()?,
            before: natural(self.before.unwrap_or(0), "number")?,
            hash: self.hash,
        };
        Ok((place, kept))
    }
}

impl GivenRow {
    fn of(given: &Given) -> Self {
        Self { tag: given.tag.to_string(), count: int(given.count) }
    }

    fn given(self) -> Result<Given, StoreError> {
        let tag = Tag::parse(&self.tag).ok_or(StoreError::Malformed("tag"))?;
        Ok(Given { tag, count: natural(self.count, "count")? })
    }
}

impl ReactionRow {
    pub fn of(editions: Editions<'_>, mark: &Mark, GivenAt { seq, text }: &GivenAt) -> Self {
        Self { id: reaction_id(editions, mark), seq: int(*seq), by: text.by.0, sealed: sealed_bytes(text) }
    }

    pub fn given(&self) -> Result<GivenAt, StoreError> {
        Ok(GivenAt { seq: natural(self.seq, "sequence")?, text: sealed_text(self.by, &self.sealed)? })
    }
}

impl SentRow {
    pub fn of(editions: Editions<'_>, place: &Place, kept: &Kept) -> Self {
        let SealedRow { id, author, seq, .. } = kept.row;
        Self { id: sent_id(editions.of(&place.room), id, author), number: int(place.number), seq: int(seq) }
    }

    pub fn sent(self) -> Result<(SentKey, Sent), StoreError> {
        let room = room_in(&self.id)?;
        let (Some(Value::Uuid(id)), Some(Value::Uuid(author))) =
            (parts(&self.id).get(2), parts(&self.id).get(3))
        else {
            return Err(StoreError::Malformed("id"));
        };
        let key = SentKey { room, id: MessageId((*id).into()), author: UserId((*author).into()) };
        Ok((key, Sent { number: natural(self.number, "number")?, seq: natural(self.seq, "sequence")? }))
    }
}
