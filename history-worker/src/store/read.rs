//! What is read: for the projection, what it must know; for queries, pages and last messages.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use protocol::view::{Row, What};
use protocol::{MessageId, RoomSlug, StoredEvent};
use surrealdb::types::{RecordId, SurrealValue, Variables};

use super::rows::{
    ChangeRow, CheckpointRow, EventRow, ReactionRow, RoomRow, SentRow, changes_between, checkpoint_id,
    erase_all, event_id, event_key, event_of, natural, range, reactions_between, room_id, sent_id,
    sent_under,
};
use super::{Store, StoreError};
use crate::changes::Sent;
use crate::checkpoint::Checkpoint;
use crate::projection::{Part, RoomState, SentKey};

/// Longest wait for what was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Rows before a room's last message that are looked at for one that was not deleted.
const LOOKED_BACK: u64 = 10;

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

    /// What is kept under these ids, where something is.
    pub async fn sent(
        &self,
        keys: impl IntoIterator<Item = &SentKey>,
    ) -> Result<HashMap<SentKey, Sent>, StoreError> {
        let ids: Vec<_> = keys.into_iter().map(sent_id).collect();
        let found: Vec<SentRow> = self.select("SELECT * FROM $of", ids).await?;
        found.into_iter().map(SentRow::sent).collect()
    }

    /// The rows of a room with these numbers as they are now, in their order.
    pub async fn rows(&self, room: &RoomSlug, numbers: Range<u64>) -> Result<Vec<Row>, StoreError> {
        let events = range("event", event_key(room, numbers.start), event_key(room, numbers.end));
        let found: Vec<EventRow> = self.in_range(events).await?;
        let mut rows: Vec<Row> = found.into_iter().map(EventRow::row).collect::<Result<_, _>>()?;
        let given: Vec<ReactionRow> =
            self.in_range(reactions_between(room, numbers.start, numbers.end)).await?;
        put_reactions(&mut rows, numbers.start, given)?;
        Ok(rows)
    }

    /// The changes of a room with `first <= sequence < end`, in their order, each with the text that its message has now.
    pub async fn changes(
        &self,
        room: &RoomSlug,
        first: u64,
        end: u64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let found: Vec<ChangeRow> = self.in_range(changes_between(room, first, end)).await?;
        let mut numbers: Vec<_> = found.iter().map(|change| change.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let ids = numbers.iter().map(|number| event_id(room, (*number).unsigned_abs())).collect();
        let messages: Vec<EventRow> = self.select("SELECT * FROM $of", ids).await?;
        let messages: Vec<Row> = messages.into_iter().map(EventRow::row).collect::<Result<_, _>>()?;
        let messages: HashMap<_, _> = numbers.into_iter().zip(messages).collect();
        let events = found.into_iter().map(|change| {
            let message = messages.get(&change.number);
            change.event(message)
        });
        events.filter_map(Result::transpose).collect()
    }

    /// The rows of a room's messages with this id, each as it is now.
    pub async fn found(&self, room: &RoomSlug, id: MessageId) -> Result<Vec<Row>, StoreError> {
        let sent: Vec<SentRow> = self.in_range(sent_under(room, id)).await?;
        let mut rows = Vec::new();
        for row in sent.into_iter().filter(|row| row.is_message) {
            let number = row.sent()?.1.number;
            rows.extend(self.rows(room, number..number + 1).await?);
        }
        Ok(rows)
    }

    /// The sequences of texts that are still to be taken out of the shard's log.
    pub async fn texts_to_erase(&self, part: Part) -> Result<Vec<u64>, StoreError> {
        let mut variables = Variables::new();
        variables.insert("range", erase_all(part));
        let statement = "SELECT VALUE record::id(id)[1] FROM $range LIMIT 1000";
        let found: Vec<i64> = self.connection.query(statement, variables, ANSWER_MAX).await?.take(0)?;
        found.into_iter().map(|seq| natural(seq, "sequence")).collect()
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

    /// The last message of each of these rooms as it is now, where one of the last ten is left.
    pub async fn last_messages(
        &self,
        rooms: &[RoomSlug],
    ) -> Result<Vec<(RoomSlug, StoredEvent)>, StoreError> {
        let mut last = Vec::new();
        for (room, state) in self.rooms(rooms).await? {
            let from = state.last_message.saturating_sub(LOOKED_BACK).max(1);
            let rows = self.rows(&room, from..state.last_message + 1).await?;
            let messages = rows.into_iter().rev().filter(|row| matches!(row.what, What::Message(_)));
            last.extend(messages.take(1).filter_map(event_of).map(|event| (room.clone(), event)));
        }
        Ok(last)
    }

    async fn in_range<T: SurrealValue>(&self, range: RecordId) -> Result<Vec<T>, StoreError> {
        let mut variables = Variables::new();
        variables.insert("range", range);
        Ok(self.connection.query("SELECT * FROM $range", variables, ANSWER_MAX).await?.take(0)?)
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

/// Puts reactions to their rows, the first of which has the number `first`: in the order in which they were given.
fn put_reactions(rows: &mut [Row], first: u64, mut given: Vec<ReactionRow>) -> Result<(), StoreError> {
    given.sort_by_key(|row| row.seq);
    for row in given {
        let (number, reaction, user) = row.given()?;
        let place = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let Some(row) = place.and_then(|place| rows.get_mut(place)) else { continue };
        if let What::Message(content) = &mut row.what {
            content.react(user, &reaction);
        }
    }
    Ok(())
}
