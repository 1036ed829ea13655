//! The layout of the tables and its version.

use std::time::Duration;

use surrealdb::types::Variables;

use super::{Store, StoreError};

/// The layout that this code writes and reads.
pub(super) const LAYOUT: i64 = 5;

const ANSWER_MAX: Duration = Duration::from_secs(30);

const TABLES: &str = "
    DEFINE TABLE IF NOT EXISTS meta SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS event SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS sent SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS reaction SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS change SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS text SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS erase SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS ended SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS room SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS checkpoint SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS aside SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS replay SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS stale SCHEMALESS;
    INSERT IGNORE INTO meta { id: 'schema', version: $version };
";

impl Store {
    /// Makes the tables in an empty database, and refuses one of another layout without touching it.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        match self.version().await? {
            None => {
                let mut variables = Variables::new();
                variables.insert("version", LAYOUT);
                self.connection.query(TABLES, variables, ANSWER_MAX).await?;
                Ok(())
            }
            Some(LAYOUT) => Ok(()),
            Some(newer) if newer > LAYOUT => Err(StoreError::Refused(format!(
                "the history database has layout {newer}, but this backchat knows layout {LAYOUT}: use a newer backchat"
            ))),
            Some(older) => Err(StoreError::Refused(format!(
                "the history database has layout {older}, but this backchat knows layout {LAYOUT}: move the old database away \
                 and start again with an empty one, which is filled from the log"
            ))),
        }
    }

    /// Tells an empty database from one that can't be read: a table that is not there is an error of the query, so the list
    /// of tables is asked first.
    async fn version(&self) -> Result<Option<i64>, StoreError> {
        let mut tables = self.connection.query("(INFO FOR DB).tables", Variables::new(), ANSWER_MAX).await?;
        let tables: surrealdb::types::Value = tables.take(0)?;
        if !matches!(tables, surrealdb::types::Value::Object(tables) if tables.contains_key("meta")) {
            return Ok(None);
        }
        let mut found = self
            .connection
            .query("SELECT VALUE version FROM ONLY meta:schema", Variables::new(), ANSWER_MAX)
            .await?;
        Ok(found.take(0)?)
    }
}
