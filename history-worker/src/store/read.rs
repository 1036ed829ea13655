//! What is read: for the projection, what it must know; for queries, pages and last messages.

use std::collections::{HashMap, HashSet};
use std::ops::{Bound, Range};
use std::time::Duration;

use protocol::{RoomSlug, StoredEvent};
use surrealdb::types::{RecordId, RecordIdKeyRange, SurrealValue, Variables};

use super::rows::{
    CheckpointRow, EventRow, RoomRow, checkpoint_id, event_id, event_key, room_id, sent_id, sent_key,
};
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::projection::{Part, RoomState, SentKey};

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

    /// Which of these events are stored already.
    pub async fn sent(
        &self,
        keys: impl IntoIterator<Item = &SentKey>,
    ) -> Result<HashSet<SentKey>, StoreError> {
        let ids: Vec<_> = keys.into_iter().map(sent_id).collect();
        let found: Vec<RecordId> = self.select("SELECT VALUE id FROM $of", ids).await?;
        found.iter().map(sent_key).collect()
    }

    /// The events of a room with these numbers, in their order.
    pub async fn events(&self, room: &RoomSlug, numbers: Range<u64>) -> Result<Vec<StoredEvent>, StoreError> {
        let range = RecordIdKeyRange {
            start: Bound::Included(event_key(room, numbers.start)),
            end: Bound::Excluded(event_key(room, numbers.end)),
        };
        let mut variables = Variables::new();
        variables.insert("range", RecordId::new("event", range));
        let mut found = self.connection.query("SELECT * FROM $range", variables, ANSWER_MAX).await?;
        let rows: Vec<EventRow> = found.take(0)?;
        rows.into_iter().map(|row| row.event().map(|(_, event)| event)).collect()
    }

    /// The sequences of the room's events with these numbers, in their order.
    pub async fn sequences(&self, room: &RoomSlug, numbers: &[u64]) -> Result<Vec<u64>, StoreError> {
        let ids = numbers.iter().map(|number| event_id(room, *number)).collect();
        let found: Vec<i64> = self.select("SELECT VALUE seq FROM $of", ids).await?;
        if found.len() != numbers.len() {
            return Err(StoreError::Malformed("number"));
        }
        found
            .into_iter()
            .map(|seq| u64::try_from(seq).map_err(|_| StoreError::Malformed("sequence")))
            .collect()
    }

    /// The last message of each of these rooms that has one.
    pub async fn last_messages(
        &self,
        rooms: &[RoomSlug],
    ) -> Result<Vec<(RoomSlug, StoredEvent)>, StoreError> {
        let states = self.rooms(rooms).await?;
        let with_messages = states.iter().filter(|(_, state)| state.last_message > 0);
        let ids = with_messages.map(|(room, state)| event_id(room, state.last_message)).collect();
        let rows: Vec<EventRow> = self.select("SELECT * FROM $of", ids).await?;
        rows.into_iter().map(EventRow::event).collect()
    }

    async fn select<T: SurrealValue>(
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
}
