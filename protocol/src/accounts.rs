//! Accounts as a backup has them: lines of JSON, which an operator's tool asks the auth service for on
//! [`crate::subject::ACCOUNT_COPIES`]. Sessions and the keys that sign tokens are not among them: whoever has a backup must not be
//! able to come in as somebody else.

use crate::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The rows of a table behind a key are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskAccounts {
    pub table: AccountTable,
    pub after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountTable {
    Accounts,
    Names,
    Letters,
}

/// Some rows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountsAnswer {
    Rows {
        lines: Vec<AccountLine>,
        /// With what to go on; `None` when all is said.
        next: Option<AskAccounts>,
    },
    Refused {
        reason: String,
    },
}

/// A line of the accounts. It is not shown in logs: it may hold a password's hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountLine {
    /// The first.
    Begin {
        format: u32,
    },
    Account {
        user: UserId,
        name: String,
        password: String,
        created_at: Timestamp,
    },
    /// What no other account may be called.
    Name {
        key: String,
        user: UserId,
    },
    /// What the broker is still to be told.
    Letter {
        key: String,
        letter: String,
        written_at: Timestamp,
    },
    /// The last, with how many lines are before it.
    End {
        lines: u64,
    },
}

impl AccountLine {
    /// The format that this code writes, and the newest that it reads.
    pub const FORMAT: u32 = 1;
}

impl AskAccounts {
    /// What is asked first.
    pub const FIRST: Self = Self { table: AccountTable::Accounts, after: None };
}

impl AccountTable {
    /// Which one comes after it. Names come after accounts, so that there is an account for each name but of people who came
    /// meanwhile.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Accounts => Some(Self::Names),
            Self::Names => Some(Self::Letters),
            Self::Letters => None,
        }
    }
}
