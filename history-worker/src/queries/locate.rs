//! Where a room's rows lie.

use protocol::query::{HistoryAnswer, LocateQuery, Located};
use protocol::{RoomSlug, Since};

use super::{Answers, NoAnswer};
use crate::paging;
use crate::projection::RoomState;
use crate::store::{Rising, StoreError};

impl Answers {
    pub(super) async fn locate(&self, query: &LocateQuery) -> Result<HistoryAnswer, NoAnswer> {
        let LocateQuery { room, since, count } = query;
        self.check(room, *count)?;
        let stream = self.reached(0).await?.stream;
        let rows = match self.store.rooms([room]).await?.get(room) {
            Some(state) => self.located(room, state, (*since, *count as u64)).await?,
            None => None,
        };
        Ok(HistoryAnswer::Located { stream, rows })
    }

    async fn located(
        &self,
        room: &RoomSlug,
        state: &RoomState,
        (since, count): (Since, u64),
    ) -> Result<Option<Located>, StoreError> {
        let (rising, target) = match since {
            Since::Seq(seq) => (Rising::Sequence, seq),
            Since::Time(time) => (Rising::Time, u64::try_from(time.as_millis()).unwrap_or(0)),
        };
        let place = self.store.place(room, state, (rising, target)).await?;
        let numbers = paging::from(place, state.count, count);
        if numbers.is_empty() {
            return Ok(None);
        }
        let ends = [numbers.start, numbers.end - 1];
        let ends = self.store.rising(state.edition(room), Rising::Sequence, &ends).await?;
        let count = usize::try_from(numbers.end - numbers.start).unwrap_or(usize::MAX);
        Ok(Some(Located { first: ends[0], last: ends[1], count }))
    }
}
