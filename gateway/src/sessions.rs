//! Who is logged in: session tokens checked offline, with the keys and revocations that the broker holds.

use crate::{
    socket::{heartbeat::TURNS, line::Line},
    state::Gateway,
};
use broker::{Follower, Record};
use protocol::{
    SessionId, Timestamp,
    frame::Close,
    state::SessionKey,
    subject,
    token::{self, BadToken, Claims, PublicKey},
};
use std::{
    collections::{BTreeMap, HashMap},
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
    /// Open sockets, by the turn of each period in which they are pinged, and a number.
    open: BTreeMap<(u8, u64), Socket>,
    next_socket: u64,
    /// Which sockets were pinged last.
    turn: u8,
    /// This gateway stops: nobody sits down any more.
    closing: bool,
}

struct Socket {
    session: SessionId,
    line: Arc<Line>,
}

/// Keys, revocations, and the sockets that a revocation closes.
pub struct Sessions(Arc<Mutex<Known>>);

/// A socket's place among those of its session; dropping it gives the place back.
pub struct Registration {
    known: Arc<Mutex<Known>>,
    place: (u8, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.known).open.remove(&self.place);
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

    /// Registers a socket of a session, so that a revocation dismisses it, or the end of this gateway. Where one of the two has
    /// come already, it is dismissed now.
    pub fn register(&self, session: SessionId, line: &Arc<Line>) -> Registration {
        let mut known = lock(&self.0);
        let place = (known.turn, known.next_socket);
        known.next_socket += 1;
        if known.revoked.contains_key(&session) {
            line.dismiss(Close::SessionEnded);
        } else if known.closing {
            line.dismiss(Close::Draining);
        }
        known.open.insert(place, Socket { session, line: Arc::clone(line) });
        Registration { known: Arc::clone(&self.0), place }
    }

    /// Dismisses every socket because this gateway stops, spread over a time, so that they do not come to another gateway in the
    /// same instant.
    pub async fn dismiss_all(&self, spread: Duration) {
        const TURN: Duration = Duration::from_millis(5);
        let lines: Vec<_> = {
            let mut known = lock(&self.0);
            known.closing = true;
            known.open.values().map(|socket| Arc::clone(&socket.line)).collect()
        };
        let turns = usize::try_from(spread.as_millis() / TURN.as_millis()).unwrap_or(usize::MAX).max(1);
        for some in lines.chunks(lines.len().div_ceil(turns).max(1)) {
            some.iter().for_each(|line| line.dismiss(Close::Draining));
            tokio::time::sleep(TURN).await;
        }
    }

    /// How many sockets are open. `None`: this gateway stops, and takes no more.
    pub fn sockets(&self) -> Option<u32> {
        let known = lock(&self.0);
        (!known.closing).then(|| u32::try_from(known.open.len()).unwrap_or(u32::MAX))
    }

    /// The sockets that are here for the longest time and are not about to end, `count` at most.
    pub fn longest_here(&self, count: usize) -> Vec<Arc<Line>> {
        let known = lock(&self.0);
        // Numbers rise with time, and in each turn they are in order.
        let of_turn = |turn| {
            let staying = |(_, socket): &(_, &Socket)| socket.line.stays().is_ok();
            known.open.range((turn, 0)..=(turn, u64::MAX)).filter(staying).take(count)
        };
        let mut some: Vec<_> = (0..TURNS).flat_map(of_turn).collect();
        some.sort_unstable_by_key(|((_, number), _)| *number);
        some.into_iter().take(count).map(|(_, socket)| Arc::clone(&socket.line)).collect()
    }

    /// The sockets that are to be pinged next.
    pub fn next_turn(&self) -> Vec<Arc<Line>> {
        let mut known = lock(&self.0);
        known.turn = (known.turn + 1) % TURNS;
        let now = known.open.range((known.turn, 0)..=(known.turn, u64::MAX));
        now.map(|(_, socket)| Arc::clone(&socket.line)).collect()
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
                // It is rare enough to look at all.
                let sockets = known.open.values().filter(|socket| socket.session == session);
                sockets.for_each(|socket| socket.line.dismiss(Close::SessionEnded));
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
