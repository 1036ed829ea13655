//! How the history last compared with the log, and how far a comparison of all has come that goes on.

use std::time::Duration;

use protocol::Timestamp;
use protocol::query::LastVerify;
use surrealdb::types::{RecordId, SurrealValue, Variables};

use super::rows::{array, int, natural, text};
use super::{Store, StoreError};
use crate::projection::Part;
use crate::verify::{By, Whole};

const WRITE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, SurrealValue)]
struct LastVerifyRow {
    at_ms: i64,
    rooms: i64,
    rows: i64,
    different: i64,
    different_rooms: i64,
}

/// The state is JSON: nobody asks the database for a part of it.
#[derive(Debug, SurrealValue)]
struct WholeRow {
    turn: i64,
    state: String,
}

fn last_verify_id(part: Part) -> RecordId {
    RecordId::new("meta", array([text(&"verified"), i64::from(part.shard.0).into_value()]))
}

fn whole_id(part: Part, by: By) -> RecordId {
    let by = match by {
        By::Operator => "asked",
        By::Itself => "rounds",
    };
    RecordId::new("meta", array([text(&"verifying"), i64::from(part.shard.0).into_value(), text(&by)]))
}

impl Store {
    /// How the shard last compared with its log, all of it.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn last_verify(&self, part: Part) -> Result<Option<LastVerify>, StoreError> {
        let rows: Vec<LastVerifyRow> = self.select("SELECT * FROM $of", vec![last_verify_id(part)]).await?;
        let last = |row: LastVerifyRow| {
            Ok(LastVerify {
                at: Timestamp::from_millis(row.at_ms),
                rooms: natural(row.rooms, "count")?,
                rows: natural(row.rows, "count")?,
                different: natural(row.different, "count")?,
                different_rooms: natural(row.different_rooms, "count")?,
            })
        };
        rows.into_iter().next().map(last).transpose()
    }

    pub async fn set_last_verify(&self, part: Part, last: LastVerify) -> Result<(), StoreError> {
        let row = LastVerifyRow {
            at_ms: last.at.as_millis(),
            rooms: int(last.rooms),
            rows: int(last.rows),
            different: int(last.different),
            different_rooms: int(last.different_rooms),
        };
        let mut variables = Variables::new();
        variables.insert("of", last_verify_id(part));
        variables.insert("row", row);
        self.connection.query("UPSERT $of CONTENT $row RETURN NONE", variables, WRITE_MAX).await?;
        Ok(())
    }

    /// The last comparison of all the shard, under way or ended. What another version wrote may be read as none.
    pub async fn whole_verify(&self, part: Part, by: By) -> Result<Whole, StoreError> {
        let rows: Vec<WholeRow> = self.select("SELECT * FROM $of", vec![whole_id(part, by)]).await?;
        let Some(WholeRow { turn, state }) = rows.into_iter().next() else { return Ok(Whole::default()) };
        let mut whole: Whole = serde_json::from_str(&state).unwrap_or_default();
        whole.turn = natural(turn, "turn")?;
        Ok(whole)
    }

    /// Notes how far it has come, unless somebody else has done so since `turn`; says whether it was noted.
    pub async fn set_whole_verify(&self, part: Part, by: By, whole: &Whole) -> Result<bool, StoreError> {
        let statements = "
            BEGIN;
            LET $found = (SELECT VALUE turn FROM ONLY $of) ?? 0;
            IF $found < $row.turn { UPSERT $of CONTENT $row RETURN NONE };
            COMMIT;";
        let state = serde_json::to_string(whole).map_err(|_| StoreError::Malformed("comparison"))?;
        let mut variables = Variables::new();
        variables.insert("of", whole_id(part, by));
        variables.insert("row", WholeRow { turn: int(whole.turn), state });
        self.connection.query(statements, variables, WRITE_MAX).await?;
        Ok(self.whole_verify(part, by).await? == *whole)
    }
}
