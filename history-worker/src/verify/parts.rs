//! A shard is compared in parts: so many rooms as fit into a while.

use std::time::Duration;

use protocol::query::{Verified, Verify};
use protocol::{RoomSlug, subject};
use tokio::time::Instant;

use super::Verifier;
use crate::Error;

/// After this time no further room is begun.
const WHILE: Duration = Duration::from_secs(1);
/// Rooms of the log that are looked for at once.
const ROOMS: usize = 1_000;

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
        let shard = self.part.shard;
        let batch = self.broker.read_after(&shard.stream(), &shard.room_all(), after, ROOMS).await?;
        let mut all = Verified::default();
        let said = batch.records.iter().filter(|record| record.seq <= applied);
        let said: Vec<_> =
            said.filter_map(|record| Some((record.seq, subject::room_of(&record.subject)?))).collect();
        let held = self.store.rooms(said.iter().map(|(_, room)| room)).await?;
        for (seq, room) in said.iter().filter(|(_, room)| !held.contains_key(room)) {
            all.add(self.room(room, applied).await?);
            if all.different > 0 {
                all.next = Some(Verify::Unknown { after: *seq });
                return Ok(all);
            }
        }
        all.next =
            batch.records.last().filter(|_| batch.more).map(|last| Verify::Unknown { after: last.seq });
        Ok(all)
    }
}
