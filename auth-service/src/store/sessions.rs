//! Sessions: who is logged in, and the hashes of their refresh secrets.

use super::{Error, Letter, Store, record, unreadable};
use crate::rotation::{Chain, Salt, SecretHash};
use protocol::{SessionId, Timestamp, UserId};
use surrealdb::types::{SurrealValue, Variables};

const CREATE: &str = "
    CREATE $row CONTENT {
        user: $user, current: $current, previous: $previous, salt: $salt, spent: $spent,
        rotated_at_ms: $rotated_at, created_at_ms: $created_at, expires_at_ms: $expires_at,
    } RETURN NONE;
";

const FIND: &str = "SELECT * OMIT id FROM ONLY $row;";

/// Changes nothing when somebody else has rotated in between.
const ROTATE: &str = "
    UPDATE $row SET
        current = $current, previous = $previous, salt = $salt, spent = $spent,
        rotated_at_ms = $rotated_at, expires_at_ms = $expires_at
    WHERE current = $expected RETURN VALUE true;
";

const END: &str = "
    BEGIN;
    DELETE $row RETURN NONE;
    UPSERT $outbox CONTENT { letter: $letter, written_at_ms: $now } RETURN NONE;
    COMMIT;
";

const OF_USER: &str = "SELECT VALUE record::id(id) FROM session WHERE user = $user LIMIT 100;";

/// At most this many at once, so that a sweep never holds the database for long.
const SWEEP: &str = "
    DELETE (SELECT VALUE id FROM session WHERE expires_at_ms < $now LIMIT 500) RETURN NONE;
";

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub user: UserId,
    pub chain: Chain,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(SurrealValue)]
struct StoredRow {
    user: String,
    current: String,
    previous: Option<String>,
    salt: Option<String>,
    spent: Vec<String>,
    rotated_at_ms: i64,
    created_at_ms: i64,
    expires_at_ms: i64,
}

impl StoredRow {
    fn read(self) -> Result<SessionRow, Error> {
        let chain = Chain {
            current: SecretHash::stored(self.current),
            previous: self.previous.map(SecretHash::stored).zip(self.salt.map(Salt::stored)),
            spent: self.spent.into_iter().map(SecretHash::stored).collect(),
            rotated_at: Timestamp::from_millis(self.rotated_at_ms),
        };
        Ok(SessionRow {
            user: self.user.parse().map_err(|_| unreadable("session"))?,
            chain,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
        })
    }
}

impl Store {
    /// Writes a new session.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn create_session(&self, session: SessionId, row: &SessionRow) -> Result<(), Error> {
        let mut values = chain_values(session, &row.chain, row.expires_at);
        values.insert("user", row.user.to_string());
        values.insert("created_at", row.created_at.as_millis());
        self.retried(|| self.run(CREATE, values.clone())).await.map(drop)
    }

    /// A session that was not ended. Its time may be over.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn find_session(&self, session: SessionId) -> Result<Option<SessionRow>, Error> {
        let mut values = Variables::new();
        values.insert("row", record("session", session));
        let found: Option<StoredRow> =
            self.run(FIND, values).await?.take(0).map_err(|_| unreadable("session"))?;
        found.map(StoredRow::read).transpose()
    }

    /// Puts a session's new secrets in the place of those whose current one was `expected`. False when they
    /// are no longer that, or the session has ended.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn rotate_session(
        &self,
        session: SessionId,
        expected: &SecretHash,
        chain: &Chain,
        expires_at: Timestamp,
    ) -> Result<bool, Error> {
        let mut values = chain_values(session, chain, expires_at);
        values.insert("expected", expected.as_str());
        let mut answer = self.retried(|| self.run(ROTATE, values.clone())).await?;
        let changed: Vec<bool> = answer.take(0).map_err(|_| unreadable("session"))?;
        Ok(!changed.is_empty())
    }

    /// Sessions of a person, at most 100.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn sessions_of(&self, user: UserId) -> Result<Vec<SessionId>, Error> {
        let mut values = Variables::new();
        values.insert("user", user.to_string());
        let found: Vec<String> =
            self.run(OF_USER, values).await?.take(0).map_err(|_| unreadable("session"))?;
        found.iter().map(|id| id.parse().map_err(|_| unreadable("session"))).collect()
    }

    /// Removes a session and puts the letter that says so into the outbox: both or neither. Ending an ended
    /// one is no fault.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn end_session(
        &self,
        session: SessionId,
        letter: &Letter,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("row", record("session", session));
        values.insert("outbox", record("outbox", letter.id()));
        values.insert("letter", letter.text());
        values.insert("now", now.as_millis());
        self.retried(|| self.run(END, values.clone())).await.map(drop)
    }

    /// Removes some of the sessions whose time is over. Their tokens ended before them.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn sweep_sessions(&self, now: Timestamp) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("now", now.as_millis());
        self.run(SWEEP, values).await.map(drop)
    }
}

fn chain_values(session: SessionId, chain: &Chain, expires_at: Timestamp) -> Variables {
    let (previous, salt) = chain.previous.clone().unzip();
    let mut values = Variables::new();
    values.insert("row", record("session", session));
    values.insert("current", chain.current.as_str());
    values.insert("previous", previous.map(|hash| hash.as_str().to_owned()));
    values.insert("salt", salt.map(|salt| salt.as_str().to_owned()));
    values.insert("spent", chain.spent.iter().map(|hash| hash.as_str().to_owned()).collect::<Vec<_>>());
    values.insert("rotated_at", chain.rotated_at.as_millis());
    values.insert("expires_at", expires_at.as_millis());
    values
}
