//! The one transaction that changes the history.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{KeepDays, RoomSlug};
use surrealdb::types::{SurrealValue, Value, Variables};

use super::change_rows::{ChangeRow, EndedRow, EraseRow, TextRow};
use super::error::{MOVED, RELAID};
use super::event_rows::{EventRow, ReactionRow, SentRow, reaction_id};
use super::expiry_rows::{ExpiredRow, KeepRow, keep_id};
use super::replay_rows::{ReplayRow, StaleRow, replay_id};
use super::rows::{AsideRow, CheckpointRow, RoomRow, asides_between, checkpoint_id, int, numbered_range};
use super::seed_rows::seed_id;
use super::tables::{
    ASIDE, CHANGE, ENDED, ERASE, EVENT, EXPIRED, KEEP, LAYOUT, REACTION, ROOM, SENT, STALE, TEXT,
};
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::edition::Editions;
use crate::projection::{Batch, Part, Place};
use crate::replay::{Piece, Replay};

/// Longest wait for a batch to be written. It may be written all the same; the checkpoint tells.
const APPLY_MAX: Duration = Duration::from_secs(10);

/// What changes in a row that is there.
const EVENT_CHANGES: &str = "ON DUPLICATE KEY UPDATE kind = $input.kind, by = $input.by, sealed = $input.sealed, \
     edited_ms = $input.edited_ms, hash = $input.hash, given = $input.given";
const ROOM_CHANGES: &str = "ON DUPLICATE KEY UPDATE count = $input.count, last_seq = $input.last_seq, \
     last_message = $input.last_message, erased_people = $input.erased_people, erased = $input.erased, \
     generation = $input.generation, creator = $input.creator, first = $input.first, expired = $input.expired, \
     keep_days = $input.keep_days";
/// A room that is made anew meets again what was set aside before.
const ASIDE_CHANGES: &str = "ON DUPLICATE KEY UPDATE code = $input.code, reason = $input.reason";
const KEEP_CHANGES: &str = "ON DUPLICATE KEY UPDATE keep_days = $input.keep_days, due_ms = $input.due_ms";
const STALE_CHANGES: &str =
    "ON DUPLICATE KEY UPDATE generation = $input.generation, since_ms = $input.since_ms";
const SENT_CHANGES: &str = "ON DUPLICATE KEY UPDATE number = $input.number, seq = $input.seq";
const REACTION_CHANGES: &str =
    "ON DUPLICATE KEY UPDATE seq = $input.seq, by = $input.by, sealed = $input.sealed";

impl Store {
    /// Writes a batch and the checkpoint after it, both or neither, if the checkpoint in the database is `before`.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when the checkpoint is another one; then, and after any other error, read it again: the batch
    /// may have been written or not.
    pub async fn apply(
        &self,
        part: Part,
        before: &Checkpoint,
        (editions, batch): (Editions<'_>, &Batch),
        after: &Checkpoint,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(part, before);
        transaction.batch(part, editions, batch);
        transaction.rooms(editions, batch);
        let (statements, variables) = transaction.end(after);
        self.connection.query(&statements, variables, APPLY_MAX).await?;
        Ok(())
    }

    /// Writes a piece of a room that is made anew, how far that is and the checkpoint after it, all or nothing, if the checkpoint in the
    /// database is `before`.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub async fn make(
        &self,
        part: Part,
        before: &Checkpoint,
        (piece, replay): (Option<&Piece>, &Replay),
        after: &Checkpoint,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(part, before);
        if let Some(piece) = piece {
            transaction.piece(part, piece);
            if replay.seeds.is_some() {
                let made = piece.ready.iter().map(|(room, _)| seed_id(part, room)).collect::<Vec<_>>();
                transaction.statements.push_str("DELETE $seeds_made RETURN NONE;");
                transaction.variables.insert("seeds_made", made);
            }
        }
        transaction.replay(part, replay)?;
        let (statements, variables) = transaction.end(after);
        self.connection.query(&statements, variables, APPLY_MAX).await?;
        Ok(())
    }
}

/// The statements of a transaction, with their values.
pub(super) struct Transaction {
    statements: String,
    variables: Variables,
    /// What is there already is left as it is.
    is_again: bool,
}

impl Transaction {
    fn begin(part: Part, before: &Checkpoint) -> Self {
        let statements = format!(
            "BEGIN;
             IF meta:schema.version > $layout {{ THROW '{RELAID}' }};
             LET $found = SELECT VALUE [stream, applied, turn] FROM ONLY $checkpoint;
             IF ($found ?? [$stream, 0, 0]) != [$stream, $before, $turn] {{ THROW '{MOVED}' }};"
        );
        let mut variables = Variables::new();
        variables.insert("layout", LAYOUT);
        variables.insert("checkpoint", checkpoint_id(part));
        variables.insert("stream", before.stream.0);
        variables.insert("before", int(before.applied));
        variables.insert("turn", int(before.turn));
        Self { statements, variables, is_again: false }
    }

    /// One that asks no checkpoint: where nobody else writes.
    pub(super) fn bare() -> Self {
        Self { statements: "BEGIN;".to_owned(), variables: Variables::new(), is_again: false }
    }

    /// The same, of what may have been written before.
    pub(super) fn again() -> Self {
        Self { is_again: true, ..Self::bare() }
    }

    pub(super) fn commit(mut self) -> (String, Variables) {
        self.statements.push_str("COMMIT;");
        (self.statements, self.variables)
    }

    /// From now on this layout is read.
    pub(super) fn layout(&mut self, layout: i64) {
        self.statements.push_str("UPDATE meta:schema SET version = $layout RETURN NONE;");
        self.variables.insert("layout", layout);
    }

    /// All of a batch but its rooms.
    pub(super) fn batch(&mut self, part: Part, editions: Editions<'_>, batch: &Batch) {
        self.events(editions, batch);
        self.reactions(editions, batch);
        self.texts(editions, batch);
        self.erasures(part, batch);
        self.expiries(part, batch);
        let asides = batch.asides.iter().map(|aside| AsideRow::of(part, aside).into_value());
        self.insert(ASIDE, "asides", asides.collect(), ASIDE_CHANGES);
    }

    /// Rooms that are there are replaced: that takes two thirds of the time of an insertion that finds them there.
    fn rooms(&mut self, editions: Editions<'_>, batch: &Batch) {
        let (known, new): (Vec<_>, Vec<_>) = batch.rooms.iter().partition(|(room, _)| editions.has(room));
        let row = |(room, state)| RoomRow::of(room, state).into_value();
        if !known.is_empty() {
            self.statements
                .push_str("FOR $room IN $known_rooms { UPDATE $room.id REPLACE $room RETURN NONE };");
            self.variables.insert("known_rooms", known.into_iter().map(row).collect::<Vec<_>>());
        }
        self.insert(ROOM, "rooms", new.into_iter().map(row).collect(), ROOM_CHANGES);
    }

    fn piece(&mut self, part: Part, piece: &Piece) {
        let Piece { generation, batch, read: (rooms, sequences), ready } = piece;
        if let Some((first, last)) = *sequences {
            // What is set aside again comes with the batch.
            self.statements.push_str("DELETE $aside_again WHERE subject IN $aside_subjects RETURN NONE;");
            self.variables.insert("aside_again", asides_between(part, first, last));
            let subjects = rooms.iter().map(|room| part.shard.log(room)).collect::<Vec<_>>();
            self.variables.insert("aside_subjects", subjects);
        }
        self.batch(part, Editions::Under(*generation), batch);
        let rows = ready.iter().map(|(room, state)| RoomRow::of(room, state).into_value());
        self.insert(ROOM, "rooms", rows.collect(), ROOM_CHANGES);
        let stale = ready.iter().map(|(room, _)| StaleRow::of(part, room, *generation).into_value());
        self.insert(STALE, "stale", stale.collect(), STALE_CHANGES);
    }

    fn replay(&mut self, part: Part, replay: &Replay) -> Result<(), StoreError> {
        let row = ReplayRow::of(replay)?;
        self.statements.push_str("UPSERT $replay CONTENT $replay_row RETURN NONE;");
        self.variables.insert("replay", replay_id(part));
        self.variables.insert("replay_row", row);
        Ok(())
    }

    fn events(&mut self, editions: Editions<'_>, batch: &Batch) {
        let event = |(place, kept)| EventRow::of(editions, place, kept).into_value();
        self.insert(EVENT, "events", batch.rows.iter().map(event).collect(), "");
        let sent = batch.rows.iter().map(|(place, kept)| SentRow::of(editions, place, kept).into_value());
        // An id whose event has expired may come again.
        self.insert(SENT, "sents", sent.collect(), SENT_CHANGES);
        self.insert(EVENT, "changed", batch.changed.iter().map(event).collect(), EVENT_CHANGES);
        let changes = batch.changes.iter().map(|change| ChangeRow::of(editions, change).into_value());
        self.insert(CHANGE, "changes", changes.collect(), "");
    }

    fn reactions(&mut self, editions: Editions<'_>, batch: &Batch) {
        let cleared = batch.cleared.iter().map(|Place { room, number }| {
            numbered_range(REACTION, editions.of(room), *number..number + 1).into_value()
        });
        self.delete_ranges("cleared", cleared.collect());
        let mut given = Vec::new();
        let mut taken_back = Vec::new();
        for (mark, given_at) in &batch.marks {
            match given_at {
                Some(at) => given.push(ReactionRow::of(editions, mark, at).into_value()),
                None => taken_back.push(reaction_id(editions, mark)),
            }
        }
        self.insert(REACTION, "given", given, REACTION_CHANGES);
        if !taken_back.is_empty() {
            self.statements.push_str("DELETE $taken_back RETURN NONE;");
            self.variables.insert("taken_back", taken_back);
        }
    }

    fn texts(&mut self, editions: Editions<'_>, batch: &Batch) {
        let forgotten = batch
            .forgotten
            .iter()
            .map(|(room, seq)| numbered_range(TEXT, editions.of(room), *seq..seq + 1).into_value());
        self.delete_ranges("forgotten", forgotten.collect());
        let texts = batch.texts.iter().map(|text| TextRow::of(editions, text).into_value());
        self.insert(TEXT, "texts", texts.collect(), "");
    }

    fn erasures(&mut self, part: Part, batch: &Batch) {
        let erase = batch.erase.values().map(|entry| EraseRow::of(part, entry).into_value());
        let ended = batch.ended.iter().map(|ended| EndedRow::of(part, ended).into_value());
        self.insert(ENDED, "ended", ended.collect(), "ON DUPLICATE KEY UPDATE room = $input.room");
        // An entry may wait to be erased already.
        self.insert(ERASE, "erase", erase.collect(), "ON DUPLICATE KEY UPDATE room = $input.room");
    }

    fn expiries(&mut self, part: Part, batch: &Batch) {
        let expired = batch.expired.iter().map(|expired| ExpiredRow::of(part, expired).into_value());
        // A room that is made anew meets again what has expired before.
        self.insert(EXPIRED, "expired", expired.collect(), "ON DUPLICATE KEY UPDATE upto = $input.upto");
        self.keep(part, &batch.retained);
    }

    /// Notes how long rooms keep things; they are looked at at once.
    pub(super) fn keep(&mut self, part: Part, rooms: &BTreeMap<RoomSlug, KeepDays>) {
        let (forever, for_days): (Vec<_>, Vec<_>) = rooms.iter().partition(|(_, keep)| keep.is_forever());
        let rows = for_days.into_iter().map(|(room, keep)| KeepRow::of(part, room, *keep).into_value());
        self.insert(KEEP, "keep", rows.collect(), KEEP_CHANGES);
        if !forever.is_empty() {
            let ids: Vec<_> = forever.into_iter().map(|(room, _)| keep_id(part, room)).collect();
            self.statements.push_str("DELETE $keep_forever RETURN NONE;");
            self.variables.insert("keep_forever", ids);
        }
    }

    pub(super) fn insert(&mut self, table: &str, name: &str, rows: Vec<Value>, clause: &str) {
        if !rows.is_empty() {
            let ignore = if self.is_again && clause.is_empty() { "IGNORE " } else { "" };
            self.statements.push_str(&format!("INSERT {ignore}INTO {table} ${name} {clause} RETURN NONE;"));
            self.variables.insert(name, rows);
        }
    }

    fn delete_ranges(&mut self, name: &str, ranges: Vec<Value>) {
        if !ranges.is_empty() {
            self.statements.push_str(&format!("FOR $range IN ${name} {{ DELETE $range RETURN NONE }};"));
            self.variables.insert(name, ranges);
        }
    }

    fn end(mut self, after: &Checkpoint) -> (String, Variables) {
        self.variables.insert("after", CheckpointRow::of(after));
        self.statements.push_str("UPSERT $checkpoint CONTENT $after RETURN NONE;");
        self.commit()
    }
}
