//! The one transaction that changes the history.

use std::time::Duration;

use surrealdb::types::{SurrealValue, Value, Variables};

use super::change_rows::{ChangeRow, EndedRow, EraseRow, TextRow};
use super::error::MOVED;
use super::event_rows::{EventRow, ReactionRow, SentRow, reaction_id};
use super::rows::{AsideRow, CheckpointRow, RoomRow, checkpoint_id, int, room_range};
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, Part};

/// Longest wait for a batch to be written.
const APPLY_MAX: Duration = Duration::from_secs(30);

/// What changes in a row that is there.
const EVENT_CHANGES: &str = "ON DUPLICATE KEY UPDATE kind = $input.kind, by = $input.by, sealed = $input.sealed, \
     edited_ms = $input.edited_ms, hash = $input.hash, given = $input.given";
const ROOM_CHANGES: &str = "ON DUPLICATE KEY UPDATE count = $input.count, last_seq = $input.last_seq, \
     last_message = $input.last_message, erased_people = $input.erased_people, erased = $input.erased";
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
        batch: &Batch,
        after: &Checkpoint,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(part, before);
        transaction.events(batch);
        transaction.reactions(batch);
        transaction.texts(part, batch);
        let asides = batch.asides.iter().map(|aside| AsideRow::of(part, aside).into_value());
        transaction.insert("aside", "asides", asides.collect(), "");
        let rooms = batch.rooms.iter().map(|(room, state)| RoomRow::of(room, state).into_value());
        transaction.insert("room", "rooms", rooms.collect(), ROOM_CHANGES);
        let (statements, variables) = transaction.end(after);
        self.connection.query(&statements, variables, APPLY_MAX).await?;
        Ok(())
    }
}

/// The statements of a transaction, with their values.
struct Transaction {
    statements: String,
    variables: Variables,
}

impl Transaction {
    fn begin(part: Part, before: &Checkpoint) -> Self {
        let statements = format!(
            "BEGIN;
             LET $found = SELECT VALUE [stream, applied] FROM ONLY $checkpoint;
             IF ($found ?? [$stream, 0]) != [$stream, $before] {{ THROW '{MOVED}' }};"
        );
        let mut variables = Variables::new();
        variables.insert("checkpoint", checkpoint_id(part));
        variables.insert("stream", before.stream.0);
        variables.insert("before", int(before.applied));
        Self { statements, variables }
    }

    fn events(&mut self, batch: &Batch) {
        let rows = batch.rows.iter();
        self.insert(
            "event",
            "events",
            rows.map(|(p, kept)| EventRow::of(p, kept).into_value()).collect(),
            "",
        );
        let rows = batch.rows.iter();
        self.insert("sent", "sents", rows.map(|(p, kept)| SentRow::of(p, kept).into_value()).collect(), "");
        let rows = batch.changed.iter();
        let changed = rows.map(|(place, kept)| EventRow::of(place, kept).into_value()).collect();
        self.insert("event", "changed", changed, EVENT_CHANGES);
        let changes = batch.changes.iter().map(|change| ChangeRow::of(change).into_value()).collect();
        self.insert("change", "changes", changes, "");
    }

    fn reactions(&mut self, batch: &Batch) {
        let cleared = batch.cleared.iter();
        let cleared =
            cleared.map(|at| room_range("reaction", &at.room, at.number..at.number + 1).into_value());
        self.delete_ranges("cleared", cleared.collect());
        let mut given = Vec::new();
        let mut taken_back = Vec::new();
        for (mark, given_at) in &batch.marks {
            match given_at {
                Some(at) => given.push(ReactionRow::of(mark, at).into_value()),
                None => taken_back.push(reaction_id(mark)),
            }
        }
        self.insert("reaction", "given", given, REACTION_CHANGES);
        if !taken_back.is_empty() {
            self.statements.push_str("DELETE $taken_back RETURN NONE;");
            self.variables.insert("taken_back", taken_back);
        }
    }

    fn texts(&mut self, part: Part, batch: &Batch) {
        let forgotten = batch.forgotten.iter();
        let forgotten = forgotten.map(|(room, seq)| room_range("text", room, *seq..seq + 1).into_value());
        self.delete_ranges("forgotten", forgotten.collect());
        let texts = batch.texts.iter().map(|text| TextRow::of(text).into_value());
        self.insert("text", "texts", texts.collect(), "");
        let erase = batch.erase.values().map(|entry| EraseRow::of(part, entry).into_value());
        let ended = batch.ended.iter().map(|ended| EndedRow::of(part, ended).into_value());
        self.insert("ended", "ended", ended.collect(), "");
        // An entry may wait to be erased already.
        self.insert("erase", "erase", erase.collect(), "ON DUPLICATE KEY UPDATE room = $input.room");
    }

    fn insert(&mut self, table: &str, name: &str, rows: Vec<Value>, clause: &str) {
        if !rows.is_empty() {
            self.statements.push_str(&format!("INSERT INTO {table} ${name} {clause} RETURN NONE;"));
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
        self.statements.push_str("UPSERT $checkpoint CONTENT $after RETURN NONE; COMMIT;");
        (self.statements, self.variables)
    }
}
