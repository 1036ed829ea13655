//! Beginning a snapshot, and hearing of a backup.

use std::sync::Arc;

use protocol::Timestamp;
use protocol::query::HistoryAnswer;

use super::{Answers, NoAnswer};
use crate::snapshot::{self, Giving};

impl Answers {
    pub(super) async fn snapshot(&self) -> Result<HistoryAnswer, NoAnswer> {
        let alone = Arc::clone(&self.giving).try_lock_owned();
        let alone =
            alone.map_err(|_| NoAnswer::refused("a snapshot of this shard is being taken already"))?;
        let giving = Giving {
            part: self.part,
            broker: self.broker.clone(),
            store: self.store.clone(),
            signals: Arc::clone(&self.signals),
        };
        match snapshot::begin(giving, alone).await {
            Ok(Some(begun)) => Ok(HistoryAnswer::Snapshot { pieces: begun.pieces, applied: begun.applied }),
            Ok(None) => Err(NoAnswer::Behind { applied: 0 }),
            Err(crate::Error::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(shard = self.part.shard.0, %error, "a snapshot could not be begun");
                Err(NoAnswer::refused("the broker can't be served now"))
            }
        }
    }

    pub(super) async fn backed_up(&self, at: Timestamp) -> Result<HistoryAnswer, NoAnswer> {
        self.store.set_last_backup(self.part, at).await?;
        self.signals.last_backup(self.part.shard, Some(at));
        Ok(HistoryAnswer::BackedUp)
    }
}
