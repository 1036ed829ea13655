//! The keys that sign session tokens: made, published to the broker, replaced in time.
//!
//! The database has the secret keys, so that several auth services sign with the same one; the broker has the
//! public ones, which gateways follow. What is to be done is decided by pure functions of the stored keys and
//! the time.

mod plan;

use crate::config::Lives;
use crate::error::Error;
use crate::signals::Signals;
use crate::store::{KeyRow, Store};
use broker::{Broker, Expect};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use plan::Plan;
use protocol::state::SessionKey;
use protocol::token::{self, BadToken, Claims};
use protocol::{Timestamp, subject};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often keys are looked at: made, replaced, published again where the broker has lost them.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon they are looked at again when that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub struct Keys {
    store: Store,
    broker: Broker,
    signals: Arc<Signals>,
    lives: Lives,
    ring: RwLock<Ring>,
}

/// The keys in use, as the last look found them.
#[derive(Default)]
struct Ring {
    signer: Option<(String, SigningKey)>,
    verifying: HashMap<String, VerifyingKey>,
}

impl Keys {
    /// Reads the keys, makes the first one if there is none, and publishes what the broker does not have.
    ///
    /// # Errors
    /// Of broker and database.
    pub async fn start(
        store: Store,
        broker: Broker,
        signals: Arc<Signals>,
        lives: Lives,
    ) -> Result<Self, Error> {
        let keys = Self { store, broker, signals, lives, ring: RwLock::default() };
        keys.look().await?;
        Ok(keys)
    }

    /// Looks after the keys until `shutdown`: from time to time, and whenever the connection to the broker
    /// has come back.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut connection = self.broker.connection();
        let mut pause = LOOK_EVERY;
        loop {
            // Each branch only reads a signal, so any may be cancelled.
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = connection.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
            let connected = connection.borrow_and_update().connected;
            let looked = if connected {
                self.look().await.map_err(|e| e.to_string())
            } else {
                Err("not connected".into())
            };
            pause = if looked.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
            self.signals.broker(looked);
        }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`Error::Internal`] when no key could be made yet.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let (key_id, key) = ring.signer.as_ref().ok_or(Error::Internal("there is no signing key"))?;
        Ok(token::sign(claims, key_id, key))
    }

    /// Checks a token's signature and time; whether its session was ended is not looked at.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, BadToken> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        token::verify(token, now, |key_id| ring.verifying.get(key_id).copied())
    }

    async fn look(&self) -> Result<(), Error> {
        let now = Timestamp::now();
        let mut rows = self.store.keys().await?;
        let plan = Plan::of(&rows, self.lives, now);
        if !plan.is_empty() {
            self.carry_out(&plan, now).await?;
            rows = self.store.keys().await?;
        }
        for row in &rows {
            self.publish_if_missing(row, now).await.map_err(Error::Broker)?;
        }
        // Only now: no token is signed with a key that the broker does not have.
        self.take_up(&rows, now)
    }

    async fn carry_out(&self, plan: &Plan, now: Timestamp) -> Result<(), Error> {
        if plan.create {
            self.store.create_key(&new_key(now)?).await?;
        }
        for (key_id, at) in &plan.retire {
            self.store.retire_key(key_id, *at).await?;
        }
        for key_id in &plan.forget {
            self.store.forget_key(key_id).await?;
        }
        Ok(())
    }

    async fn publish_if_missing(&self, row: &KeyRow, now: Timestamp) -> Result<(), broker::Error> {
        let Some(key) = read_secret(row) else { return Ok(()) };
        let public = token::public_key_text(&key.verifying_key());
        let wanted = SessionKey { public, retired_at: row.retired_at };
        // A retired key leaves the broker by itself.
        let ttl_s = row.retired_at.map(|at| plan::seconds_left(at, now));
        if ttl_s == Some(0) {
            return Ok(());
        }
        let subject = subject::session_key(&row.key_id);
        let found = self.broker.last(subject::SESSIONS_STREAM, &subject).await?;
        let found = found.and_then(|record| serde_json::from_slice::<SessionKey>(&record.payload).ok());
        if found.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let payload = serde_json::to_vec(&wanted).expect("a key's state is plain JSON");
        self.broker.put(subject, Expect::Anything, ttl_s, payload).await?;
        self.signals.key_published(&row.key_id);
        Ok(())
    }

    fn take_up(&self, rows: &[KeyRow], now: Timestamp) -> Result<(), Error> {
        let signer =
            plan::signer(rows, self.lives, now).and_then(|row| Some((row.key_id.clone(), read_secret(row)?)));
        if signer.is_none() {
            return Err(Error::Internal("there is no signing key that can be read"));
        }
        let verifying = rows.iter().filter(|row| row.retired_at.is_none_or(|at| at > now));
        let verifying: HashMap<_, _> = verifying
            .filter_map(|row| Some((row.key_id.clone(), read_secret(row)?.verifying_key())))
            .collect();
        self.signals.keys(verifying.len());
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring { signer, verifying };
        Ok(())
    }
}

fn new_key(now: Timestamp) -> Result<KeyRow, Error> {
    let (mut secret, mut id) = ([0; 32], [0; 9]);
    getrandom::fill(&mut secret)?;
    getrandom::fill(&mut id)?;
    Ok(KeyRow {
        key_id: data_encoding::HEXLOWER.encode(&id),
        secret: BASE64URL_NOPAD.encode(&secret),
        created_at: now,
        retired_at: None,
    })
}

fn read_secret(row: &KeyRow) -> Option<SigningKey> {
    let bytes = BASE64URL_NOPAD.decode(row.secret.as_bytes()).ok()?;
    let key = bytes.try_into().ok().map(|bytes| SigningKey::from_bytes(&bytes));
    if key.is_none() {
        tracing::error!(key_id = row.key_id, "a stored signing key can't be read");
    }
    key
}
