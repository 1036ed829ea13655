//! What can go wrong with the database.

use std::fmt;
use surrealdb::types::{AlreadyExistsError, QueryError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A record of this id exists already.
    Exists,
    /// Another transaction was first; the same one may succeed when it is run again.
    Conflict,
    /// The database can't be reached or does not answer. What was asked may have happened or not.
    Unavailable(String),
    /// The database refused a statement: a fault of ours or of its set-up.
    Refused(String),
    /// A stored row is not as this program writes it.
    Unreadable(&'static str),
    /// A person must look before this program can use the database.
    Setup(String),
    /// The statement did not run because another one of its transaction failed.
    NotRun,
}

impl Error {
    pub(super) fn of(error: &surrealdb::Error) -> Self {
        match (error.query_details(), error.already_exists_details()) {
            (Some(QueryError::TransactionConflict), _) => Self::Conflict,
            (Some(QueryError::NotExecuted | QueryError::Cancelled), _) => Self::NotRun,
            (Some(QueryError::TimedOut { .. }), _) => {
                Self::Unavailable("the database did not answer in time".into())
            }
            (_, Some(AlreadyExistsError::Record { .. })) => Self::Exists,
            _ if error.is_connection() => Self::Unavailable("no connection to the database".into()),
            _ => Self::of_text(error.message()),
        }
    }

    /// Some paths of the database lose an error's type and keep its text.
    fn of_text(text: &str) -> Self {
        let lower = text.to_lowercase();
        if lower.contains("conflict") && lower.contains("transaction") {
            Self::Conflict
        } else if lower.contains("already exists") && lower.contains("record") {
            Self::Exists
        } else if lower.contains("not executed") {
            Self::NotRun
        } else if lower.contains("connection") || lower.contains("websocket") {
            Self::Unavailable("no connection to the database".into())
        } else {
            Self::Refused(text.to_owned())
        }
    }

    /// Of the faults of one transaction, the least vague one says why it failed.
    pub(super) const fn vagueness(&self) -> u8 {
        match self {
            Self::Exists => 0,
            Self::Conflict => 1,
            Self::NotRun => 9,
            _ => 2,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("the record exists already"),
            Self::Conflict => f.write_str("another transaction was first"),
            Self::Unavailable(why) | Self::Setup(why) => f.write_str(why),
            Self::Refused(why) => write!(f, "the database refused: {why}"),
            Self::Unreadable(what) => write!(f, "a stored {what} can't be read"),
            Self::NotRun => f.write_str("the transaction failed"),
        }
    }
}
impl std::error::Error for Error {}
