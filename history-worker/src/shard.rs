//! One shard's way from the log into the database: follow, project, write, again.

use crate::checkpoint::{Checkpoint, LogFacts};
use crate::projection::{self, Part};
use crate::signals::Signals;
use crate::store::Store;
use crate::Error;
use broker::{Broker, Follower, Record};
use protocol::{StreamIdentity, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest pause before a shard that failed goes on from its checkpoint.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How far a shard has been applied, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    pub stream: StreamIdentity,
    pub seq: u64,
}

/// The task of one shard.
pub struct Projector {
    pub broker: Broker,
    pub store: Store,
    pub part: Part,
    pub signals: Arc<Signals>,
    pub applied: watch::Sender<Option<Applied>>,
}

impl Projector {
    /// Applies the shard's log until `shutdown`. A batch in hand is finished first.
    ///
    /// # Errors
    /// What does not pass by itself: the log is not the one that was applied, or the database refuses.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut pause = Duration::from_millis(100);
        while !shutdown.is_cancelled() {
            let before = *self.applied.borrow();
            let Err(error) = self.follow(&shutdown).await else { return Ok(()) };
            self.signals.failed(self.part, &error);
            if !error.is_passing() {
                return Err(error);
            }
            if *self.applied.borrow() != before {
                pause = Duration::from_millis(100);
            }
            // A clock and a signal: either may be cancelled.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
        Ok(())
    }

    /// Goes on from the checkpoint in the database, which is the only authority, until something fails.
    async fn follow(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut checkpoint = self.checked_checkpoint().await?;
        let shard = self.part.shard;
        let (stream, log, live) = (shard.stream(), shard.log_all(), shard.live_all());
        let mut follower = Follower::start(&self.broker, &stream, &log, &live, checkpoint.applied).await?;
        self.signals.resumed(self.part, &checkpoint);
        self.publish(&checkpoint);
        loop {
            // `next` reads again what a cancelled call had read.
            let records = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                records = follower.next() => records?,
            };
            self.signals.broker_ok();
            if records.is_empty() {
                // A quiet moment: the log may have been put back to an older copy under our hands.
                checkpoint.continues_in(self.facts(&checkpoint).await?)?;
            } else {
                checkpoint = self.apply(&checkpoint, &records).await?;
                self.publish(&checkpoint);
            }
            self.lag(&follower, &checkpoint).await;
        }
    }

    /// The checkpoint, if the log continues it.
    async fn checked_checkpoint(&self) -> Result<Checkpoint, Error> {
        let stored = self.store.checkpoint(self.part).await?;
        self.signals.database_ok();
        match stored {
            Some(checkpoint) => {
                checkpoint.continues_in(self.facts(&checkpoint).await?)?;
                Ok(checkpoint)
            }
            None => Ok(Checkpoint::new(self.broker.stream(&self.part.shard.stream()).await?.identity)),
        }
    }

    async fn facts(&self, checkpoint: &Checkpoint) -> Result<LogFacts, Error> {
        let stream = self.part.shard.stream();
        let info = self.broker.stream(&stream).await?;
        let at_applied = match checkpoint.applied {
            0 => None,
            seq => self.broker.get(&stream, seq).await?.map(|record| record.at),
        };
        Ok(LogFacts { stream: info.identity, head: info.last_seq, at_applied })
    }

    async fn apply(&self, before: &Checkpoint, records: &[Record]) -> Result<Checkpoint, Error> {
        let started = Instant::now();
        let entries: Vec<_> = records.iter().map(|record| projection::read(self.part, record)).collect();
        let (rooms, sent) = projection::asked(&entries);
        let known = projection::Known {
            rooms: self.store.rooms(&rooms).await?,
            sent: self.store.sent(&sent).await?,
        };
        let batch = projection::project(records, entries, &known);
        let Some(last) = records.last() else { return Ok(before.clone()) };
        let after = before.after(&batch, last);
        self.store.apply(self.part, before, &batch, &after).await?;
        self.signals.applied(self.part, &batch, &after, started.elapsed());
        Ok(after)
    }

    fn publish(&self, checkpoint: &Checkpoint) {
        self.applied.send_replace(Some(Applied { stream: checkpoint.stream, seq: checkpoint.applied }));
    }

    async fn lag(&self, follower: &Follower, checkpoint: &Checkpoint) {
        if follower.at_end() {
            return self.signals.lag(0, 0);
        }
        let head = self.broker.stream(&self.part.shard.stream()).await.map_or(0, |info| info.last_seq);
        let behind_ms = checkpoint.applied_at.map_or(0, |at| Timestamp::now().as_millis() - at.as_millis());
        let seconds = u64::try_from(behind_ms / 1000).unwrap_or(0);
        self.signals.lag(head.saturating_sub(checkpoint.applied), seconds);
    }
}
