//! A page of a room as it is now.

use protocol::query::{Page, PageQuery};

use super::{Answers, NoAnswer};
use crate::paging::{self, ANSWER_BYTES_MAX, PAGE_REACTIONS_MAX};
use crate::projection::{Kept, RoomState};
use crate::store::{Rising, StoreError};

impl Answers {
    pub(super) async fn page(&self, query: &PageQuery) -> Result<Page, NoAnswer> {
        self.check(&query.room, query.limit)?;
        let progress = self.reached(query.at_least).await?;
        // Read after the progress, so that the page has at least what it says is applied.
        let states = self.store.rooms([&query.room]).await?;
        let nothing = Page { stream: progress.stream, applied: progress.applied, rows: Vec::new(), prev: 0 };
        match states.get(&query.room) {
            Some(state) => Ok(self.page_of(query, state, nothing).await?),
            None => Ok(nothing),
        }
    }

    async fn page_of(&self, query: &PageQuery, state: &RoomState, page: Page) -> Result<Page, StoreError> {
        let edition = state.edition(&query.room);
        let place = self.store.place(&query.room, state, (Rising::Sequence, query.before)).await?;
        let numbers = paging::before(place, state.first, query.limit as u64);
        // The row before the page is read with it, for its sequence.
        let first = numbers.start.saturating_sub(1).max(state.first);
        let mut kept = self.store.rows(edition, first..numbers.end).await?;
        if kept.len() as u64 != numbers.end - first {
            return Err(StoreError::Malformed("number"));
        }
        let (limit, mut prev) = (query.limit, 0);
        cut(&mut kept, limit.min((numbers.end - numbers.start) as usize), &mut prev, |kept| kept.row.seq);
        let reactions = kept.iter().rev().map(|kept: &Kept| kept.reactions() as usize);
        let fitting = paging::fitting(reactions, PAGE_REACTIONS_MAX);
        cut(&mut kept, fitting, &mut prev, |kept| kept.row.seq);
        let first = numbers.end - kept.len() as u64;
        let mut rows = self.store.shown(edition, first, (kept, &state.erased_people)).await?;
        let fitting = paging::fitting(rows.iter().rev().map(paging::bytes), ANSWER_BYTES_MAX);
        cut(&mut rows, fitting, &mut prev, |row| row.seq);
        Ok(Page { rows, prev, ..page })
    }
}

/// Keeps the last `count` rows; `prev` becomes the sequence of the row before them, if one is cut off.
fn cut<T>(rows: &mut Vec<T>, count: usize, prev: &mut u64, seq: impl Fn(&T) -> u64) {
    let surplus = rows.len().saturating_sub(count);
    if surplus > 0 {
        *prev = seq(&rows[surplus - 1]);
        rows.drain(..surplus);
    }
}
