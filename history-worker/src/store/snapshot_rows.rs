//! What a snapshot is made of, read a piece at a time, and written back into an empty database.

use std::collections::HashMap;
use std::time::Duration;

use data_encoding::BASE64;
use protocol::query::{LastSnapshot, SetAside};
use protocol::{RoomSlug, Timestamp};
use surrealdb::types::{Bytes, RecordId, SurrealValue, Value, Variables};

use super::change_rows::{EndedRow, EraseRow, TextRow};
use super::rows::{
    AsideRow, CheckpointRow, RoomRow, array, aside_id, asides_after, checkpoint_id, int, natural,
    numbered_key, range, row_key, shard_key, text,
};
use super::tables::{ALL, ASIDE, CHECKPOINT, ENDED, ERASE, LAYOUT, RESTORING, ROOM, TEXT};
use super::write::Transaction;
use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::edition::{Edition, Editions};
use crate::projection::{Batch, Ended, LogEntry, Part, RoomState, Text};
use crate::snapshot::KeptAside;

/// Rows in one answer.
const ROWS: usize = 1_000;
/// Longest wait for a piece to be written.
const LOAD_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, SurrealValue)]
struct LastSnapshotRow {
    at_ms: i64,
    applied: i64,
}

fn last_snapshot_id(part: Part) -> RecordId {
    RecordId::new("meta", array([text(&"snapshot"), i64::from(part.shard.0).into_value()]))
}

#[derive(Debug, SurrealValue)]
struct LastBackupRow {
    at_ms: i64,
}

fn last_backup_id(part: Part) -> RecordId {
    RecordId::new("meta", array([text(&"backup"), i64::from(part.shard.0).into_value()]))
}

fn of_shard_behind(table: &str, part: Part, seq: u64) -> RecordId {
    range(table, shard_key(part, seq.saturating_add(1)), shard_key(part, u64::MAX))
}

impl Store {
    /// Where the log holds texts of a room's messages, behind this one: an empty answer is the end.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn texts_behind(
        &self,
        edition: Edition<'_>,
        last: Option<&Text>,
    ) -> Result<Vec<Text>, StoreError> {
        let key =
            |message: u64, seq: u64| row_key(edition, [int(message).into_value(), int(seq).into_value()]);
        let from =
            last.map_or_else(|| numbered_key(edition, 0), |last| key(last.message, last.entry.seq + 1));
        let statement = format!("SELECT * FROM $range LIMIT {ROWS}");
        let all = range(TEXT, from, numbered_key(edition, u64::MAX));
        let rows: Vec<TextRow> = self.select_range(&statement, all).await?;
        rows.into_iter().map(TextRow::text).collect()
    }

    /// What must go from the shard's log behind this sequence.
    pub async fn to_erase_behind(&self, part: Part, seq: u64) -> Result<Vec<LogEntry>, StoreError> {
        let statement = format!("SELECT * FROM $range LIMIT {ROWS}");
        let rows: Vec<EraseRow> = self.select_range(&statement, of_shard_behind(ERASE, part, seq)).await?;
        rows.into_iter().map(EraseRow::entry).collect()
    }

    /// Rooms of the shard that were erased behind this sequence, of which something is left.
    pub async fn ended_behind(&self, part: Part, seq: u64) -> Result<Vec<Ended>, StoreError> {
        let statement = format!("SELECT * FROM $range LIMIT {ROWS}");
        let rows: Vec<EndedRow> = self.select_range(&statement, of_shard_behind(ENDED, part, seq)).await?;
        rows.into_iter().map(EndedRow::ended).collect()
    }

    /// What is set aside behind this sequence, with its bytes: a few at a time, which may be long.
    pub async fn kept_asides_behind(&self, part: Part, seq: u64) -> Result<Vec<KeptAside>, StoreError> {
        let rows: Vec<AsideRow> =
            self.select_range("SELECT * FROM $range LIMIT 20", asides_after(part, seq)).await?;
        rows.into_iter().map(AsideRow::kept).collect()
    }

    /// The last snapshot of the shard that was given to its end.
    pub async fn last_snapshot(&self, part: Part) -> Result<Option<LastSnapshot>, StoreError> {
        let rows: Vec<LastSnapshotRow> =
            self.select("SELECT * FROM $of", vec![last_snapshot_id(part)]).await?;
        let last = |row: LastSnapshotRow| {
            let at = Timestamp::from_millis(row.at_ms);
            Ok(LastSnapshot { at, applied: natural(row.applied, "sequence")? })
        };
        rows.into_iter().next().map(last).transpose()
    }

    pub async fn set_last_snapshot(&self, part: Part, last: LastSnapshot) -> Result<(), StoreError> {
        let mut variables = Variables::new();
        variables.insert("of", last_snapshot_id(part));
        let row = LastSnapshotRow { at_ms: last.at.as_millis(), applied: int(last.applied) };
        variables.insert("row", row);
        self.connection.query("UPSERT $of CONTENT $row RETURN NONE", variables, LOAD_MAX).await?;
        Ok(())
    }

    /// When the last backup of everything was finished of which the shard was told.
    pub async fn last_backup(&self, part: Part) -> Result<Option<Timestamp>, StoreError> {
        let rows: Vec<LastBackupRow> = self.select("SELECT * FROM $of", vec![last_backup_id(part)]).await?;
        Ok(rows.into_iter().next().map(|row| Timestamp::from_millis(row.at_ms)))
    }

    pub async fn set_last_backup(&self, part: Part, at: Timestamp) -> Result<(), StoreError> {
        let mut variables = Variables::new();
        variables.insert("of", last_backup_id(part));
        variables.insert("row", LastBackupRow { at_ms: at.as_millis() });
        self.connection.query("UPSERT $of CONTENT $row RETURN NONE", variables, LOAD_MAX).await?;
        Ok(())
    }

    /// Begins to restore into a database without a history: until the end no worker takes it. What an earlier try has left goes.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is a history.
    pub async fn begin_restore(&self) -> Result<(), StoreError> {
        if self.is_restoring().await? {
            let anew = |table| format!("REMOVE TABLE IF EXISTS {table}; DEFINE TABLE {table} SCHEMALESS;");
            let statements: String = ALL.iter().map(anew).collect();
            self.connection.query(&statements, Variables::new(), LOAD_MAX).await?;
            return Ok(());
        }
        let statement = format!("SELECT VALUE id FROM {CHECKPOINT} LIMIT 1");
        let mut found = self.connection.query(&statement, Variables::new(), LOAD_MAX).await?;
        let checkpoints: Vec<RecordId> = found.take(0)?;
        if !checkpoints.is_empty() || self.older_layout().await?.is_some() {
            return Err(StoreError::Refused(
                "the history database holds a history: a snapshot is restored into an empty one; nothing was changed".to_owned(),
            ));
        }
        self.set_layout(RESTORING).await
    }

    /// Writes these rooms with some of their rows, and what a shard has beside its rooms. A room may be written again.
    pub async fn load(
        &self,
        part: Part,
        rooms: &HashMap<RoomSlug, RoomState>,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::bare();
        transaction.batch(part, Editions::Read(rooms), batch);
        let keep = rooms.iter().map(|(room, state)| (room.clone(), state.keep));
        transaction.keep(part, &keep.collect());
        let rows = rooms.iter().map(|(room, state)| RoomRow::of(room, state).into_value());
        transaction.insert(ROOM, "rooms", rows.collect(), "ON DUPLICATE KEY UPDATE count = $input.count");
        self.run(transaction).await
    }

    pub async fn load_aside(&self, part: Part, aside: &KeptAside) -> Result<(), StoreError> {
        let mut transaction = Transaction::bare();
        transaction.insert(ASIDE, "asides", vec![AsideRow::of_kept(part, aside)?.into_value()], "");
        self.run(transaction).await
    }

    pub(super) async fn run(&self, transaction: Transaction) -> Result<(), StoreError> {
        let (statements, variables) = transaction.commit();
        self.connection.query(&statements, variables, LOAD_MAX).await?;
        Ok(())
    }

    /// Ends it: with its checkpoints, what was restored is the history.
    pub async fn end_restore(&self, checkpoints: &[(Part, Checkpoint)]) -> Result<(), StoreError> {
        let row = |(part, checkpoint): &(Part, Checkpoint)| match CheckpointRow::of(checkpoint).into_value() {
            Value::Object(mut row) => {
                row.insert("id", checkpoint_id(*part).into_value());
                Value::Object(row)
            }
            other => other,
        };
        let mut transaction = Transaction::bare();
        transaction.insert(CHECKPOINT, "checkpoints", checkpoints.iter().map(row).collect(), "");
        transaction.layout(LAYOUT);
        self.run(transaction).await
    }
}

impl AsideRow {
    pub(super) fn kept(self) -> Result<KeptAside, StoreError> {
        let entry = SetAside {
            seq: super::rows::number_in(&self.id, 1)?,
            at: Timestamp::from_millis(self.at_ms),
            subject: self.subject,
            reason: self.reason,
            bytes: natural(self.bytes, "bytes")?,
        };
        Ok(KeptAside { entry, code: self.code, payload: BASE64.encode(&self.payload) })
    }

    fn of_kept(part: Part, KeptAside { entry, code, payload }: &KeptAside) -> Result<Self, StoreError> {
        let payload = BASE64.decode(payload.as_bytes()).map_err(|_| StoreError::Malformed("payload"))?;
        Ok(Self {
            id: aside_id(part, entry.seq),
            subject: entry.subject.clone(),
            code: code.clone(),
            reason: entry.reason.clone(),
            at_ms: entry.at.as_millis(),
            bytes: int(entry.bytes),
            payload: Bytes::from(payload),
        })
    }
}
