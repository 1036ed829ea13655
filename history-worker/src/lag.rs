//! How far each shard is behind the log, looked at from outside.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::Timestamp;
use protocol::subject::Shard;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::shard::Progress;
use crate::signals::{Lag, Signals};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Measures a shard's lag for ever.
pub async fn watch(
    shard: Shard,
    broker: Broker,
    progress: watch::Receiver<Option<Progress>>,
    signals: Arc<Signals>,
) {
    loop {
        sleep(LOOK_EVERY).await;
        let Some(Progress { applied, .. }) = *progress.borrow() else { continue };
        // A broker that is away is told by the shard itself; the last figures stay.
        if let Ok(lag) = measure(shard, &broker, applied).await {
            signals.lags(shard, lag);
        }
    }
}

/// How far a shard is behind the log, of which it has applied so much.
///
/// # Errors
/// When the broker can't be asked.
pub async fn measure(shard: Shard, broker: &Broker, applied: u64) -> Result<Lag, broker::Error> {
    let stream = shard.stream();
    let waiting = broker.read_after(&stream, &shard.log_all(), applied, 1).await?;
    let Some(oldest) = waiting.records.first() else { return Ok(Lag::default()) };
    let head = broker.stream(&stream).await?.last_seq;
    let age_ms = Timestamp::now().as_millis() - oldest.at.as_millis();
    Ok(Lag { entries: head.saturating_sub(applied), seconds: u64::try_from(age_ms / 1_000).unwrap_or(0) })
}
