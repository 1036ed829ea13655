//! Of which rooms the log has lost the beginning, and whether a snapshot has what it lost.

use std::ops::Range;
use std::time::Duration;

use broker::Broker;
use futures_util::future::try_join_all;
use protocol::RoomSlug;
use protocol::query::{AgedRoom, Among, Look, Looked};
use tokio::time::Instant;

use super::is_a_beginning;
use crate::Error;
use crate::projection::{Changed, Part, RoomState};
use crate::store::Store;
use crate::unknown::{self, Unknown};

/// After this time no further rooms are looked at for one answer.
const WHILE: Duration = Duration::from_secs(2);
/// Rooms that are looked at side by side.
const AT_ONCE: usize = 32;
/// Rows, or changes, that are read at once.
const PIECE: u64 = 1_000;

/// What a shard's rooms are looked at with.
pub struct Looking<'a> {
    pub part: Part,
    pub broker: &'a Broker,
    pub store: &'a Store,
    /// Up to which sequence the log is applied.
    pub applied: u64,
}

/// The next rooms, as the history has them, and what comes after them.
struct Portion {
    rooms: Vec<(RoomSlug, Option<RoomState>)>,
    next: Option<Among>,
}

impl Looking<'_> {
    /// Looks at a part of the rooms.
    ///
    /// # Errors
    /// When log or database can't be read, here and below.
    pub async fn look(&self, Look { rooms, snapshot }: Look) -> Result<Looked, Error> {
        let began = Instant::now();
        let mut looked = Looked::default();
        let mut next = Some(rooms);
        while let Some(some) = next.take() {
            let Portion { rooms, next: further } = self.some(some).await?;
            next = further;
            for rooms in rooms.chunks(AT_ONCE) {
                let looks = rooms.iter().map(|(room, state)| self.aged(room, state.as_ref(), snapshot));
                looked.rooms += rooms.len() as u64;
                looked.aged.extend(try_join_all(looks).await?.into_iter().flatten());
            }
            if began.elapsed() >= WHILE {
                looked.next = next.take();
            }
        }
        Ok(looked)
    }

    /// What was erased has nothing to lose.
    async fn some(&self, among: Among) -> Result<Portion, Error> {
        let with = (self.broker, self.store);
        match among {
            Among::Room(room) => {
                let state = self.store.rooms([&room]).await?.remove(&room);
                let is_left = state.as_ref().is_none_or(|state| !state.erased);
                Ok(Portion { rooms: is_left.then_some((room, state)).into_iter().collect(), next: None })
            }
            Among::Known { after } => {
                let rooms = self.store.rooms_after(after.as_ref()).await?;
                let next = match rooms.last() {
                    Some((last, _)) => Among::Known { after: Some(last.clone()) },
                    None => Among::Unknown { after: 0 },
                };
                let of_shard = rooms.into_iter().filter(|(room, state)| self.part.has(room) && !state.erased);
                let rooms = of_shard.map(|(room, state)| (room, Some(state))).collect();
                Ok(Portion { rooms, next: Some(next) })
            }
            Among::Unknown { after } => {
                let Unknown { rooms, next } = unknown::rooms(self.part, with, after, self.applied).await?;
                let rooms = rooms.into_iter().map(|(_, room)| (room, None)).collect();
                Ok(Portion { rooms, next: next.map(|after| Among::Unknown { after }) })
            }
            Among::Strange(rooms) => {
                let known = self.store.rooms(&rooms).await?;
                let strange =
                    rooms.into_iter().filter(|room| self.part.has(room) && !known.contains_key(room));
                Ok(Portion { rooms: strange.map(|room| (room, None)).collect(), next: None })
            }
        }
    }

    async fn aged(
        &self,
        room: &RoomSlug,
        state: Option<&RoomState>,
        snapshot: Option<u64>,
    ) -> Result<Option<AgedRoom>, Error> {
        let (stream, log) = (self.part.shard.stream(), self.part.shard.log(room));
        let first = self.broker.next_known(&stream, &log, 0).await?;
        if first.as_ref().is_some_and(|first| is_a_beginning(&first.payload)) {
            return Ok(None);
        }
        let first = first.map(|first| first.seq);
        let covered = match snapshot {
            Some(upto) => self.covers(upto, (room, state), first).await?,
            None => false,
        };
        Ok(Some(AgedRoom { room: room.clone(), first, covered }))
    }

    /// Whether a snapshot up to a sequence and the log, which has nothing of the room before `first`, have nothing between them that
    /// neither has.
    pub async fn covers(
        &self,
        upto: u64,
        (room, state): (&RoomSlug, Option<&RoomState>),
        first: Option<u64>,
    ) -> Result<bool, Error> {
        let behind = upto.saturating_add(1);
        if first.is_some_and(|first| first <= behind) {
            return Ok(true);
        }
        if self.broker.stream(&self.part.shard.stream()).await?.first_seq > behind {
            return Ok(false);
        }
        // The log may have lost something of this room alone.
        match state {
            Some(state) => self.has_nothing_between((room, state), behind..first.unwrap_or(u64::MAX)).await,
            None => Ok(true),
        }
    }

    /// Whether the history has nothing of a room with these sequences, but for messages that were deleted.
    async fn has_nothing_between(
        &self,
        (room, state): (&RoomSlug, &RoomState),
        sequences: Range<u64>,
    ) -> Result<bool, Error> {
        let edition = state.edition(room);
        let mut end = state.count + 1;
        while end > state.first {
            let begin = end.saturating_sub(PIECE).max(state.first);
            let rows = self.store.numbered(edition, begin..end).await?;
            if rows.iter().any(|(_, kept)| sequences.contains(&kept.row.seq) && !kept.is_erased()) {
                return Ok(false);
            }
            if rows.first().is_some_and(|(_, kept)| kept.row.seq < sequences.start) {
                break;
            }
            end = begin;
        }
        let mut from = sequences.start;
        loop {
            let changes = self.store.changes(edition, from..sequences.end, PIECE as usize).await?;
            let Some(last) = changes.last() else { return Ok(true) };
            from = last.seq + 1;
            for change in changes {
                // That a message was deleted must not be lost.
                if change.number == 0 || matches!(change.what, Changed::Deleted { .. }) {
                    return Ok(false);
                }
                let row = self.store.rows(edition, change.number..change.number + 1).await?.pop();
                if row.is_none_or(|kept| !kept.is_erased()) {
                    return Ok(false);
                }
            }
        }
    }
}
