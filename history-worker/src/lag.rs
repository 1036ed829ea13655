//! How far each shard is behind the log, looked at from outside.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::subject::Shard;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::shard::Progress;
use crate::signals::Signals;

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
        if let Ok(lag) = broker.lag(&shard.stream(), &shard.log_all(), applied).await {
            signals.lags(shard, lag);
        }
    }
}
