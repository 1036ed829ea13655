//! The auth database. This file and the folder `store/` are the only ones that name SurrealDB, and hold all
//! its SurrealQL.
//!
//! Values are bound, never written into a statement. Each call is one round trip, in one transaction where it
//! has several statements, and has a time-out.

mod accounts;
mod connect;
mod copies;
mod error;
mod keys;
mod outbox;
mod sessions;

pub use accounts::NewAccount;
pub use connect::{ACCOUNTS, Store, check_address};
pub use error::Error;
pub use keys::KeyRow;
pub use outbox::{Letter, LetterRow};
pub use sessions::SessionRow;

use std::future::Future;
use std::time::Duration;
use surrealdb::IndexedResults;
use surrealdb::types::{RecordId, Variables};

/// The longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Tries of a transaction that conflicts with another one.
const TRIES_MAX: u32 = 6;

impl Store {
    /// Runs statements, with all their faults found. They run on a task of their own: a caller that goes away
    /// does not drop a transaction half done.
    async fn run(&self, statements: &'static str, values: Variables) -> Result<IndexedResults, Error> {
        let task = tokio::spawn(Box::pin(self.clone().query(statements, values)));
        match tokio::time::timeout(ANSWER, task).await {
            Err(_) => Err(Error::Unavailable("the database did not answer in time".into())),
            Ok(Err(_)) => Err(Error::Unavailable("the database's task ended".into())),
            Ok(Ok(Err(error))) => Err(Error::of(&error)),
            Ok(Ok(Ok(answer))) => checked(answer),
        }
    }

    /// Runs a transaction again while it conflicts with another one.
    async fn retried<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 1;
        loop {
            match attempt().await {
                Err(Error::Conflict) if tries < TRIES_MAX => {}
                other => return other,
            }
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
    }
}

/// Short, rising, and different for each of those that got in each other's way.
fn pause(tries: u32) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    Duration::from_millis(u64::from(random % (4 << tries.min(6))))
}

/// An answer can be well and have a fault in one of its statements; a failed transaction has one in each, of
/// which one says why.
fn checked(mut answer: IndexedResults) -> Result<IndexedResults, Error> {
    let faults = answer.take_errors();
    match faults.values().map(Error::of).min_by_key(Error::vagueness) {
        None => Ok(answer),
        Some(error) => Err(error),
    }
}

fn record(table: &'static str, key: impl ToString) -> RecordId {
    RecordId::new(table, key.to_string())
}

/// Why a stored row can't be understood.
fn unreadable(what: &'static str) -> Error {
    Error::Unreadable(what)
}

#[cfg(test)]
mod tests;
