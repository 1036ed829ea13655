//! How far the shard's history is, for an operator.

use protocol::query::HistoryStatus;

use super::{Answers, NoAnswer};
use crate::checkpoint::Checkpoint;

impl Answers {
    pub(super) async fn status(&self) -> Result<HistoryStatus, NoAnswer> {
        let shard = self.part.shard;
        let checkpoint = match self.store.checkpoint(self.part).await? {
            Some(checkpoint) => checkpoint,
            // Nothing was said in this shard yet, or the history is made anew from nothing.
            None => {
                let log = self.broker.stream(&shard.stream()).await;
                let log = log.map_err(|_| NoAnswer::refused("the broker can't be asked for the log"))?;
                Checkpoint::new(log.identity)
            }
        };
        let lag = self.broker.lag(&shard.stream(), &shard.log_all(), checkpoint.applied).await;
        let lag = lag.map_err(|_| NoAnswer::refused("the broker can't be asked how far the log is"))?;
        let asides = self.store.asides(self.part).await?;
        Ok(HistoryStatus {
            stream: checkpoint.stream,
            applied: checkpoint.applied,
            applied_at: checkpoint.applied_at,
            lag_entries: lag.entries,
            lag_seconds: lag.seconds,
            events: checkpoint.totals.events,
            duplicates: checkpoint.totals.duplicates,
            set_aside: asides.count,
            last_verify: self.store.last_verify(self.part).await?,
            oldest_set_aside: asides.oldest,
            last_snapshot: self.store.last_snapshot(self.part).await?,
            last_backup: self.store.last_backup(self.part).await?,
        })
    }
}
