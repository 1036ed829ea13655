//! Rooms that do not keep things for ever, and what of them has expired.

use std::time::Duration;

use protocol::{KeepDays, MessageId, RoomSlug, Timestamp};
use surrealdb::types::{RecordId, SurrealValue, Variables};
use uuid::Uuid;

use super::event_rows::sent_id;
use super::rows::{
    int, keep_days, natural, number_in, numbered_range, range, shard_key, shard_room_in, shard_room_key,
    shard_rooms,
};
use super::tables::{CHANGE, EVENT, EXPIRED, KEEP, REACTION, TEXT};
use super::{Store, StoreError};
use crate::edition::{Edition, Editions};
use crate::projection::{Expired, Part, SentKey};

/// Rows that are deleted at once.
const PIECE: u64 = 500;
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, SurrealValue)]
pub(super) struct KeepRow {
    pub id: RecordId,
    pub keep_days: i64,
    /// When something of it may be too old.
    pub due_ms: i64,
}

/// Where the log says so is its key.
#[derive(Debug, SurrealValue)]
pub(super) struct ExpiredRow {
    pub id: RecordId,
    pub room: String,
    pub event_id: Uuid,
    pub upto: i64,
    pub since_ms: i64,
}

/// What of a room has expired, and since when nobody begins to read it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    pub expired: Expired,
    pub since: Timestamp,
}

pub(super) fn keep_id(part: Part, room: &RoomSlug) -> RecordId {
    RecordId::new(KEEP, shard_room_key(part, room))
}

fn expired_behind(part: Part, seq: u64) -> RecordId {
    range(EXPIRED, shard_key(part, seq.saturating_add(1)), shard_key(part, u64::MAX))
}

impl KeepRow {
    pub fn of(part: Part, room: &RoomSlug, keep: KeepDays) -> Self {
        Self { id: keep_id(part, room), keep_days: i64::from(keep.get()), due_ms: 0 }
    }

    fn keep(self) -> Result<(RoomSlug, KeepDays), StoreError> {
        Ok((shard_room_in(&self.id)?, keep_days(self.keep_days)?))
    }
}

impl ExpiredRow {
    pub fn of(part: Part, expired: &Expired) -> Self {
        Self {
            id: RecordId::new(EXPIRED, shard_key(part, expired.seq)),
            room: expired.room.to_string(),
            event_id: expired.id.0,
            upto: int(expired.upto),
            since_ms: Timestamp::now().as_millis(),
        }
    }

    fn expiring(self) -> Result<Expiring, StoreError> {
        let expired = Expired {
            room: RoomSlug::parse(&self.room).map_err(|_| StoreError::Malformed("room"))?,
            seq: number_in(&self.id, 1)?,
            id: MessageId(self.event_id),
            upto: natural(self.upto, "sequence")?,
        };
        Ok(Expiring { expired, since: Timestamp::from_millis(self.since_ms) })
    }
}

impl Store {
    /// Rooms of the shard in which something may be too old now, at most 100, and for how long each keeps things.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn due(&self, part: Part, now: Timestamp) -> Result<Vec<(RoomSlug, KeepDays)>, StoreError> {
        let mut variables = Variables::new();
        variables.insert("range", shard_rooms(KEEP, part));
        variables.insert("now", now.as_millis());
        let statement = "SELECT * FROM $range WHERE due_ms <= $now LIMIT 100";
        let rows: Vec<KeepRow> = self.connection.query(statement, variables, ANSWER_MAX).await?.take(0)?;
        rows.into_iter().map(KeepRow::keep).collect()
    }

    /// Notes when a room is to be looked at, unless it was told meanwhile to keep things for another time.
    pub async fn set_due(
        &self,
        part: Part,
        (room, keep): (&RoomSlug, KeepDays),
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let mut variables = Variables::new();
        variables.insert("of", keep_id(part, room));
        variables.insert("keep", i64::from(keep.get()));
        variables.insert("due", due.as_millis());
        let statement = "UPDATE $of SET due_ms = $due WHERE keep_days = $keep RETURN NONE";
        self.connection.query(statement, variables, ANSWER_MAX).await?;
        Ok(())
    }

    /// What of the shard's rooms has expired behind a sequence and is not gone yet: at most 100.
    pub async fn expired_behind(&self, part: Part, seq: u64) -> Result<Vec<Expiring>, StoreError> {
        let rows: Vec<ExpiredRow> =
            self.select_range("SELECT * FROM $range LIMIT 100", expired_behind(part, seq)).await?;
        rows.into_iter().map(ExpiredRow::expiring).collect()
    }

    /// Notes that it is gone.
    pub async fn nothing_expired(&self, part: Part, expired: &Expired) -> Result<(), StoreError> {
        let id = RecordId::new(EXPIRED, shard_key(part, expired.seq));
        let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", vec![id]).await?;
        Ok(())
    }

    /// Deletes what has expired of a room's rows: those before the number `first`, and what changed something up to the sequence.
    pub async fn delete_expired(
        &self,
        part: Part,
        (edition, first): (Edition<'_>, u64),
        upto: u64,
    ) -> Result<(), StoreError> {
        self.delete_rows_before(edition, first).await?;
        self.delete_range(&numbered_range(REACTION, edition, 0..first)).await?;
        for table in [CHANGE, TEXT] {
            self.delete_range(&numbered_range(table, edition, 0..upto.saturating_add(1))).await?;
        }
        self.drop_asides_of(part, edition.room, upto).await
    }

    /// Rows with what knows their ids, unless that is another event's now.
    async fn delete_rows_before(&self, edition: Edition<'_>, first: u64) -> Result<(), StoreError> {
        loop {
            let range = numbered_range(EVENT, edition, 0..first);
            let rows = self.some_numbered(range, PIECE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let keys: Vec<_> =
                rows.iter().map(|(_, kept)| SentKey::of_row(edition.room, &kept.row)).collect();
            let sent = self.sent(Editions::Under(edition.generation), &keys).await?;
            let sent = sent.into_iter().filter(|(_, sent)| sent.number < first);
            let sent = sent.map(|(key, _)| sent_id(edition, key.id, key.author)).collect();
            let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", sent).await?;
            let last = rows.last().map_or(0, |(number, _)| *number);
            self.delete_range(&numbered_range(EVENT, edition, 0..last + 1)).await?;
        }
    }
}
