//! Accounts, and the names that are taken.

use super::{Error, Letter, Store, record, unreadable};
use protocol::{Timestamp, UserId};
use surrealdb::types::{RecordId, SurrealValue, Variables};

/// The keys of the name are records of their own, made in the account's transaction: of two who take one name
/// at the same moment, one finds the record there.
const CREATE: &str = "
    BEGIN;
    CREATE $account CONTENT { name: $name, password: $password, created_at_ms: $now } RETURN NONE;
    INSERT INTO name $keys RETURN NONE;
    CREATE $outbox CONTENT { letter: $letter, written_at_ms: $now } RETURN NONE;
    COMMIT;
";

const HAS: &str = "SELECT VALUE id FROM $account;";

/// A letter about the same person that waits still is replaced.
const ERASE: &str = "
    BEGIN;
    DELETE name WHERE account = $account RETURN NONE;
    DELETE $account RETURN NONE;
    UPSERT $outbox CONTENT { letter: $letter, written_at_ms: $now } RETURN NONE;
    COMMIT;
";

/// Reads two records whether the name is known or not, so that the time does not tell.
const FIND: &str = "
    SELECT record::id(id) AS user, name, password FROM ONLY ($key.account ?? account:nobody);
";
pub(super) const NOBODY: &str = "nobody";

/// An account that is to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub user: UserId,
    pub name: String,
    /// What no other account may have.
    pub name_keys: Vec<String>,
    pub password_hash: String,
    pub at: Timestamp,
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    pub user: UserId,
    pub name: String,
    pub password_hash: String,
}

#[derive(SurrealValue)]
struct FoundRow {
    user: String,
    name: String,
    password: String,
}

#[derive(SurrealValue)]
pub(super) struct NameRow {
    pub id: RecordId,
    pub account: RecordId,
}

impl Store {
    /// Makes an account, takes its name, and puts the letter that makes the name known into the outbox: all
    /// or nothing.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken; any of [`Error`].
    pub async fn create_account(&self, new: &NewAccount, letter: &Letter) -> Result<(), Error> {
        let account = record("account", new.user);
        let keys: Vec<NameRow> = new
            .name_keys
            .iter()
            .map(|key| NameRow { id: record("name", key), account: account.clone() })
            .collect();
        let mut values = Variables::new();
        values.insert("account", account);
        values.insert("keys", keys);
        values.insert("name", new.name.clone());
        values.insert("password", new.password_hash.clone());
        values.insert("outbox", record("outbox", letter.id()));
        values.insert("letter", letter.text());
        values.insert("now", new.at.as_millis());
        self.retried(|| self.run(CREATE, values.clone())).await.map(drop)
    }

    /// Removes an account, sets its name free, and puts the letter that says so into the outbox: all or nothing. Doing it twice does no
    /// harm.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn erase_account(&self, user: UserId, letter: &Letter, now: Timestamp) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("account", record("account", user));
        values.insert("outbox", record("outbox", letter.id()));
        values.insert("letter", letter.text());
        values.insert("now", now.as_millis());
        self.retried(|| self.run(ERASE, values.clone())).await.map(drop)
    }

    /// Whether a person has an account.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn has_account(&self, user: UserId) -> Result<bool, Error> {
        let mut values = Variables::new();
        values.insert("account", record("account", user));
        let found: Vec<RecordId> = self.run(HAS, values).await?.take(0).map_err(|_| unreadable("account"))?;
        Ok(!found.is_empty())
    }

    /// The account that has this key of a name.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn find_account(&self, name_key: &str) -> Result<Option<AccountRow>, Error> {
        let mut values = Variables::new();
        values.insert("key", record("name", name_key));
        let found: Option<FoundRow> =
            self.run(FIND, values).await?.take(0).map_err(|_| unreadable("account"))?;
        let Some(found) = found.filter(|found| found.user != NOBODY) else { return Ok(None) };
        let user = found.user.parse().map_err(|_| unreadable("account"))?;
        Ok(Some(AccountRow { user, name: found.name, password_hash: found.password }))
    }
}
