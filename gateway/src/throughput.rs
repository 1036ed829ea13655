//! How much a gateway sends, as a number that an autoscaler can take as it is.

use crate::state::Gateway;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(15);

/// Measures until the gateway ends.
pub async fn measure(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent = &gateway.config.http.signals.sent;
    let (mut before, mut since) = (sent.get(), Instant::now());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let (bytes, now) = (sent.get(), Instant::now());
        gateway.signals.sent_per_second(per_second(bytes - before, now - since));
        (before, since) = (bytes, now);
    }
}

fn per_second(bytes: u64, took: Duration) -> i64 {
    let rate = u128::from(bytes) * 1_000 / took.as_millis().max(1);
    i64::try_from(rate).unwrap_or(i64::MAX)
}
