//! What an operator is told of a database, whichever service it belongs to.

use std::fmt;

/// A database that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The server's version: `3.3.5`.
    pub server: String,
    pub schema: Schema,
    /// The server's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Nothing of ours: the service was never started with it.
    Empty,
    /// What is read has this version.
    Version(i64),
    /// A backup was restored into it by half, or is being restored now.
    Restoring,
}

/// Where a database says what version its schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaMark {
    pub table: &'static str,
    /// A record of that table, whose field `version` has it.
    pub record: &'static str,
    /// The version that this program writes and reads.
    pub known: i64,
    /// What stands for a restore that has not ended.
    pub restoring: i64,
}

impl SchemaMark {
    /// The statement that gives the version.
    #[must_use]
    pub fn version(&self) -> String {
        format!("SELECT VALUE version FROM ONLY {}", self.record)
    }
}

/// Why a database can't be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// It is embedded in the service that has it, which alone can look at it.
    Embedded,
    /// The address is none, or a file that it names can't be used.
    Address(String),
    /// The server has no such user, or with another password.
    Denied,
    /// The server has no such database.
    Missing,
    /// It can't be reached, or does not answer.
    Away(String),
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("it is inside the service that has it"),
            Self::Address(why) | Self::Away(why) => f.write_str(why),
            Self::Denied => f.write_str("the server refuses this user and password"),
            Self::Missing => f.write_str("the server has no such database"),
        }
    }
}

impl std::error::Error for Unseen {}
