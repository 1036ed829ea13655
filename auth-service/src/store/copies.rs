//! Accounts as a backup has them, read a piece at a time and written into an empty database.

use std::ops::Bound;

use protocol::accounts::{AccountLine, AccountTable, AccountsAnswer, AskAccounts};
use protocol::{Timestamp, UserId};
use surrealdb::types::{RecordId, RecordIdKey, RecordIdKeyRange, SurrealValue, Variables};

use super::accounts::{NOBODY, NameRow};
use super::connect::RESTORING;
use super::{Error, Store, record, unreadable};

/// Rows in one answer, which must fit into a message of the broker.
const ROWS: usize = 500;

const ACCOUNTS: &str = "SELECT record::id(id) AS key, name, password, created_at_ms FROM $range LIMIT 500;";
const NAMES: &str = "SELECT record::id(id) AS key, record::id(account) AS user FROM $range LIMIT 500;";
const LETTERS: &str = "SELECT record::id(id) AS key, letter, written_at_ms FROM $range LIMIT 500;";

const BEGIN: &str = "
    SELECT VALUE version FROM ONLY $schema;
    SELECT VALUE id FROM account WHERE id != account:nobody LIMIT 1;
";
const MARK: &str = "UPSERT $schema SET version = $version RETURN NONE;";
const CLEAR: &str = "
    BEGIN;
    DELETE account WHERE id != account:nobody RETURN NONE;
    DELETE name RETURN NONE;
    DELETE outbox RETURN NONE;
    COMMIT;
";
const LOAD: &str = "
    BEGIN;
    INSERT INTO account $accounts RETURN NONE;
    INSERT INTO name $names RETURN NONE;
    INSERT INTO outbox $letters RETURN NONE;
    COMMIT;
";
const FORGET: &str = "DELETE $accounts RETURN NONE;";

#[derive(SurrealValue)]
struct AccountRow {
    key: String,
    name: String,
    password: String,
    created_at_ms: i64,
}

#[derive(SurrealValue)]
struct NameOf {
    key: String,
    user: String,
}

#[derive(SurrealValue)]
struct Waiting {
    key: String,
    letter: String,
    written_at_ms: i64,
}

#[derive(SurrealValue)]
struct NewAccountRow {
    id: RecordId,
    name: String,
    password: String,
    created_at_ms: i64,
}

#[derive(SurrealValue)]
struct NewLetterRow {
    id: RecordId,
    letter: String,
    written_at_ms: i64,
}

/// The records of a table behind a key.
fn behind(table: &'static str, after: Option<String>) -> RecordId {
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(RecordIdKey::String(after)));
    RecordId::new(table, RecordIdKeyRange { start, end: Bound::Unbounded })
}

fn user(text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| unreadable("account"))
}

impl Store {
    /// Some rows of a table, for a backup.
    ///
    /// # Errors
    /// Any of [`Error`], here and below.
    pub async fn copies(&self, asked: AskAccounts) -> Result<AccountsAnswer, Error> {
        let AskAccounts { table, after } = asked;
        let (name, statement) = match table {
            AccountTable::Accounts => ("account", ACCOUNTS),
            AccountTable::Names => ("name", NAMES),
            AccountTable::Letters => ("outbox", LETTERS),
        };
        let mut values = Variables::new();
        values.insert("range", behind(name, after));
        let mut answer = self.run(statement, values).await?;
        let bad = |_| unreadable("account");
        let rows: Vec<(String, Option<AccountLine>)> = match table {
            AccountTable::Accounts => {
                let rows: Vec<AccountRow> = answer.take(0).map_err(bad)?;
                rows.into_iter().map(AccountRow::line).collect::<Result<_, _>>()?
            }
            AccountTable::Names => {
                let rows: Vec<NameOf> = answer.take(0).map_err(bad)?;
                rows.into_iter().map(NameOf::line).collect::<Result<_, _>>()?
            }
            AccountTable::Letters => {
                let rows: Vec<Waiting> = answer.take(0).map_err(bad)?;
                rows.into_iter().map(Waiting::line).collect()
            }
        };
        let next = if rows.len() < ROWS {
            table.next().map(|table| AskAccounts { table, after: None })
        } else {
            rows.last().map(|(key, _)| AskAccounts { table, after: Some(key.clone()) })
        };
        Ok(AccountsAnswer::Rows { lines: rows.into_iter().filter_map(|(_, line)| line).collect(), next })
    }

    /// Begins to restore into a database without accounts: until the end no auth service takes it. What an earlier try has left goes.
    ///
    /// # Errors
    /// [`Error::Setup`] when there are accounts.
    pub async fn begin_restore(&self) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("schema", record("schema", "auth"));
        let mut found = self.run(BEGIN, values).await?;
        let version: Option<i64> = found.take(0).map_err(|_| unreadable("schema"))?;
        let accounts: Vec<RecordId> = found.take(1).map_err(|_| unreadable("account"))?;
        if version == Some(RESTORING) {
            return self.run(CLEAR, Variables::new()).await.map(drop);
        }
        if !accounts.is_empty() {
            return Err(Error::Setup(
                "the auth database holds accounts: a backup is restored into an empty one; nothing was changed".into(),
            ));
        }
        self.mark(RESTORING).await
    }

    /// Writes some rows.
    pub async fn load(&self, lines: &[AccountLine]) -> Result<(), Error> {
        let (mut accounts, mut names, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            match line {
                AccountLine::Account { user, name, password, created_at } => accounts.push(NewAccountRow {
                    id: record("account", user),
                    name: name.clone(),
                    password: password.clone(),
                    created_at_ms: created_at.as_millis(),
                }),
                AccountLine::Name { key, user } => {
                    names.push(NameRow { id: record("name", key), account: record("account", user) });
                }
                AccountLine::Letter { key, letter, written_at } => letters.push(NewLetterRow {
                    id: record("outbox", key),
                    letter: letter.clone(),
                    written_at_ms: written_at.as_millis(),
                }),
                AccountLine::Begin { .. } | AccountLine::End { .. } => {}
            }
        }
        let mut values = Variables::new();
        values.insert("accounts", accounts);
        values.insert("names", names);
        values.insert("letters", letters);
        self.run(LOAD, values).await.map(drop)
    }

    /// Takes out accounts whose names were not among the rows: they were being erased.
    pub async fn forget_accounts(&self, users: &[UserId]) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("accounts", users.iter().map(|user| record("account", user)).collect::<Vec<_>>());
        self.run(FORGET, values).await.map(drop)
    }

    /// Writes which version of the tables the database has.
    pub async fn mark(&self, version: i64) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("schema", record("schema", "auth"));
        values.insert("version", version);
        self.retried(|| self.run(MARK, values.clone())).await.map(drop)
    }
}

impl AccountRow {
    /// Its key, and its line if it is somebody's.
    fn line(self) -> Result<(String, Option<AccountLine>), Error> {
        if self.key == NOBODY {
            return Ok((self.key, None));
        }
        let line = AccountLine::Account {
            user: user(&self.key)?,
            name: self.name,
            password: self.password,
            created_at: Timestamp::from_millis(self.created_at_ms),
        };
        Ok((self.key, Some(line)))
    }
}

impl NameOf {
    fn line(self) -> Result<(String, Option<AccountLine>), Error> {
        let line = AccountLine::Name { key: self.key.clone(), user: user(&self.user)? };
        Ok((self.key, Some(line)))
    }
}

impl Waiting {
    fn line(self) -> (String, Option<AccountLine>) {
        let written_at = Timestamp::from_millis(self.written_at_ms);
        (self.key.clone(), Some(AccountLine::Letter { key: self.key, letter: self.letter, written_at }))
    }
}
