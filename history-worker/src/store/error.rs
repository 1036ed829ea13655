use std::fmt;

use surrealdb::types::QueryError;

/// What can go wrong with the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The database can't be used as it is; a person must look.
    Refused(String),
    /// Somebody else has given the database another layout: this program must not touch it.
    Relaid,
    /// Somebody else has moved the checkpoint: read it again.
    Moved,
    /// Another transaction was first; the same may succeed when it is tried again.
    Conflict,
    /// No answer in time. What was asked may or may not have happened.
    TimedOut,
    /// The database failed or can't be reached.
    Failed(String),
    /// A row has not the form that this program writes.
    Malformed(&'static str),
}

/// What a transaction throws when the checkpoint is not as expected.
pub(super) const MOVED: &str = "the checkpoint has moved";
/// What a transaction throws when the database has another layout than this program.
pub(super) const RELAID: &str = "the layout is another one";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Relaid => f.write_str(
                "the history database has another layout now, of a newer backchat: nothing was changed; use that backchat",
            ),
            Self::Moved => f.write_str("another worker applies this shard"),
            Self::Conflict => f.write_str("another transaction was first"),
            Self::TimedOut => f.write_str("the database did not answer in time"),
            Self::Failed(why) => write!(f, "the database failed: {why}"),
            Self::Malformed(what) => write!(f, "the database holds a row without a proper {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<surrealdb::Error> for StoreError {
    fn from(error: surrealdb::Error) -> Self {
        if error.is_thrown() && error.message().contains(MOVED) {
            return Self::Moved;
        }
        if error.is_thrown() && error.message().contains(RELAID) {
            return Self::Relaid;
        }
        match error.query_details() {
            Some(QueryError::TransactionConflict) => return Self::Conflict,
            Some(QueryError::TimedOut { .. }) => return Self::TimedOut,
            _ => {}
        }
        // The embedded engine tells of a conflict at the commit in words alone.
        let message = error.message().to_ascii_lowercase();
        if message.contains("transaction conflict") || message.contains("write conflict") {
            return Self::Conflict;
        }
        Self::Failed(first_line(error.message()))
    }
}

/// One line, so that it fits into a log and into `/readyz`; short, since a database may quote what it was given.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_checkpoint_and_a_conflict_are_known_by_what_the_database_says() {
        let thrown = surrealdb::Error::thrown(format!("An error occurred: {MOVED}"));
        assert_eq!(StoreError::from(thrown), StoreError::Moved);
        let typed = surrealdb::Error::query("whatever".into(), QueryError::TransactionConflict);
        assert_eq!(StoreError::from(typed), StoreError::Conflict);
        let untyped = surrealdb::Error::internal("Transaction conflict: Transaction write conflict".into());
        assert_eq!(StoreError::from(untyped), StoreError::Conflict);
        let other = surrealdb::Error::internal("disk\nfull".into());
        assert_eq!(StoreError::from(other), StoreError::Failed("disk".into()));
    }
}
