//! What the projection must know, and what must still go from the log.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use protocol::RoomSlug;
use protocol::query::SetAside;
use surrealdb::types::{Bytes, RecordId, SurrealValue, Variables};

use super::change_rows::{EndedRow, EraseRow, TextRow, ended_id, erase_id};
use super::event_rows::{EventRow, SentRow, event_id, mark, reaction_id, sent_id};
use super::rows::{
    AsideHead, CheckpointRow, RoomRow, aside_id, asides_after, behind_room, checkpoint_id, generations_range,
    natural, numbered_range, range, room_id, shard_key,
};
use super::tables::{CHANGE, ENDED, ERASE, EVENT, EXPIRED, REACTION, ROOM, SENT, TEXT};
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::edition::{Edition, Editions};
use crate::projection::{Ended, Kept, LogEntry, Mark, Part, Place, RoomState, Sent, SentKey, Text};

/// What of a shard's log is set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asides {
    pub count: u64,
    pub oldest: Option<SetAside>,
    pub last: Option<SetAside>,
}

/// How much of a shard must go and is still there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Texts of deleted messages in the log, and rooms that were erased.
    pub erasures: u64,
    /// Times that a room's log says what has expired.
    pub expiries: u64,
}

/// Longest wait for what was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(5);

impl Store {
    /// How far the shard has been applied; `None` when nothing was ever applied.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn checkpoint(&self, part: Part) -> Result<Option<Checkpoint>, StoreError> {
        let rows: Vec<CheckpointRow> = self.select("SELECT * FROM $of", vec![checkpoint_id(part)]).await?;
        rows.into_iter().next().map(CheckpointRow::checkpoint).transpose()
    }

    /// The rooms that exist of these.
    pub async fn rooms(
        &self,
        rooms: impl IntoIterator<Item = &RoomSlug>,
    ) -> Result<HashMap<RoomSlug, RoomState>, StoreError> {
        let ids: Vec<_> = rooms.into_iter().map(room_id).collect();
        let rows: Vec<RoomRow> = self.select("SELECT * FROM $of", ids).await?;
        rows.into_iter().map(RoomRow::room).collect()
    }

    /// At most 100 rooms behind this one in the order of their slugs, of all shards.
    pub async fn rooms_after(
        &self,
        after: Option<&RoomSlug>,
    ) -> Result<Vec<(RoomSlug, RoomState)>, StoreError> {
        let rows: Vec<RoomRow> =
            self.select_range("SELECT * FROM $range LIMIT 100", behind_room(ROOM, after)).await?;
        rows.into_iter().map(RoomRow::room).collect()
    }

    /// Where the events with these ids are, of those that have a number.
    pub async fn sent(
        &self,
        editions: Editions<'_>,
        keys: impl IntoIterator<Item = &SentKey>,
    ) -> Result<HashMap<SentKey, Sent>, StoreError> {
        let keys = keys.into_iter();
        let ids: Vec<_> = keys.map(|key| sent_id(editions.of(&key.room), key.id, key.author)).collect();
        let rows: Vec<SentRow> = self.select("SELECT * FROM $of", ids).await?;
        rows.into_iter().map(SentRow::sent).collect()
    }

    /// The rows at these places.
    pub async fn kept(
        &self,
        editions: Editions<'_>,
        places: impl IntoIterator<Item = &Place>,
    ) -> Result<HashMap<Place, Kept>, StoreError> {
        let places = places.into_iter();
        let ids: Vec<_> = places.map(|place| event_id(editions.of(&place.room), place.number)).collect();
        let rows: Vec<EventRow> = self.select("SELECT * FROM $of", ids).await?;
        rows.into_iter().map(EventRow::kept).collect()
    }

    /// Which of these reactions are given.
    pub async fn marks(
        &self,
        editions: Editions<'_>,
        marks: impl IntoIterator<Item = &Mark>,
    ) -> Result<HashSet<Mark>, StoreError> {
        let ids: Vec<_> = marks.into_iter().map(|mark| reaction_id(editions, mark)).collect();
        let found: Vec<RecordId> = self.select("SELECT VALUE id FROM $of", ids).await?;
        found.iter().map(mark).collect()
    }

    /// Where the log holds texts of these messages, beside the messages themselves.
    pub async fn texts(
        &self,
        editions: Editions<'_>,
        messages: impl IntoIterator<Item = &(RoomSlug, u64)>,
    ) -> Result<Vec<Text>, StoreError> {
        let messages = messages.into_iter();
        let mut texts = Vec::new();
        for (room, seq) in messages {
            texts.extend(self.texts_between(editions.of(room), *seq..seq + 1).await?);
        }
        Ok(texts)
    }

    /// The same, of the messages with these sequences.
    pub async fn texts_between(
        &self,
        edition: Edition<'_>,
        messages: Range<u64>,
    ) -> Result<Vec<Text>, StoreError> {
        let range = numbered_range(TEXT, edition, messages);
        let rows: Vec<TextRow> = self.select_range("SELECT * FROM $range", range).await?;
        rows.into_iter().map(TextRow::text).collect()
    }

    /// The first of what must go from the shard's log, at most 100 entries.
    pub async fn to_erase(&self, part: Part) -> Result<Vec<LogEntry>, StoreError> {
        let all = range(ERASE, shard_key(part, 0), shard_key(part, u64::MAX));
        let rows: Vec<EraseRow> = self.select_range("SELECT * FROM $range LIMIT 100", all).await?;
        rows.into_iter().map(EraseRow::entry).collect()
    }

    /// Notes that these sequences are gone from the shard's log.
    pub async fn erased(&self, part: Part, sequences: &[u64]) -> Result<(), StoreError> {
        let ids = sequences.iter().map(|seq| erase_id(part, *seq)).collect();
        let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", ids).await?;
        Ok(())
    }

    /// What of the shard's log is set aside.
    pub async fn asides(&self, part: Part) -> Result<Asides, StoreError> {
        let all = || asides_after(part, 0);
        let count = self.count(all()).await?;
        let oldest = self.aside_heads("ORDER BY id LIMIT 1", all()).await?.pop();
        let last = self.aside_heads("ORDER BY id DESC LIMIT 1", all()).await?.pop();
        Ok(Asides { count, oldest, last })
    }

    /// What of the shard must go and is still there.
    pub async fn waiting(&self, part: Part) -> Result<Waiting, StoreError> {
        let all = |table| range(table, shard_key(part, 0), shard_key(part, u64::MAX));
        let erasures = self.count(all(ERASE)).await? + self.count(all(ENDED)).await?;
        Ok(Waiting { erasures, expiries: self.count(all(EXPIRED)).await? })
    }

    async fn count(&self, range: RecordId) -> Result<u64, StoreError> {
        let statement = "SELECT VALUE count FROM (SELECT count() FROM $range GROUP ALL)";
        let count: Vec<i64> = self.select_range(statement, range).await?;
        natural(count.first().copied().unwrap_or(0), "count")
    }

    /// The first 100 entries behind a sequence that are set aside.
    pub async fn asides_after(&self, part: Part, seq: u64) -> Result<Vec<SetAside>, StoreError> {
        self.aside_heads("LIMIT 100", asides_after(part, seq)).await
    }

    async fn aside_heads(&self, clause: &str, range: RecordId) -> Result<Vec<SetAside>, StoreError> {
        let statement = format!("SELECT id, subject, reason, at_ms, bytes FROM $range {clause}");
        let rows: Vec<AsideHead> = self.select_range(&statement, range).await?;
        rows.into_iter().map(AsideHead::set_aside).collect()
    }

    /// The first bytes of an entry that is set aside.
    pub async fn aside_payload(&self, part: Part, seq: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let found: Vec<Bytes> =
            self.select("SELECT VALUE payload FROM $of", vec![aside_id(part, seq)]).await?;
        Ok(found.into_iter().next().map(|payload| payload.to_vec()))
    }

    /// Rooms of the shard that were erased, of which log or database still have something: at most 10.
    pub async fn ended(&self, part: Part) -> Result<Vec<Ended>, StoreError> {
        let all = range(ENDED, shard_key(part, 0), shard_key(part, u64::MAX));
        let rows: Vec<EndedRow> = self.select_range("SELECT * FROM $range LIMIT 10", all).await?;
        rows.into_iter().map(EndedRow::ended).collect()
    }

    /// Rooms that were erased, of which log or database still have something.
    pub async fn ending(&self, part: Part) -> Result<HashSet<RoomSlug>, StoreError> {
        let all = range(ENDED, shard_key(part, 0), shard_key(part, u64::MAX));
        let rooms: Vec<String> = self.select_range("SELECT VALUE room FROM $range", all).await?;
        let room = |room: String| RoomSlug::parse(&room).map_err(|_| StoreError::Malformed("room"));
        rooms.into_iter().map(room).collect()
    }

    /// Notes that nothing is left of an erased room.
    pub async fn nothing_left(&self, part: Part, ended: &Ended) -> Result<(), StoreError> {
        let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", vec![ended_id(part, ended.seq)]).await?;
        Ok(())
    }

    /// Deletes all rows of a room under these generations, a few at a time.
    pub async fn delete_rows(&self, room: &RoomSlug, generations: Range<u64>) -> Result<(), StoreError> {
        for table in [EVENT, SENT, REACTION, CHANGE, TEXT] {
            self.delete_range(&generations_range(table, room, generations.clone())).await?;
        }
        Ok(())
    }

    /// Deletes what is in a range, a few at a time.
    pub(super) async fn delete_range(&self, range: &RecordId) -> Result<(), StoreError> {
        loop {
            let some: Vec<RecordId> =
                self.select_range("SELECT VALUE id FROM $range LIMIT 500", range.clone()).await?;
            if some.is_empty() {
                return Ok(());
            }
            let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", some).await?;
        }
    }

    pub(super) async fn select<T: SurrealValue>(
        &self,
        statement: &'static str,
        of: Vec<RecordId>,
    ) -> Result<Vec<T>, StoreError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let mut variables = Variables::new();
        variables.insert("of", of);
        Ok(self.connection.query(statement, variables, ANSWER_MAX).await?.take(0)?)
    }

    pub(super) async fn select_range<T: SurrealValue>(
        &self,
        statement: &str,
        range: RecordId,
    ) -> Result<Vec<T>, StoreError> {
        let mut variables = Variables::new();
        variables.insert("range", range);
        Ok(self.connection.query(statement, variables, ANSWER_MAX).await?.take(0)?)
    }
}
