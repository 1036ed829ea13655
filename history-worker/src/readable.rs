//! What an older worker could not read and set aside, and this one can: its room is made anew, so that it gets its place.

use std::collections::HashSet;

use data_encoding::BASE64;
use protocol::{RoomSlug, SealedEvent, subject};

use crate::Error;
use crate::projection::Reason;
use crate::shard::Shard;

/// How far the entries that are set aside were looked through.
#[derive(Debug, Default)]
pub struct Readable {
    behind: u64,
    /// A room that can't be made anew keeps what is set aside of it.
    tried: HashSet<RoomSlug>,
}

impl Readable {
    /// The next room with such an entry.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn next(&mut self, shard: &Shard) -> Result<Option<RoomSlug>, Error> {
        loop {
            let asides = shard.store.kept_asides_behind(shard.part, self.behind).await?;
            if asides.is_empty() {
                return Ok(None);
            }
            for aside in asides {
                self.behind = aside.entry.seq;
                let payload = BASE64.decode(aside.payload.as_bytes()).unwrap_or_default();
                let is_readable = Reason::is_of_bytes(&aside.code) && SealedEvent::decode(&payload).is_ok();
                let room = subject::room_of(&aside.entry.subject).filter(|_| is_readable);
                if let Some(room) = room.filter(|room| self.tried.insert(room.clone())) {
                    return Ok(Some(room));
                }
            }
        }
    }
}
