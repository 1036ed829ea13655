//! The one transaction that changes the history.

use std::time::Duration;

use surrealdb::types::{SurrealValue, Value, Variables};

use super::error::MOVED;
use super::rows::{AsideRow, CheckpointRow, EventRow, RoomRow, SentRow, checkpoint_id, int};
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, Part};

/// Longest wait for a batch to be written.
const APPLY_MAX: Duration = Duration::from_secs(30);

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
        let mut statements = format!(
            "BEGIN;
             LET $found = SELECT VALUE [stream, applied] FROM ONLY $checkpoint;
             IF ($found ?? [$stream, 0]) != [$stream, $before] {{ THROW '{MOVED}' }};"
        );
        let mut variables = Variables::new();
        variables.insert("checkpoint", checkpoint_id(part));
        variables.insert("stream", before.stream.0);
        variables.insert("before", int(before.applied));
        variables.insert("after", CheckpointRow::of(after));
        let mut insert = |name: &str, rows: Vec<Value>, clause: &str| {
            if !rows.is_empty() {
                statements.push_str(&format!("INSERT INTO {name} ${name}s {clause} RETURN NONE;"));
                variables.insert(format!("{name}s"), rows);
            }
        };
        let rows_of = |row: fn(&_) -> Value| batch.events.iter().map(row).collect();
        insert("event", rows_of(|numbered| EventRow::of(numbered).into_value()), "");
        insert("sent", rows_of(|numbered| SentRow::of(numbered).into_value()), "");
        let asides = batch.asides.iter().map(|aside| AsideRow::of(part, aside).into_value()).collect();
        insert("aside", asides, "");
        let rooms = batch.rooms.iter().map(|(room, state)| RoomRow::of(room, state).into_value()).collect();
        insert(
            "room",
            rooms,
            "ON DUPLICATE KEY UPDATE count = $input.count, last_seq = $input.last_seq, last_message = $input.last_message",
        );
        statements.push_str("UPSERT $checkpoint CONTENT $after RETURN NONE; COMMIT;");
        self.connection.query(&statements, variables, APPLY_MAX).await?;
        Ok(())
    }
}
