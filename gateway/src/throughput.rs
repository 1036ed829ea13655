//! How much a gateway sends: as a number that an autoscaler can take as it is, and by the socket, which is known of those that
//! have just come or gone too.

use crate::state::Gateway;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Over how long it is measured.
const SPAN: Duration = Duration::from_secs(15);
/// How often sockets are counted meanwhile.
const EVERY: Duration = Duration::from_secs(1);

/// What was sent in the last whole span.
#[derive(Default)]
pub struct Throughput(Mutex<Sent>);

#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    bytes: u64,
    /// The milliseconds of all sockets that were open meanwhile.
    socket_ms: u64,
}

impl Throughput {
    /// Bytes a second that so many sockets are sent, each as much as those of the last span; `None` where there were none.
    pub fn of(&self, sockets: u32) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to(sockets)
    }

    fn is(&self, sent: Sent) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sent;
    }
}

impl Sent {
    fn to(self, sockets: u32) -> Option<u64> {
        let rate =
            (u128::from(self.bytes) * u128::from(sockets) * 1_000).checked_div(self.socket_ms.into())?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Measures until the gateway ends.
pub async fn measure(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent = &gateway.config.http.signals.sent;
    let (mut began, mut counted_at) = (Instant::now(), Instant::now());
    let (mut before, mut socket_ms) = (sent.get(), 0);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = Instant::now();
        socket_ms += u64::from(gateway.sessions.sockets().unwrap_or(0)) * millis(now - counted_at);
        counted_at = now;
        if now - began >= SPAN {
            let bytes = sent.get() - before;
            gateway.signals.sent_per_second(per_second(bytes, now - began));
            gateway.throughput.is(Sent { bytes, socket_ms });
            (began, before, socket_ms) = (now, before + bytes, 0);
        }
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(bytes: u64, took: Duration) -> i64 {
    let rate = u128::from(bytes) * 1_000 / took.as_millis().max(1);
    i64::try_from(rate).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_have_gone_take_their_part_with_them() {
        let throughput = Throughput::default();
        assert_eq!(throughput.of(10), None, "nothing was measured yet");
        throughput.is(Sent { bytes: 30_000, socket_ms: 10 * 15_000 });
        assert_eq!(throughput.of(10), Some(2_000));
        assert_eq!(throughput.of(4), Some(800));
        assert_eq!(throughput.of(0), Some(0));
        throughput.is(Sent { bytes: 500, socket_ms: 0 });
        assert_eq!(throughput.of(10), None, "pages alone say nothing of sockets");
    }
}
