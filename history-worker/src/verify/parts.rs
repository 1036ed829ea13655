//! A shard is compared in parts: so many rooms as fit into a while.

use std::time::Duration;

use futures_util::future::try_join_all;
use protocol::RoomSlug;
use protocol::query::{Verified, Verify};
use tokio::time::Instant;

use super::Verifier;
use crate::Error;
use crate::projection::RoomState;
use crate::unknown::{self, Unknown};

/// After this time no further room is begun.
const WHILE: Duration = Duration::from_secs(1);
/// Rooms that are compared side by side, and rows of all of them.
const ROOMS_AT_ONCE: usize = 16;
const ROWS_AT_ONCE: u64 = 10_000;

/// How many of these rooms are compared at once, the first in any case: what the log says of them is held in memory.
fn side_by_side(rooms: &[(RoomSlug, RoomState)]) -> usize {
    let mut rows = 0;
    let fits = |(_, state): &&(RoomSlug, RoomState)| {
        rows += state.rows();
        rows <= ROWS_AT_ONCE
    };
    rooms.iter().take(ROOMS_AT_ONCE).take_while(fits).count().max(1)
}

impl Verifier {
    /// Compares a part of the shard as it was when the log was applied up to `applied`.
    ///
    /// # Errors
    /// When log or database can't be read.
    pub async fn part(&self, what: Verify, applied: u64) -> Result<Verified, Error> {
        match what {
            Verify::Room(room) => self.room(&room, applied).await,
            Verify::Rooms { after } => self.rooms_behind(after, applied).await,
            Verify::Unknown { after } => self.unknown_rooms(after, applied).await,
        }
    }

    async fn rooms_behind(&self, mut after: Option<RoomSlug>, applied: u64) -> Result<Verified, Error> {
        let began = Instant::now();
        let mut all = Verified::default();
        loop {
            let rooms = self.store.rooms_after(after.as_ref()).await?;
            if rooms.is_empty() {
                all.next = Some(Verify::Unknown { after: 0 });
                return Ok(all);
            }
            let mut rest = &rooms[..];
            while !rest.is_empty() {
                let (some, others) = rest.split_at(side_by_side(rest));
                rest = others;
                after = some.last().map(|(room, _)| room.clone());
                let of_shard = some.iter().map(|(room, _)| room);
                let of_shard = of_shard.filter(|room| self.part.has(room));
                let compared = try_join_all(of_shard.map(|room| self.room(room, applied))).await?;
                compared.into_iter().for_each(|verified| all.add(verified));
                if began.elapsed() >= WHILE || all.different > 0 {
                    all.next = Some(Verify::Rooms { after });
                    return Ok(all);
                }
            }
        }
    }

    async fn unknown_rooms(&self, after: u64, applied: u64) -> Result<Verified, Error> {
        let with = (&self.broker, &self.store);
        let Unknown { rooms, next } = unknown::rooms(self.part, with, after, applied).await?;
        let mut all = Verified::default();
        for (seq, room) in &rooms {
            all.add(self.room(room, applied).await?);
            if all.different > 0 {
                all.next = Some(Verify::Unknown { after: *seq });
                return Ok(all);
            }
        }
        all.next = next.map(|after| Verify::Unknown { after });
        Ok(all)
    }
}
