//! How each shard does, looked at from outside: how far it is behind the log, and what the database has beside the history. Another
//! worker may have set something aside, erased it, or given a snapshot.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::projection::Part;
use crate::shard::Progress;
use crate::signals::Signals;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So long a lag that was measured once is worth something.
const LAG_KNOWN: Duration = Duration::from_secs(60);
/// The database is asked less often than the broker.
const DATABASE_EVERY: Duration = Duration::from_secs(60);

/// Measures one shard.
pub struct Measuring {
    pub part: Part,
    pub broker: Broker,
    pub store: Store,
    /// `None` until it is known how far the shard is applied: until then there is nothing to measure.
    pub progress: watch::Receiver<Option<Progress>>,
    pub signals: Arc<Signals>,
}

impl Measuring {
    /// Measures for ever. It may be cancelled anywhere.
    pub async fn run(mut self) {
        // It fails only when the shard has ended, and with it the worker.
        let _ = self.progress.wait_for(Option::is_some).await;
        let (mut asked_at, mut measured_at) = (None::<Instant>, Instant::now());
        loop {
            if self.measure_lag().await {
                measured_at = Instant::now();
            } else if measured_at.elapsed() >= LAG_KNOWN {
                self.signals.lag_unknown(self.part.shard);
            }
            if asked_at.is_none_or(|at| at.elapsed() >= DATABASE_EVERY) {
                asked_at = Some(Instant::now());
                // A database that is away is told by the shard itself; the last figures stay.
                let _ = self.ask_database().await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it could be measured. A broker that is away is told by the shard itself.
    async fn measure_lag(&self) -> bool {
        let Some(Progress { applied, .. }) = *self.progress.borrow() else { return false };
        let shard = self.part.shard;
        let lag = self.broker.lag(&shard.stream(), &shard.log_all(), applied).await;
        if let Ok(lag) = lag {
            self.signals.lags(shard, lag);
        }
        lag.is_ok()
    }

    async fn ask_database(&self) -> Result<(), StoreError> {
        let shard = self.part.shard;
        self.signals.asides(shard, self.store.asides(self.part).await?);
        self.signals.last_snapshot(shard, self.store.last_snapshot(self.part).await?);
        self.signals.last_backup(shard, self.store.last_backup(self.part).await?);
        self.signals.last_verify(shard, self.store.last_verify(self.part).await?);
        self.signals.waiting(shard, self.store.waiting(self.part).await?);
        Ok(())
    }
}
