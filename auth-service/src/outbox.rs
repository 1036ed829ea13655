//! Telling the broker what the database has decided: a new person's profile, the end of a session.
//!
//! What is to be told is written down with what it tells. It is told at once, and if the broker is away just
//! then, again until it has it, by whichever auth service is there.

use crate::signals::Signals;
use crate::store::{self, Letter, LetterRow, Store};
use broker::{Broker, Expect};
use protocol::state::{Profile, Revocation};
use protocol::{Timestamp, UserId, subject};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Letters read from the database at once.
const BATCH: u32 = 100;
/// How often the database is asked for letters that wait.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a request waits for the broker before it leaves a letter to be sent later.
const PATIENCE: Duration = Duration::from_secs(2);
/// A revocation is kept this much longer than any token of its session lives, in seconds.
const MARGIN_S: u32 = 60;

pub struct Outbox {
    store: Store,
    broker: Broker,
    signals: Arc<Signals>,
    /// A revocation matters no longer than this, in seconds.
    revocation_life_s: u32,
}

impl Outbox {
    pub fn new(store: Store, broker: Broker, signals: Arc<Signals>, token_life_s: u32) -> Self {
        Self { store, broker, signals, revocation_life_s: token_life_s + MARGIN_S }
    }

    /// Tells the broker of a letter that has just been written. If it can't be told, the letter waits in the
    /// database.
    pub async fn send(&self, letter: &Letter) {
        // A letter may be told twice, so it may be cut off when half told.
        let told = tokio::time::timeout(PATIENCE, self.tell(letter)).await;
        match told.unwrap_or(Err(broker::Error::TimedOut)) {
            Ok(()) => self.sent(&letter.id()).await,
            Err(error) => self.signals.letter_put_off(&error),
        }
    }

    /// Sends letters that wait, until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut connection = self.broker.connection();
        loop {
            // Each branch only reads a signal, so any may be cancelled.
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = connection.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if connection.borrow_and_update().connected
                && let Err(error) = self.send_waiting().await
            {
                tracing::debug!(%error, "the letters that wait can't be read");
            }
        }
    }

    /// One pass: the oldest letters, until the broker takes no more.
    async fn send_waiting(&self) -> Result<(), store::Error> {
        let waiting = self.store.letters(BATCH).await?;
        self.signals.letters_waiting(waiting.len());
        for row in waiting {
            let Some(letter) = self.useful(&row) else {
                self.signals.letter_dropped(&row.id);
                self.store.letter_sent(&row.id).await?;
                continue;
            };
            if let Err(error) = self.tell(letter).await {
                self.signals.letter_put_off(&error);
                return Ok(());
            }
            self.sent(&row.id).await;
        }
        Ok(())
    }

    fn useful<'a>(&self, row: &'a LetterRow) -> Option<&'a Letter> {
        let letter = row.letter.as_ref()?;
        let ends = |at: Timestamp| at.plus_seconds(self.revocation_life_s.into());
        let over = matches!(letter, Letter::Revocation { at, .. } if ends(*at) < Timestamp::now());
        (!over).then_some(letter)
    }

    async fn sent(&self, id: &str) {
        self.signals.letter_sent();
        // A letter that could not be removed is sent again later, which changes nothing.
        if let Err(error) = self.store.letter_sent(id).await {
            tracing::debug!(%error, "a sent letter could not be removed");
        }
    }

    /// Has the broker overwrite the name that it has.
    async fn erase_profile(&self, user: UserId) -> Result<(), broker::Error> {
        let (stream, subject) = (subject::PROFILES_STREAM, subject::profile(user));
        match self.broker.last_confirmed(stream, &subject).await? {
            Some(known) => self.broker.erase(stream, known.seq).await.map(drop),
            None => Ok(()),
        }
    }

    async fn tell(&self, letter: &Letter) -> Result<(), broker::Error> {
        if let Letter::Profile { user, name } = letter
            && name.is_empty()
        {
            self.erase_profile(*user).await?;
        }
        let json = |value: Result<Vec<u8>, _>| value.expect("state is plain JSON");
        let (subject, ttl_s, payload) = match letter {
            Letter::Profile { user, name } => {
                let profile = Profile { name: name.clone() };
                (subject::profile(*user), None, json(serde_json::to_vec(&profile)))
            }
            Letter::Revocation { session, user, at } => {
                let revocation = Revocation { user: *user, at: *at };
                let ttl_s = Some(u64::from(self.revocation_life_s));
                (subject::session_revoked(*session), ttl_s, json(serde_json::to_vec(&revocation)))
            }
        };
        self.broker.put(subject, Expect::Anything, ttl_s, payload).await.map(drop)
    }
}
