//! The one transaction that changes the history.

use std::time::Duration;

use surrealdb::types::{SurrealValue, Value, Variables};

use super::error::MOVED;
use super::rows::{
    AsideRow, ChangeRow, CheckpointRow, EditRow, ErasedRow, EventRow, ReactionRow, RoomRow, SentRow,
    checkpoint_id, erase_id, event_id, int, reaction_id, reactions_between,
};
use super::{Store, StoreError};
use crate::changes::{Changes, Given};
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
        let events = batch.events.iter().map(|numbered| EventRow::of(numbered).into_value()).collect();
        insert("event", events, "");
        let sent = batch.sent.iter().map(|(key, sent)| SentRow::of(key, sent).into_value()).collect();
        insert(
            "sent",
            sent,
            "ON DUPLICATE KEY UPDATE edits = $input.edits, erased = $input.erased, reactions = $input.reactions",
        );
        let asides = batch.asides.iter().map(|aside| AsideRow::of(part, aside).into_value()).collect();
        insert("aside", asides, "");
        let rooms = batch.rooms.iter().map(|(room, state)| RoomRow::of(room, state).into_value()).collect();
        insert(
            "room",
            rooms,
            "ON DUPLICATE KEY UPDATE count = $input.count, last_seq = $input.last_seq, last_message = $input.last_message",
        );
        let changes =
            batch.changes.applied.iter().map(|applied| ChangeRow::of(applied).into_value()).collect();
        insert("change", changes, "");
        change_rows(part, &batch.changes, &mut statements, &mut variables);
        statements.push_str("UPSERT $checkpoint CONTENT $after RETURN NONE; COMMIT;");
        self.connection.query(&statements, variables, APPLY_MAX).await?;
        Ok(())
    }

    /// Notes that the log does not have these texts any more.
    ///
    /// # Errors
    /// Any of [`StoreError`]; then they are erased again, which changes nothing.
    pub async fn erased(&self, part: Part, sequences: &[u64]) -> Result<(), StoreError> {
        let ids: Vec<_> = sequences.iter().map(|seq| erase_id(part, *seq)).collect();
        let mut variables = Variables::new();
        variables.insert("of", ids);
        self.connection.query("DELETE $of RETURN NONE", variables, APPLY_MAX).await?;
        Ok(())
    }
}

/// What the batch does to rows that are there by now.
fn change_rows(part: Part, changes: &Changes, statements: &mut String, variables: &mut Variables) {
    let mut each = |name: &str, rows: Vec<Value>, statement: &str| {
        if !rows.is_empty() {
            statements.push_str(&format!("FOR $row IN ${name} {{ {statement} }};"));
            variables.insert(name.to_owned(), rows);
        }
    };
    let edits = changes.edited.iter().map(|((room, number), (body, at))| {
        let (text, at_ms) = (body.as_str().to_owned(), at.as_millis());
        EditRow { id: event_id(room, *number), text, at_ms }.into_value()
    });
    each(
        "edits",
        edits.collect(),
        "UPDATE $row.id SET text = $row.text, edited_at_ms = $row.at_ms RETURN NONE",
    );
    let erased = changes.erased.iter().map(|((room, number), hash)| {
        let reactions = reactions_between(room, *number, number + 1);
        ErasedRow { id: event_id(room, *number), hash: hash.clone(), reactions }.into_value()
    });
    each(
        "erased",
        erased.collect(),
        "UPDATE $row.id SET kind = 'erased', text = NONE, edited_at_ms = NONE, hash = $row.hash RETURN NONE;
         DELETE $row.reactions RETURN NONE",
    );
    let given = |wanted: fn(Given) -> Option<u64>| -> Vec<Value> {
        let rows = changes.reactions.iter().filter_map(|((place, reaction, user), given)| {
            let seq = int(wanted(*given)?);
            Some(ReactionRow { id: reaction_id(place, reaction, *user), seq }.into_value())
        });
        rows.collect()
    };
    each(
        "first",
        given(|given| if let Given::AtLeastFrom(seq) = given { Some(seq) } else { None }),
        "INSERT IGNORE INTO reaction $row RETURN NONE",
    );
    each(
        "again",
        given(|given| if let Given::From(seq) = given { Some(seq) } else { None }),
        "UPSERT $row.id SET seq = $row.seq RETURN NONE",
    );
    each("back", given(|given| (given == Given::TakenBack).then_some(0)), "DELETE $row.id RETURN NONE");
    let texts = changes.texts_to_erase.iter().map(|seq| erase_id(part, *seq).into_value());
    each("texts", texts.collect(), "UPSERT $row RETURN NONE");
}
