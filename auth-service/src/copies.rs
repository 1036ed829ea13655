//! Accounts for a backup, and accounts from one.

use std::collections::HashSet;
use std::time::Duration;

use archive::{Opened, names};
use broker::{Broker, Question};
use protocol::accounts::{AccountLine, AccountsAnswer};
use protocol::{UserId, subject};
use service::process::say;
use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::{Config, Error};

/// Pause between two tries to be asked.
const SERVE_AGAIN: Duration = Duration::from_secs(1);
/// Rows that are written at once.
const ROWS: usize = 500;

/// Answers an operator's tool until `shutdown`.
pub async fn serve(store: Store, broker: Broker, shutdown: CancellationToken) {
    let serving = async {
        loop {
            if let Ok(mut questions) = broker.serve(subject::ACCOUNT_COPIES.into(), "auth").await {
                while let Some(question) = questions.next().await {
                    answer(&store, question).await;
                }
            }
            tokio::time::sleep(SERVE_AGAIN).await;
        }
    };
    shutdown.run_until_cancelled(serving).await;
}

async fn answer(store: &Store, question: Question) {
    let refused = |reason: String| AccountsAnswer::Refused { reason };
    let answer = match serde_json::from_slice(&question.payload) {
        Err(_) => refused("not a question about accounts".to_owned()),
        Ok(asked) => store.copies(asked).await.unwrap_or_else(|error| refused(error.to_string())),
    };
    question.answer(&answer).await;
}

/// Restores from a place, after all of it was read once.
///
/// # Errors
/// As [`restore`]; [`Error::Start`] when there is no whole backup.
pub async fn restore_from(config: &Config, place: &str) -> Result<(), Error> {
    let backup = Opened::whole_at(place).await.map_err(unread)?;
    let accounts = restore(config, &backup).await?;
    say(&format!("{accounts} accounts."));
    Ok(())
}

/// Writes the accounts of a backup into the auth database, which must have none; gives how many they are. Everybody has to log in
/// again. One that was cut short is begun again.
///
/// # Errors
/// [`Error::Start`] with a sentence for what can't be restored: then nothing was changed; others when the database fails.
pub async fn restore(config: &Config, from: &Opened) -> Result<u64, Error> {
    let mut lines = from.lines(names::ACCOUNTS).await.map_err(unread)?;
    match lines.next().await.map_err(unread)? {
        Some(AccountLine::Begin { format }) if format <= AccountLine::FORMAT => {}
        Some(AccountLine::Begin { format: found }) => {
            return Err(unread(archive::Error::Newer { found, known: AccountLine::FORMAT }));
        }
        _ => return Err(damaged("does not begin as accounts do")),
    }
    let store = Box::pin(Store::open_to_restore(config.database.expose(), config.start_patience)).await;
    let store = store.map_err(|error| Error::Start(error.to_string()))?;
    let restored = load(&store, lines).await;
    store.close().await;
    restored
}

async fn load(store: &Store, mut lines: archive::Lines) -> Result<u64, Error> {
    store.begin_restore().await.map_err(|error| Error::Start(error.to_string()))?;
    let mut people = People::default();
    let (mut count, mut ready) = (1, Vec::new());
    loop {
        let line = lines.next().await.map_err(unread)?;
        match line.ok_or_else(|| damaged("has no end"))? {
            AccountLine::End { lines } if lines == count => break,
            AccountLine::End { .. } => return Err(damaged("lacks lines")),
            line if people.take(&line) => ready.push(line),
            _ => {}
        }
        count += 1;
        if ready.len() == ROWS {
            store.load(&std::mem::take(&mut ready)).await?;
        }
    }
    store.load(&ready).await?;
    let nameless: Vec<_> = people.accounts.difference(&people.named).copied().collect();
    for some in nameless.chunks(ROWS) {
        store.forget_accounts(some).await?;
    }
    store.end_restore().await?;
    Ok((people.accounts.len() - nameless.len()) as u64)
}

/// Who has an account, and who a name: the rows were read while people came and went.
#[derive(Default)]
struct People {
    accounts: HashSet<UserId>,
    named: HashSet<UserId>,
}

impl People {
    /// Whether a line is to be written.
    fn take(&mut self, line: &AccountLine) -> bool {
        match line {
            AccountLine::Account { user, .. } => self.accounts.insert(*user),
            AccountLine::Name { user, .. } if self.accounts.contains(user) => {
                self.named.insert(*user);
                true
            }
            AccountLine::Letter { .. } => true,
            AccountLine::Name { .. } | AccountLine::Begin { .. } | AccountLine::End { .. } => false,
        }
    }
}

fn unread(error: archive::Error) -> Error {
    Error::Start(error.to_string())
}

fn damaged(why: &str) -> Error {
    unread(archive::Error::Damaged { file: names::ACCOUNTS.to_owned(), why: why.to_owned() })
}
