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
        let mut asked_at: Option<Instant> = None;
        loop {
            self.measure_lag().await;
            if asked_at.is_none_or(|at| at.elapsed() >= DATABASE_EVERY) {
                asked_at = Some(Instant::now());
                // A database that is away is told by the shard itself; the last figures stay.
                let _ = self.ask_database().await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn measure_lag(&self) {
        let Some(Progress { applied, .. }) = *self.progress.borrow() else { return };
        let shard = self.part.shard;
        // A broker that is away is told by the shard itself; the last figures stay.
        if let Ok(lag) = self.broker.lag(&shard.stream(), &shard.log_all(), applied).await {
            self.signals.lags(shard, lag);
        }
    }

    async fn ask_database(&self) -> Result<(), StoreError> {
        let shard = self.part.shard;
        self.signals.asides(shard, self.store.asides(self.part).await?);
        self.signals.last_snapshot(shard, self.store.last_snapshot(self.part).await?);
        self.signals.last_verify(shard, self.store.last_verify(self.part).await?);
        self.signals.waiting(shard, self.store.waiting(self.part).await?);
        Ok(())
    }
}
