//! What the broker has still to be told. A letter is written in the transaction of what it tells, and removed
//! when the broker has it.

use super::{Error, Store, record, unreadable};
use protocol::{SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use surrealdb::types::{SurrealValue, Variables};

const WAITING: &str = "
    SELECT record::id(id) AS id, letter, written_at_ms FROM outbox ORDER BY written_at_ms LIMIT $limit;
";
const DONE: &str = "DELETE $outbox RETURN NONE;";

/// Something that the broker is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Letter {
    /// What others see of a person; nothing more of one whose name is empty, who was erased.
    Profile { user: UserId, name: String },
    /// A session has ended before its tokens.
    Revocation { session: SessionId, user: UserId, at: Timestamp },
}

/// A letter that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    pub id: String,
    /// `None` when it was written by another version and can't be understood.
    pub letter: Option<Letter>,
    pub written_at: Timestamp,
}

#[derive(SurrealValue)]
struct StoredRow {
    id: String,
    letter: String,
    written_at_ms: i64,
}

impl Letter {
    /// The same for two letters about one thing.
    pub fn id(&self) -> String {
        match self {
            Self::Profile { user, .. } => format!("profile:{user}"),
            Self::Revocation { session, .. } => format!("revocation:{session}"),
        }
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a letter is plain JSON")
    }
}

impl Store {
    /// The letters that wait, the oldest first, at most `limit` of them.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn letters(&self, limit: u32) -> Result<Vec<LetterRow>, Error> {
        let mut values = Variables::new();
        values.insert("limit", i64::from(limit));
        let mut answer = self.run(WAITING, values).await?;
        let rows: Vec<StoredRow> = answer.take(0).map_err(|_| unreadable("letter"))?;
        let read = |row: StoredRow| LetterRow {
            letter: serde_json::from_str(&row.letter).ok(),
            written_at: Timestamp::from_millis(row.written_at_ms),
            id: row.id,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Removes a letter that the broker has.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn letter_sent(&self, id: &str) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("outbox", record("outbox", id));
        self.retried(|| self.run(DONE, values.clone())).await.map(drop)
    }
}
