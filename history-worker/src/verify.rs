//! Whether the database holds what the log says: room by room, while people chat and the projection goes on.

mod compare;
mod parts;
mod rounds;
mod said;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::{BTreeMap, HashSet};

use broker::Broker;
use protocol::query::{Difference, LastVerify, Verified, Verify};
use protocol::{RoomSlug, Timestamp};

use crate::Error;
use crate::edition::{Edition, Editions};
use crate::projection::{self, Kept, Part, RoomState, SentKey};
use crate::replay;
use crate::store::{Store, StoreError};
use compare::Comparison;
pub use rounds::rounds;
use said::{Changing, Line, Said};
pub use whole::{By, Whole};

/// Entries of the log, rows and changes that are read at once.
const PIECE: u64 = 1_000;

/// Compares rooms of one shard.
pub struct Verifier {
    pub part: Part,
    pub broker: Broker,
    pub store: Store,
}

impl Verifier {
    /// Notes a part of the comparison of all of the shard; gives what came of the whole, when this was its last.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub async fn note(
        &self,
        by: By,
        what: &Verify,
        part: &Verified,
    ) -> Result<Option<LastVerify>, StoreError> {
        let whole = self.store.whole_verify(self.part, by).await?;
        let Some(whole) = whole.with(what, part, Timestamp::now()) else { return Ok(None) };
        let is_noted = self.store.set_whole_verify(self.part, by, &whole).await?;
        let Some(last) = whole.ended().filter(|_| is_noted) else { return Ok(None) };
        self.store.set_last_verify(self.part, last).await?;
        Ok(Some(last))
    }

    /// Compares a room as it was when the log was applied up to `applied`; none where neither side has it, or where it is being
    /// erased just now. What seems to differ is looked at twice: another replica may know more.
    ///
    /// # Errors
    /// When log or database can't be read.
    async fn room(&self, room: &RoomSlug, applied: u64) -> Result<Verified, Error> {
        let mut verified = self.once(room, applied).await?;
        if !verified.differences.is_empty() {
            let again: HashSet<Difference> =
                self.once(room, applied).await?.differences.into_iter().collect();
            verified.differences.retain(|difference| again.contains(difference));
        }
        verified.different = verified.differences.len() as u64;
        verified.different_rooms = u64::from(verified.different > 0);
        verified.differences.truncate(Verified::NAMED_MAX);
        Ok(verified)
    }

    async fn once(&self, room: &RoomSlug, applied: u64) -> Result<Verified, Error> {
        let log_begins = self.log_begins(room).await?;
        let state = self.store.rooms([room]).await?.remove(room);
        let first = match &state {
            Some(state) => {
                let rows = self.store.rows(state.edition(room), state.first..state.first + 1).await?;
                rows.first().map(|kept| kept.row.seq)
            }
            None => None,
        };
        let began_before = first.is_some_and(|first| first < log_begins);
        let said = self.said(room, applied, began_before).await?;
        let is_erased = state.as_ref().is_some_and(|state| state.erased);
        if said.loses_later || (is_erased && self.store.ending(self.part).await?.contains(room)) {
            return Ok(Verified::default());
        }
        let mut comparison = Comparison::new(room, &said, log_begins);
        let Some(state) = state else {
            if said.is_empty() {
                return Ok(Verified::default());
            }
            comparison.end();
            return Ok(outcome(comparison));
        };
        let ending = self.rows(room, &state, applied, &mut comparison).await?;
        let held = self.changes(state.edition(room), applied).await?;
        comparison.changes(&held.until);
        let is_moving = |seq| held.moving.contains(&seq) || said.changed_later.contains(&seq);
        comparison.differences.retain(|difference| !is_moving(difference.seq));
        comparison.equal(0, "rows", &ending.rows.to_string(), &state.rows().to_string());
        comparison.equal(0, "last row", &ending.last_seq.to_string(), &state.last_seq.to_string());
        if held.moving.is_empty() && said.changed_later.is_empty() {
            let (found, held) = (ending.last_message.to_string(), state.last_message.to_string());
            comparison.equal(0, "last message", &found, &held);
        }
        if let Some(creator) = said.creator() {
            comparison.equal(0, "creator", &creator.to_string(), &state.creator.to_string());
        }
        comparison.equal(0, "expired", &said.expired.to_string(), &state.expired.to_string());
        comparison.equal(0, "erased", &said.is_erased.to_string(), &state.erased.to_string());
        Ok(outcome(comparison))
    }

    /// The log has nothing of the room before this sequence: it may have lost the beginning of all rooms, or of this one.
    async fn log_begins(&self, room: &RoomSlug) -> Result<u64, Error> {
        let (stream, log) = (self.part.shard.stream(), self.part.shard.log(room));
        let begins = self.broker.stream(&stream).await?.first_seq;
        let first = self.broker.next_known(&stream, &log, 0).await?;
        let lost = first.filter(|first| !replay::is_a_beginning(&first.payload));
        Ok(lost.map_or(begins, |first| first.seq))
    }

    async fn said(&self, room: &RoomSlug, applied: u64, began_before: bool) -> Result<Said, Error> {
        let (stream, subject) = (self.part.shard.stream(), self.part.shard.log(room));
        let (mut said, mut after) = (Said::default(), 0);
        loop {
            let batch = self.broker.read_after(&stream, &subject, after, PIECE as usize).await?;
            for record in &batch.records {
                let entry = projection::read(self.part, record);
                let Some((_, stored)) = entry.event() else { continue };
                if stored.seq <= applied {
                    said.take(stored, began_before);
                } else {
                    said.loses_later |= stored.event.ends_room() || stored.event.expires().is_some();
                    said.changed_later.extend(stored.event.target().map(|target| target.seq));
                }
            }
            match batch.records.last() {
                Some(last) if batch.more => after = last.seq,
                _ => return Ok(said),
            }
        }
    }

    /// Compares all rows up to `applied`, and gives how the room ends by them.
    async fn rows(
        &self,
        room: &RoomSlug,
        state: &RoomState,
        applied: u64,
        comparison: &mut Comparison<'_>,
    ) -> Result<Ending, Error> {
        let edition = state.edition(room);
        let (mut first, mut ending) = (state.first, Ending::default());
        loop {
            let end = first + PIECE;
            let kept = self.store.numbered(edition, first..end).await?;
            if kept.is_empty() && end > state.count {
                comparison.end();
                return Ok(ending);
            }
            let mut marks = self.store.given(edition, first..end).await?;
            let keys: Vec<_> = kept.iter().map(|(_, kept)| SentKey::of_row(room, &kept.row)).collect();
            let sent = self.store.sent(Editions::Under(state.generation), &keys).await?;
            for ((number, kept), key) in kept.iter().zip(&keys) {
                if *number <= state.count {
                    ending.take(*number, kept);
                }
                if kept.row.seq > applied {
                    continue;
                }
                let line = Line::held(kept, &marks.remove(number).unwrap_or_default());
                comparison.row(&line, kept.hash.as_deref());
                if sent.get(key).map(|sent| (sent.number, sent.seq)) != Some((*number, line.seq)) {
                    comparison.differs(line.seq, "place", ("one", "another"));
                }
            }
            first = end;
        }
    }

    /// The changes that the database has. Messages that were changed after `applied` are not as the log was then.
    async fn changes(&self, edition: Edition<'_>, applied: u64) -> Result<HeldChanges, Error> {
        let mut held = HeldChanges::default();
        let mut from = 0;
        loop {
            let piece = self.store.changes(edition, from..u64::MAX, PIECE as usize).await?;
            let is_all = (piece.len() as u64) < PIECE;
            from = piece.last().map_or(from, |last| last.seq + 1);
            for change in piece {
                if change.seq <= applied {
                    held.until.insert(change.seq, Changing::held(&change));
                } else {
                    held.moving.insert(change.target.seq);
                }
            }
            if is_all {
                return Ok(held);
            }
        }
    }
}

/// How a room ends, by its rows.
#[derive(Default)]
struct Ending {
    rows: u64,
    last_seq: u64,
    /// A number; 0 for none.
    last_message: u64,
}

impl Ending {
    fn take(&mut self, number: u64, kept: &Kept) {
        self.rows += 1;
        self.last_seq = kept.row.seq;
        if kept.is_message() {
            self.last_message = number;
        }
    }
}

#[derive(Default)]
struct HeldChanges {
    until: BTreeMap<u64, Changing>,
    /// Sequences of messages that are changed just now.
    moving: HashSet<u64>,
}

fn outcome(comparison: Comparison<'_>) -> Verified {
    let Comparison { rows, older, differences, .. } = comparison;
    Verified { rooms: 1, rows, older, differences, ..Verified::default() }
}
