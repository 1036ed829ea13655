//! Which layout of the tables is read, and how a newer one takes over.

use std::time::Duration;

use protocol::RoomSlug;
use service::database::SchemaMark;
use surrealdb::types::{Value, Variables};

use super::rows::{RoomHead, behind_room};
use super::tables::{ALL, LAYOUT, RESTORING, is_older, rooms_of};
use super::{Store, StoreError};

const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The history database, as an operator's tool looks at it.
pub const HISTORY: SchemaMark =
    SchemaMark { table: "meta", record: "meta:schema", known: LAYOUT, restoring: RESTORING };

impl Store {
    /// Makes the tables of this layout where they are missing, and refuses a database whose layout is newer without touching it. In an
    /// empty database this layout is read from now on, in another one only when it takes over.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        if self.is_restoring().await? {
            return Err(StoreError::Refused(
                "a snapshot was restored into the history database by half: restore it again, or empty the database".to_owned(),
            ));
        }
        self.make_tables().await
    }

    /// The same, also where a snapshot is being restored.
    pub(super) async fn make_tables(&self) -> Result<(), StoreError> {
        let newer = self.layout().await?.filter(|found| *found > LAYOUT && *found != RESTORING);
        if let Some(newer) = newer {
            return Err(StoreError::Refused(format!(
                "the history database has layout {newer}, but this backchat knows layout {LAYOUT}: use a newer backchat"
            )));
        }
        let tables = ALL.iter().map(|table| format!("DEFINE TABLE IF NOT EXISTS {table} SCHEMALESS;"));
        let statements = format!(
            "DEFINE TABLE IF NOT EXISTS meta SCHEMALESS; {}
             INSERT IGNORE INTO meta {{ id: 'schema', version: $layout }};",
            tables.collect::<String>()
        );
        self.asked(&statements, [("layout", Value::from_t(LAYOUT))]).await
    }

    /// Whether a restore is under way, or was cut short.
    pub(super) async fn is_restoring(&self) -> Result<bool, StoreError> {
        Ok(self.layout().await? == Some(RESTORING))
    }

    pub(super) async fn set_layout(&self, layout: i64) -> Result<(), StoreError> {
        let statement = "UPDATE meta:schema SET version = $layout RETURN NONE";
        self.asked(statement, [("layout", Value::from_t(layout))]).await
    }

    /// The layout that is read, when it is older than this one.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn older_layout(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.layout().await?.filter(|found| *found < LAYOUT))
    }

    /// From now on this layout is read, if it is still the older one that was.
    pub async fn take_over(&self, older: i64) -> Result<(), StoreError> {
        let statement = "UPDATE meta:schema SET version = $layout WHERE version = $older RETURN NONE";
        let values = [("layout", Value::from_t(LAYOUT)), ("older", Value::from_t(older))];
        self.asked(statement, values).await
    }

    /// At most 100 rooms of an older layout behind this one, less those that were erased.
    pub async fn older_rooms(
        &self,
        layout: i64,
        after: Option<&RoomSlug>,
    ) -> Result<Vec<RoomSlug>, StoreError> {
        let table = rooms_of(layout);
        if !self.tables().await?.contains(&table) {
            return Ok(Vec::new());
        }
        let statement = "SELECT id FROM $range WHERE erased != true LIMIT 100";
        let rows: Vec<RoomHead> = self.select_range(statement, behind_room(&table, after)).await?;
        rows.iter().map(RoomHead::room).collect()
    }

    /// Removes the tables of every older layout.
    pub async fn remove_older_layouts(&self) -> Result<(), StoreError> {
        let older = self.tables().await?.into_iter().filter(|table| is_older(table));
        let statements: String = older.map(|table| format!("REMOVE TABLE IF EXISTS {table};")).collect();
        if statements.is_empty() {
            return Ok(());
        }
        self.asked(&statements, []).await
    }

    async fn asked<const N: usize>(
        &self,
        statements: &str,
        values: [(&str, Value); N],
    ) -> Result<(), StoreError> {
        let mut variables = Variables::new();
        for (name, value) in values {
            variables.insert(name, value);
        }
        self.connection.query(statements, variables, ANSWER_MAX).await?;
        Ok(())
    }

    /// Tells an empty database from one that can't be read: a table that is not there is an error of the query, so the list
    /// of tables is asked first.
    async fn layout(&self) -> Result<Option<i64>, StoreError> {
        if !self.tables().await?.iter().any(|table| table == HISTORY.table) {
            return Ok(None);
        }
        let statement = HISTORY.version();
        let mut found = self.connection.query(&statement, Variables::new(), ANSWER_MAX).await?;
        Ok(found.take(0)?)
    }

    async fn tables(&self) -> Result<Vec<String>, StoreError> {
        let mut found = self.connection.query("(INFO FOR DB).tables", Variables::new(), ANSWER_MAX).await?;
        match found.take(0)? {
            Value::Object(tables) => Ok(tables.keys().map(ToString::to_string).collect()),
            _ => Ok(Vec::new()),
        }
    }
}
