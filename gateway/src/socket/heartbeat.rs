//! Signs of life. One task asks every socket's peer for one in each period, written straight to its line: an idle socket has no
//! clock of its own and is not woken by a ping.

use super::{frame, wire::Format};
use crate::state::Gateway;
use bytes::Bytes;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Turns in a period, each for the sockets that came after the turn before: their first ping comes after a whole period.
pub const TURNS: u8 = 32;
/// Lines written to before other tasks get their turn.
const AT_ONCE: usize = 64;

/// Pings the sockets until the gateway ends.
pub async fn ping_sockets(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let every = gateway.config.sockets.ping_every / u32::from(TURNS);
    let mut turn = interval(every.max(Duration::from_millis(1)));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = turn.tick() => {}
        }
        for some in gateway.sessions.next_turn().chunks(AT_ONCE) {
            some.iter().for_each(|line| line.ping());
            tokio::task::yield_now().await;
        }
    }
}

/// A ping of the protocol, and one that a page's script can see.
pub fn ping(format: Format) -> Bytes {
    static PINGS: [OnceLock<Bytes>; Format::COUNT] = [const { OnceLock::new() }; Format::COUNT];
    let both = || [&frame::PING[..], &frame::text(&format.ping())].concat().into();
    PINGS[format.index()].get_or_init(both).clone()
}
