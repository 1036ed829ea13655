//! A shard is compared in parts: so many rooms as fit into a while.

use std::time::Duration;

use protocol::query::{Verified, Verify};
use protocol::{RoomSlug, subject};
use tokio::time::Instant;

use super::Verifier;
use crate::Error;
use crate::unknown::{self, Unknown};

/// After this time no further room is begun.
const WHILE: Duration = Duration::from_secs(1);

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
            for (room, _) in rooms {
                if subject::Shard::of(&room, self.part.shards) == self.part.shard {
                    all.add(self.room(&room, applied).await?);
                }
                after = Some(room);
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
