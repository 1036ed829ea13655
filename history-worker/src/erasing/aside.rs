//! What is set aside of what was erased: its bytes are kept as they came, so they must go too. Whose they are and what they are about
//! is known as far as they say it.

use std::collections::{HashMap, HashSet};

use data_encoding::BASE64;
use protocol::{Clues, RoomSlug, UserId, subject};

use super::Erasing;
use crate::projection::{LogEntry, RoomState};
use crate::snapshot::KeptAside;
use crate::store::StoreError;

impl Erasing {
    /// Forgets what is set aside of these messages and edits, which were deleted, and of what changed them.
    pub(super) async fn forget_deleted(&self, gone: &[LogEntry]) -> Result<(), StoreError> {
        let rooms: HashSet<_> = gone.iter().map(|entry| &entry.room).collect();
        let mut behind = 0;
        loop {
            let asides = self.store.kept_asides_of(self.part, rooms.iter().copied(), behind).await?;
            let Some(last) = asides.last() else { return Ok(()) };
            behind = last.entry.seq;
            let is_of = |aside: &KeptAside, clues: Clues, entry: &LogEntry| {
                let is_it = aside.entry.seq == entry.seq || clues.lead_to(entry.id, entry.author);
                is_it && aside.entry.subject == self.part.shard.log(&entry.room)
            };
            let goes = |aside: &&KeptAside| {
                let clues = clues(aside);
                gone.iter().any(|entry| is_of(aside, clues, entry))
            };
            self.forget(asides.iter().filter(goes)).await?;
        }
    }

    /// Looks through everything that is set aside, and forgets what is of erased people and rooms.
    pub(super) async fn forget_erased(&self) -> Result<(), StoreError> {
        // Who was erased is known of the rooms in which they were.
        let mut people = HashSet::new();
        for is_known in [false, true] {
            let mut behind = 0;
            loop {
                let asides = self.store.kept_asides_behind(self.part, behind).await?;
                let Some(last) = asides.last() else { break };
                behind = last.entry.seq;
                let rooms: HashSet<_> = asides.iter().filter_map(room).collect();
                let states = self.store.rooms(&rooms).await?;
                people.extend(states.values().flat_map(|state| state.erased_people.iter().copied()));
                if is_known {
                    self.forget(asides.iter().filter(|aside| is_erased(aside, &states, &people))).await?;
                }
            }
        }
        Ok(())
    }

    async fn forget(&self, asides: impl Iterator<Item = &KeptAside>) -> Result<(), StoreError> {
        let sequences: Vec<_> = asides.map(|aside| aside.entry.seq).collect();
        if sequences.is_empty() {
            return Ok(());
        }
        self.store.drop_asides(self.part, &sequences).await?;
        self.count_asides().await
    }

    pub(super) async fn count_asides(&self) -> Result<(), StoreError> {
        self.signals.asides(self.part.shard, self.store.asides(self.part).await?);
        Ok(())
    }
}

fn is_erased(aside: &KeptAside, rooms: &HashMap<RoomSlug, RoomState>, people: &HashSet<UserId>) -> bool {
    let of_room = room(aside).and_then(|room| rooms.get(&room)).is_some_and(|state| state.erased);
    of_room || clues(aside).author.is_some_and(|author| people.contains(&author))
}

fn clues(aside: &KeptAside) -> Clues {
    Clues::of(&BASE64.decode(aside.payload.as_bytes()).unwrap_or_default())
}

/// The room in whose log it is.
fn room(aside: &KeptAside) -> Option<RoomSlug> {
    subject::room_of(&aside.entry.subject)
}
