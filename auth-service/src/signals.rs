//! What an operator sees: each method writes the log line and moves the counter. Names, passwords, tokens and
//! secrets are in none.

use crate::error::{Error, Fault};
use protocol::keys::Holder;
use protocol::{SessionId, UserId};
use service::health::{DependencyHandle, Health, Need};
use service::metrics::{Counter, CounterBy, Gauge, GaugeOnceKnown, Histogram, Label, Registry};
use std::time::Duration;

pub struct Signals {
    broker: DependencyHandle,
    database: DependencyHandle,
    registrations: CounterBy,
    logins: CounterBy,
    renewals: CounterBy,
    ended: CounterBy,
    letters: CounterBy,
    letters_waiting: GaugeOnceKnown,
    keys: Gauge,
    keys_published: Counter,
    holder_keys: KeySignals,
    hashing_seconds: Histogram,
    hashing_waiting: Gauge,
    hashing_refused: Counter,
    failures: CounterBy,
    requests: CounterBy,
    request_seconds: Histogram,
}

/// Keys of people and rooms.
struct KeySignals {
    made: Counter,
    failed: Counter,
    erased: Counter,
    unwrap_failed: Counter,
    rotation_unfinished: GaugeOnceKnown,
    erasures_unfinished: GaugeOnceKnown,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its person logged out.
    Logout,
    /// Its person logged in again in the same browser.
    Replaced,
    /// A refresh secret that had been replaced was used again: two parties have a copy.
    SecretReused,
}

impl KeySignals {
    fn new(registry: &Registry) -> Self {
        Self {
            made: registry.counter("keys_made", "Keys of people and rooms that were made"),
            failed: registry
                .counter("keys_failed", "Keys that could not be stored, and rotations that failed"),
            erased: registry.counter("keys_erased", "Keys of people and rooms that were destroyed"),
            unwrap_failed: registry.counter(
                "keys_unwrap_failed",
                "Keys that a rotation could not unwrap with any root key at hand; the log names each",
            ),
            rotation_unfinished: registry.gauge_once_known(
                "rotation_unfinished",
                "1 while keys are wrapped under an older root key than the newest, else 0; looked at twice a minute",
            ),
            erasures_unfinished: registry.gauge_once_known(
                "erasures_unfinished",
                "People and rooms that are to be erased, of whom keys, account or rooms still know; looked at twice a minute",
            ),
        }
    }
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        Self {
            broker: health.dependency("broker", Need::Required),
            database: health.dependency("database", Need::Required),
            registrations: registry.counter_by(
                "registrations",
                "Tries to make an account",
                Label::of("outcome", &["created", "taken", "invalid"]),
            ),
            logins: registry.counter_by(
                "logins",
                "Tries to log in",
                Label::of("outcome", &["ok", "wrong", "too_many_tries"]),
            ),
            renewals: registry.counter_by(
                "renewals",
                "Tries to renew a token",
                Label::of("outcome", &["ok", "refused"]),
            ),
            ended: registry.counter_by(
                "sessions_ended",
                "Sessions ended before their time",
                Label::of("why", &["logout", "replaced", "secret_reused"]),
            ),
            letters: registry.counter_by(
                "letters",
                "Profiles and revocations for the broker",
                Label::of("outcome", &["sent", "put_off", "dropped"]),
            ),
            letters_waiting: registry.gauge_once_known(
                "letters_waiting",
                "Profiles and revocations that the broker does not have yet",
            ),
            keys: registry.gauge("keys", "Signing keys whose tokens are accepted"),
            keys_published: registry.counter("keys_published", "Signing keys written to the broker"),
            holder_keys: KeySignals::new(registry),
            hashing_refused: registry.counter(
                "hashing_refused",
                "Requests put off since too many passwords waited to be hashed, or waited too long",
            ),
            hashing_waiting: registry
                .gauge("hashing_waiting", "Requests that wait until a password can be hashed"),
            hashing_seconds: registry
                .seconds("hashing_seconds", "Time to hash a password, its wait included"),
            failures: registry.counter_by(
                "failures",
                "Requests that failed, by whose fault it was",
                Label::of("fault", &["caller", "us", "broker", "database"]),
            ),
            requests: registry.counter_by(
                "requests",
                "HTTP requests",
                Label::of("status", &["2xx", "3xx", "4xx", "5xx"]),
            ),
            request_seconds: registry.seconds("request_seconds", "Time to answer an HTTP request"),
        }
    }

    /// How many requests wait for a password's hash: whoever hashes counts them.
    pub fn hashing_waiting(&self) -> Gauge {
        self.hashing_waiting.clone()
    }

    /// How many were put off by whoever hashes.
    pub fn hashing_refused(&self) -> Counter {
        self.hashing_refused.clone()
    }

    pub fn broker(&self, state: Result<(), String>) {
        report(&self.broker, state);
    }
    pub fn database(&self, state: Result<(), String>) {
        report(&self.database, state);
    }

    /// A person or a room got a key.
    pub fn key_made(&self) {
        self.holder_keys.made.inc();
    }
    /// A new room has to wait, since its key can't be stored.
    pub fn key_failed(&self, error: &Error) {
        self.holder_keys.failed.inc();
        tracing::warn!(?error, "a room's key can't be stored");
    }

    /// A rotation has ended, by failure or because nothing is left to do.
    pub fn rotated(&self, ended: Result<(), Error>) {
        match ended {
            Ok(()) => {
                self.rotation_unfinished(false);
                tracing::info!("every key is wrapped under the newest root key");
            }
            Err(error) => {
                self.holder_keys.failed.inc();
                tracing::error!(%error, "not every key is wrapped under the newest root key yet");
            }
        }
    }
    /// Whether there are keys under an older root key than the newest.
    pub fn rotation_unfinished(&self, is_unfinished: bool) {
        self.holder_keys.rotation_unfinished.set(u64::from(is_unfinished));
    }
    /// A rotation met a key that no root key opens.
    pub fn key_not_unwrapped(&self, subject: &str, why: &str) {
        self.holder_keys.unwrap_failed.inc();
        tracing::error!(key = subject, why, "a key can't be unwrapped");
    }
    /// A person's or a room's keys were destroyed.
    pub fn keys_erased(&self, holder: &Holder, keys: u64) {
        self.holder_keys.erased.inc_by(keys);
        if keys > 0 {
            tracing::info!(%holder, keys, "its keys are destroyed");
        }
    }

    /// So many people and rooms are to be erased, and not all of them is gone yet.
    pub fn erasures_unfinished(&self, count: usize) {
        self.holder_keys.erasures_unfinished.set(count as u64);
    }
    /// Everything of a person or a room is erased, and the rooms know.
    pub fn erased(&self, holder: &Holder) {
        tracing::info!(%holder, "everything of it is erased");
    }

    pub fn registered(&self, user: UserId) {
        self.registrations.inc("created");
        tracing::info!(%user, "account created");
    }
    /// The form was refused: `taken` or `invalid`.
    pub fn not_registered(&self, outcome: &'static str) {
        self.registrations.inc(outcome);
    }

    pub fn logged_in(&self, user: UserId, session: SessionId) {
        self.logins.inc("ok");
        tracing::info!(%user, %session, "logged in");
    }
    /// A wrong name or password. Not counted: tries that were not looked at.
    pub fn login_refused(&self) {
        self.logins.inc("wrong");
        tracing::debug!("a login was refused");
    }
    pub fn login_slowed(&self) {
        self.logins.inc("too_many_tries");
        tracing::debug!("a login was put off after too many wrong ones");
    }

    pub fn renewed(&self) {
        self.renewals.inc("ok");
    }
    pub fn renewal_refused(&self) {
        self.renewals.inc("refused");
        tracing::debug!("a refresh secret was not accepted");
    }

    pub fn session_ended(&self, session: SessionId, why: Ended) {
        match why {
            Ended::Logout => {
                self.ended.inc("logout");
                tracing::info!(%session, "logged out");
            }
            Ended::Replaced => {
                self.ended.inc("replaced");
                tracing::info!(%session, "replaced by a new login in the same browser");
            }
            Ended::SecretReused => {
                self.ended.inc("secret_reused");
                tracing::warn!(%session, "a replaced refresh secret was used again; the session is ended, its cookie may have been stolen");
            }
        }
    }

    pub fn letter_sent(&self) {
        self.letters.inc("sent");
    }
    /// The broker did not take it; it is tried again until it does.
    pub fn letter_put_off(&self, error: &broker::Error) {
        self.letters.inc("put_off");
        tracing::warn!(%error, "the broker could not be told; it is tried again");
    }
    /// It can't be understood, or nothing depends on it any more.
    pub fn letter_dropped(&self, id: &str) {
        self.letters.inc("dropped");
        tracing::info!(letter = id, "a letter to the broker is of no more use");
    }
    pub fn letters_waiting(&self, count: usize) {
        self.letters_waiting.set(count as u64);
    }

    pub fn key_published(&self, key_id: &str) {
        self.keys_published.inc();
        tracing::info!(key_id, "signing key published");
    }
    pub fn keys(&self, count: usize) {
        self.keys.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn hashed(&self, took: Duration) {
        self.hashing_seconds.observe(took.as_secs_f64());
    }

    /// A request failed, and not by what was typed. Logged once, here.
    pub fn failed(&self, error: &Error) {
        let fault = match error.fault() {
            Fault::Caller => "caller",
            Fault::Us => "us",
            Fault::Broker => "broker",
            Fault::Database => "database",
        };
        self.failures.inc(fault);
        match error.status() {
            500 => tracing::error!(%error, "a request failed"),
            503 => tracing::warn!(%error, "a request was put off"),
            _ => tracing::debug!(%error, "a request was refused"),
        }
    }

    pub fn answered(&self, method: &str, path: &str, status: u16, took: Duration) {
        self.requests.inc(match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        });
        self.request_seconds.observe(took.as_secs_f64());
        tracing::debug!(method, path, status, ms = took.as_millis() as u64, "request");
    }
}

fn report(dependency: &DependencyHandle, state: Result<(), String>) {
    match state {
        Ok(()) => dependency.ok(),
        Err(why) => dependency.failed(why),
    }
}
