//! Taking the texts of deleted messages out of the log.
//!
//! What must go is written with the batch in which the deletion is, so a crash between the two forgets nothing; doing it twice does
//! no harm. It runs beside the projection, which a broker that refuses must not stop.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::Event;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::projection::{LogEntry, Part};
use crate::signals::Signals;
use crate::store::Store;

/// How often it is looked without being asked: another worker may have left something.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Erases for one shard.
pub struct Erasing {
    pub part: Part,
    pub broker: Broker,
    pub store: Store,
    pub signals: Arc<Signals>,
    /// Rung when there is something to do.
    pub to_erase: Arc<Notify>,
}

impl Erasing {
    /// Erases for ever. It may be cancelled anywhere: what was not noted as gone is looked at again.
    pub async fn run(self) {
        loop {
            match self.erase_all().await {
                Ok(erased) => {
                    self.signals.erased(self.part.shard, erased);
                    // Whether rung or not, it looks.
                    let _ = timeout(LOOK_EVERY, self.to_erase.notified()).await;
                }
                Err(error) => {
                    self.signals.not_erased(self.part.shard, &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn erase_all(&self) -> Result<u64, Error> {
        let mut erased = 0;
        loop {
            let entries = self.store.to_erase(self.part).await?;
            if entries.is_empty() {
                return Ok(erased);
            }
            let mut gone = Vec::with_capacity(entries.len());
            for entry in &entries {
                erased += u64::from(self.erase(entry).await?);
                gone.push(entry.seq);
            }
            self.store.erased(self.part, &gone).await?;
        }
    }

    /// Takes an entry out of the log, unless something else is there: in another life of the stream the sequence is another's.
    async fn erase(&self, entry: &LogEntry) -> Result<bool, Error> {
        let stream = self.part.shard.stream();
        let subject = self.part.shard.log(&entry.room);
        let found = self.broker.next_confirmed(&stream, &subject, entry.seq.saturating_sub(1)).await?;
        let Some(found) = found.filter(|found| found.seq == entry.seq) else { return Ok(false) };
        let is_it = Event::decode(&found.payload).is_ok_and(|event| {
            event.body().is_some() && event.id() == entry.id && event.author() == entry.author
        });
        if !is_it {
            return Ok(false);
        }
        Ok(self.broker.erase(&stream, entry.seq).await?)
    }
}
