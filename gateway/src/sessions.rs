//! Who is logged in: session tokens checked offline, with the keys and revocations that the broker holds.

use crate::state::Gateway;
use broker::{Follower, Record};
use protocol::{
    SessionId, Timestamp,
    state::SessionKey,
    subject,
    token::{self, BadToken, Claims, PublicKey},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Revocations kept longest: no token lives longer than a day, which is the greatest life that can be configured.
const REVOCATION_MAX_S: i64 = 86_400 + 300;
/// Without a look at the stream for so long, a gateway says that it can't be sure of its revocations.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// A key that signs tokens.
#[derive(Clone)]
struct Key {
    public: PublicKey,
    retired_at: Option<Timestamp>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, Key>,
    revoked: HashMap<SessionId, Timestamp>,
    /// Open sockets: what closes them, by session.
    open: HashMap<SessionId, HashMap<u64, CancellationToken>>,
    next_socket: u64,
}

/// Keys, revocations, and the sockets that a revocation closes.
pub struct Sessions(Arc<Mutex<Known>>);

/// A socket's place among those of its session; dropping it gives the place back.
pub struct Registration {
    known: Arc<Mutex<Known>>,
    session: SessionId,
    socket: u64,
    /// Cancelled when the session is revoked.
    pub revoked: CancellationToken,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        if let Some(sockets) = known.open.get_mut(&self.session) {
            sockets.remove(&self.socket);
            if sockets.is_empty() {
                known.open.remove(&self.session);
            }
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Checks a token by itself: signature, time, and that its session was not revoked.
    ///
    /// # Errors
    /// [`BadToken`]; a revoked session's token counts as expired.
    pub fn check(&self, token: &str) -> Result<Claims, BadToken> {
        let now = Timestamp::now();
        // The check of a signature takes long, so nothing is locked meanwhile.
        let claims = token::verify(token, now, |key_id| {
            let key = lock(&self.0).keys.get(key_id).cloned()?;
            let retired = key.retired_at.is_some_and(|at| at <= now);
            if retired { None } else { Some(key.public) }
        })?;
        let known = lock(&self.0);
        if known.revoked.contains_key(&claims.session) { Err(BadToken::Expired) } else { Ok(claims) }
    }

    /// Registers a socket of a session, so that a revocation closes it. A session that was revoked just before is
    /// found by the registration's token.
    pub fn register(&self, session: SessionId) -> Registration {
        let mut known = lock(&self.0);
        let socket = known.next_socket;
        known.next_socket += 1;
        let revoked = CancellationToken::new();
        if known.revoked.contains_key(&session) {
            revoked.cancel();
        }
        known.open.entry(session).or_default().insert(socket, revoked.clone());
        Registration { known: Arc::clone(&self.0), session, socket, revoked }
    }

    fn apply(&self, record: &Record, now: Timestamp) {
        let mut tokens = record.subject.rsplit('.');
        let (Some(id), Some(kind)) = (tokens.next(), tokens.next()) else { return };
        let mut known = lock(&self.0);
        match kind {
            "key" => match key(&record.payload) {
                Some(key) => drop(known.keys.insert(id.to_owned(), key)),
                None => tracing::warn!(key = id, "a session key can't be read"),
            },
            "revoked" => {
                let Ok(session) = id.parse::<SessionId>() else { return };
                known.revoked.insert(session, record.at);
                for socket in known.open.remove(&session).unwrap_or_default().into_values() {
                    socket.cancel();
                }
            }
            _ => {}
        }
        let oldest = now.plus_seconds(-REVOCATION_MAX_S);
        known.revoked.retain(|_, at| *at > oldest);
        known.keys.retain(|_, key| key.retired_at.is_none_or(|at| at > oldest));
    }

    fn forget(&self) {
        let mut known = lock(&self.0);
        known.keys.clear();
        known.revoked.clear();
    }
}

fn key(payload: &[u8]) -> Option<Key> {
    let key: SessionKey = serde_json::from_slice(payload).ok()?;
    Some(Key { public: token::public_key(&key.public)?, retired_at: key.retired_at })
}

/// Follows keys and revocations for as long as the gateway runs. The first full read is waited for by `ready`.
pub async fn follow_sessions(gateway: Arc<Gateway>, ready: CancellationToken, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let started = Follower::start(
            &gateway.broker,
            subject::SESSIONS_STREAM,
            subject::SESSIONS,
            subject::SESSIONS_LIVE,
            0,
        );
        match started.await {
            Ok(mut follower) => follow(&gateway, &mut follower, &ready, &shutdown).await,
            Err(error) => gateway.signals.sessions_failed(&error.to_string()),
        }
        let pause = tokio::time::sleep(Duration::from_millis(500));
        tokio::select! { () = shutdown.cancelled() => {}, () = pause => {} }
    }
}

/// Ends when the stream was made anew: its keys and revocations are then read from the start.
async fn follow(
    gateway: &Gateway,
    follower: &mut Follower,
    ready: &CancellationToken,
    shutdown: &CancellationToken,
) {
    loop {
        // `next` reads again what a cancelled call had read.
        let next = tokio::select! {
            () = shutdown.cancelled() => return,
            next = follower.next() => next,
        };
        match next {
            Ok(records) => {
                let now = Timestamp::now();
                records.iter().for_each(|record| gateway.sessions.apply(record, now));
                gateway.signals.sessions_ok();
                if follower.at_end() {
                    ready.cancel();
                }
            }
            Err(broker::Error::Setup(why)) => {
                tracing::error!(why, "keys and revocations are read anew");
                gateway.sessions.forget();
                return;
            }
            Err(error) => {
                if follower.looked_ago() > STALE_AFTER {
                    gateway.signals.sessions_failed(&error.to_string());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
