//! What questions are answered with: rows as they are now, and what happened to them.

use std::collections::HashMap;
use std::ops::Range;

use protocol::view::{SealedRow, What};
use protocol::{Event, MessageId, RoomSlug, SealedStored, UserId};

use surrealdb::types::RecordId;

use super::change_rows::ChangeRow;
use super::event_rows::{EventRow, ReactionRow, SentRow, event_id, mark, sent_range};
use super::rows::{natural, numbered_range};
use super::tables::{CHANGE, EVENT, REACTION};
use super::{Store, StoreError};
use crate::edition::{Edition, Editions};
use crate::paging::Search;
use crate::projection::{Change, GivenAt, Kept, Mark, Place, RoomState};

/// What rises with a room's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rising {
    Sequence,
    /// Milliseconds since 1970.
    Time,
}

impl Store {
    /// The rows of a room with these numbers, in their order, without the people who reacted.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn rows(&self, edition: Edition<'_>, numbers: Range<u64>) -> Result<Vec<Kept>, StoreError> {
        let rows = self.numbered(edition, numbers).await?;
        Ok(rows.into_iter().map(|(_, kept)| kept).collect())
    }

    /// The same, each with its number: where one is missing, they are not consecutive.
    pub async fn numbered(
        &self,
        edition: Edition<'_>,
        numbers: Range<u64>,
    ) -> Result<Vec<(u64, Kept)>, StoreError> {
        let limit = numbers.end.saturating_sub(numbers.start);
        self.some_numbered(numbered_range(EVENT, edition, numbers), limit).await
    }

    /// The first `limit` rows of a range, each with its number.
    pub(super) async fn some_numbered(
        &self,
        range: RecordId,
        limit: u64,
    ) -> Result<Vec<(u64, Kept)>, StoreError> {
        let statement = format!("SELECT * FROM $range LIMIT {limit}");
        let rows: Vec<EventRow> = self.select_range(&statement, range).await?;
        rows.into_iter().map(|row| row.kept().map(|(place, kept)| (place.number, kept))).collect()
    }

    /// The number of the room's first row that has come so far; one more than that of its last row when there is none.
    pub async fn place(
        &self,
        room: &RoomSlug,
        state: &RoomState,
        (rising, target): (Rising, u64),
    ) -> Result<u64, StoreError> {
        if state.rows() == 0 {
            return Ok(state.count + 1);
        }
        let edition = state.edition(room);
        let last = match rising {
            Rising::Sequence => state.last_seq,
            Rising::Time => self.rising(edition, rising, &[state.count]).await?[0],
        };
        if target > last {
            return Ok(state.count + 1);
        }
        let mut search = Search::new(target, state.first..=state.count);
        loop {
            if let Some(number) = search.found() {
                return Ok(number);
            }
            let probes = search.probes();
            search.narrow(&probes, &self.rising(edition, rising, &probes).await?);
        }
    }

    /// Rows whose numbers follow each other from `first` on, as they are shown, without the reactions of people who were erased.
    pub async fn shown(
        &self,
        edition: Edition<'_>,
        first: u64,
        (kept, erased): (Vec<Kept>, &[UserId]),
    ) -> Result<Vec<SealedRow>, StoreError> {
        let with_reactions = |kept: &Kept| !kept.given.is_empty();
        let from = kept.iter().position(with_reactions).unwrap_or(kept.len()) as u64;
        let to = kept.iter().rposition(with_reactions).map_or(0, |last| last as u64 + 1);
        let mut marks = HashMap::new();
        if from < to {
            marks = self.given(edition, first + from..first + to).await?;
        }
        let rows = (first..).zip(kept).map(|(number, kept)| {
            let of_it = marks.get_mut(&number).map(Vec::as_mut_slice);
            kept.shown(of_it.unwrap_or_default(), erased)
        });
        Ok(rows.collect())
    }

    /// The reactions to the rows with these numbers.
    pub async fn given(
        &self,
        edition: Edition<'_>,
        numbers: Range<u64>,
    ) -> Result<HashMap<u64, Vec<(GivenAt, Mark)>>, StoreError> {
        let range = numbered_range(REACTION, edition, numbers);
        let rows: Vec<ReactionRow> = self.select_range("SELECT * FROM $range", range).await?;
        let mut marks: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let mark = mark(&row.id)?;
            marks.entry(mark.place.number).or_default().push((row.given()?, mark));
        }
        Ok(marks)
    }

    /// How far the room's rows with these numbers have come, in their order.
    pub async fn rising(
        &self,
        edition: Edition<'_>,
        rising: Rising,
        numbers: &[u64],
    ) -> Result<Vec<u64>, StoreError> {
        let ids = numbers.iter().map(|number| event_id(edition, *number));
        let (statement, what) = match rising {
            Rising::Sequence => ("SELECT VALUE seq FROM $of", "sequence"),
            Rising::Time => ("SELECT VALUE at_ms FROM $of", "time"),
        };
        let found: Vec<i64> = self.select(statement, ids.collect()).await?;
        if found.len() != numbers.len() {
            return Err(StoreError::Malformed("number"));
        }
        found.into_iter().map(|value| natural(value, what)).collect()
    }

    /// The first `limit` changes of the room's rows with these sequences, in their order.
    pub async fn changes(
        &self,
        edition: Edition<'_>,
        sequences: Range<u64>,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let statement = format!("SELECT * FROM $range LIMIT {limit}");
        let range = numbered_range(CHANGE, edition, sequences);
        let rows: Vec<ChangeRow> = self.select_range(&statement, range).await?;
        rows.into_iter().map(ChangeRow::change).collect()
    }

    /// The messages of a room with this id, erased ones too: at most 100.
    pub async fn find(&self, room: &RoomSlug, id: MessageId) -> Result<Vec<SealedRow>, StoreError> {
        let Some(state) = self.rooms([room]).await?.remove(room) else { return Ok(Vec::new()) };
        let edition = state.edition(room);
        let found: Vec<SentRow> =
            self.select_range("SELECT * FROM $range LIMIT 100", sent_range(edition, id)).await?;
        let mut rows = Vec::new();
        for sent in found {
            let (_, sent) = sent.sent()?;
            if sent.number < state.first {
                continue;
            }
            let kept = self.rows(edition, sent.number..sent.number + 1).await?;
            rows.extend(self.shown(edition, sent.number, (kept, &state.erased_people)).await?);
        }
        rows.retain(|row| matches!(row.what, What::Message(_) | What::Erased));
        Ok(rows)
    }

    /// The last message of each of these rooms that has one.
    pub async fn last_messages(
        &self,
        rooms: &[RoomSlug],
    ) -> Result<Vec<(RoomSlug, SealedStored)>, StoreError> {
        let states = self.rooms(rooms).await?;
        let with_messages = states.iter().filter(|(_, state)| state.last_message > 0);
        let places: Vec<_> =
            with_messages.map(|(room, state)| Place::new(room, state.last_message)).collect();
        let kept = self.kept(Editions::Read(&states), &places).await?;
        let last = kept.into_iter().filter_map(|(place, kept)| Some((place.room, message(&kept.row)?)));
        Ok(last.collect())
    }
}

/// The event that stored a message, with the text that the message has now.
pub fn message(row: &SealedRow) -> Option<SealedStored> {
    let What::Message(content) = &row.what else { return None };
    let event = Event::Message { id: row.id, author: row.author, body: content.body.clone() };
    Some(SealedStored { seq: row.seq, at: row.at, event })
}
