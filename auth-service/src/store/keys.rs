//! The keys that sign session tokens.

use super::{Error, Store, record, unreadable};
use protocol::Timestamp;
use surrealdb::types::{RecordId, SurrealValue, Variables};

/// How the secret key is kept. There is one way now; another one will wrap it with a key from outside the
/// database.
const PLAIN: &str = "none";

const CREATE: &str = "
    CREATE $key CONTENT { wrapping: $wrapping, secret: $secret, created_at_ms: $created_at, retired_at_ms: NONE } RETURN NONE;
";
const ALL: &str = "
    SELECT record::id(id) AS key_id, wrapping, secret, created_at_ms, retired_at_ms FROM signing_key
    ORDER BY created_at_ms LIMIT 100;
";
const RETIRE: &str = "UPDATE $key SET retired_at_ms = $retired_at WHERE retired_at_ms = NONE RETURN NONE;";
const FORGET: &str = "DELETE $key RETURN NONE;";
const TRACES: &str = "
    SELECT VALUE id FROM signing_key LIMIT 1;
    SELECT VALUE id FROM account WHERE id != account:nobody LIMIT 1;
";

/// A signing key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub key_id: String,
    /// The secret key, 32 bytes, base64url.
    pub secret: String,
    pub created_at: Timestamp,
    /// From when on no token of this key is valid.
    pub retired_at: Option<Timestamp>,
}

#[derive(SurrealValue)]
struct StoredRow {
    key_id: String,
    wrapping: String,
    secret: String,
    created_at_ms: i64,
    retired_at_ms: Option<i64>,
}

impl Store {
    /// Writes a new key.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn create_key(&self, row: &KeyRow) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("key", record("signing_key", &row.key_id));
        values.insert("wrapping", PLAIN);
        values.insert("secret", row.secret.clone());
        values.insert("created_at", row.created_at.as_millis());
        self.retried(|| self.run(CREATE, values.clone())).await.map(drop)
    }

    /// Whether no auth service has ever worked with this database, and no accounts were restored into it.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn is_new(&self) -> Result<bool, Error> {
        let mut answer = self.run(TRACES, Variables::new()).await?;
        let keys: Vec<RecordId> = answer.take(0).map_err(|_| unreadable("signing key"))?;
        let accounts: Vec<RecordId> = answer.take(1).map_err(|_| unreadable("account"))?;
        Ok(keys.is_empty() && accounts.is_empty())
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn keys(&self) -> Result<Vec<KeyRow>, Error> {
        let mut answer = self.run(ALL, Variables::new()).await?;
        let rows: Vec<StoredRow> = answer.take(0).map_err(|_| unreadable("signing key"))?;
        rows.into_iter().map(StoredRow::read).collect()
    }

    /// Sets the end of a key that has none.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn retire_key(&self, key_id: &str, at: Timestamp) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("key", record("signing_key", key_id));
        values.insert("retired_at", at.as_millis());
        self.retried(|| self.run(RETIRE, values.clone())).await.map(drop)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn forget_key(&self, key_id: &str) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("key", record("signing_key", key_id));
        self.retried(|| self.run(FORGET, values.clone())).await.map(drop)
    }
}

impl StoredRow {
    fn read(self) -> Result<KeyRow, Error> {
        if self.wrapping != PLAIN {
            return Err(Error::Setup(
                "a signing key is wrapped in a way that this backchat does not know".into(),
            ));
        }
        Ok(KeyRow {
            key_id: self.key_id,
            secret: self.secret,
            created_at: Timestamp::from_millis(self.created_at_ms),
            retired_at: self.retired_at_ms.map(Timestamp::from_millis),
        })
    }
}
