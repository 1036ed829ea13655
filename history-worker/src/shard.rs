//! One shard of the log, applied: follow, project, store.
//!
//! A shard lives from checkpoint to checkpoint. Whatever breaks ends its life, and the next one reads the checkpoint from the
//! database and goes on behind it: there is no other way back, so that there is none that could skip or repeat.

use std::collections::HashMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, Connection, Follower, Record};
use protocol::query::Replay as What;
use protocol::{RoomSlug, StreamIdentity};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use traces::{Pending, Step, Traces};

use crate::Error;
use crate::checkpoint::{Checkpoint, LogFacts};
use crate::edition::Editions;
use crate::projecting;
use crate::projection::{Batch, Part, RoomState};
use crate::readable::Readable;
use crate::replay::Replay;
use crate::sharing::Share;
use crate::signals::Signals;
use crate::store::{Store, StoreError};

/// Pause after the first stumble, in milliseconds. It doubles with each one.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 5_000;
/// A life that went well this long forgets the stumbles before it.
const STEADY: Duration = Duration::from_secs(30);
/// While another worker applies the shard, its checkpoint is looked at this often …
const STAND_BY_LOOK: Duration = Duration::from_millis(500);
/// … and when it has stood still for so many looks, this worker applies a shard of its own again …
const STAND_BY_LOOKS_OWN: u32 = 2;
/// … and one of another worker, if there is something to apply.
const STAND_BY_LOOKS: u32 = 6;
/// How long the begin of a life waits for a connection that was lost.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// Between two looks whether another worker was asked to make something anew; it is also the pause after a fault.
const REPLAY_LOOK: Duration = Duration::from_secs(5);
/// A life begins with the log: a replay that ends it again and again must not hold it up.
const REPLAY_AFTER_BEGIN: Duration = Duration::from_secs(1);
/// Rooms whose state is kept in memory between batches.
const ROOMS_KEPT_MAX: usize = 50_000;

/// How far this worker knows the shard to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub stream: StreamIdentity,
    pub applied: u64,
}

/// One shard, and what it is applied with.
pub struct Shard {
    pub part: Part,
    /// The shards that this worker is to apply.
    pub share: watch::Receiver<Share>,
    pub broker: Broker,
    pub store: Store,
    pub signals: Arc<Signals>,
    pub traces: Traces,
    /// `None` until the checkpoint was read for the first time.
    pub progress: watch::Sender<Option<Progress>>,
    /// Rung when a batch has left something to be erased from the log.
    pub to_erase: Arc<Notify>,
    /// Set when it has left something that may be set aside of an erased person.
    pub somebody_erased: Arc<AtomicBool>,
    /// Rung when something is to be made anew.
    pub to_replay: Arc<Notify>,
}

impl Shard {
    /// Applies the shard while it is this worker's, or its own worker does not, until `shutdown`; a batch in hand is finished first.
    ///
    /// # Errors
    /// [`Error::Parted`] and others that do not pass. What passes is tried again for ever.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut pause_ms = PAUSE_MS;
        let mut share = self.share.clone();
        let mut is_beaten = false;
        loop {
            let began = Instant::now();
            let lived = Box::pin(self.stand_by_and_live(is_beaten, &mut share, &shutdown)).await;
            is_beaten = false;
            match lived {
                Ok(()) => {}
                // Another worker applies the shard.
                Err(Error::Store(StoreError::Moved)) => {
                    self.signals.is_beaten(self.part.shard);
                    is_beaten = true;
                }
                // Another transaction was first, of whatever kind.
                Err(Error::Store(StoreError::Conflict)) => {
                    asked_within(&shutdown, Duration::from_millis(PAUSE_MS)).await;
                }
                Err(error) if error.is_passing() => {
                    if began.elapsed() > STEADY {
                        pause_ms = PAUSE_MS;
                    }
                    self.signals.stumbled(self.part.shard, &error, Duration::from_millis(pause_ms));
                    asked_within(&shutdown, Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
                }
                Err(error) => {
                    self.signals.stopped(self.part.shard, &error);
                    return Err(error);
                }
            }
            if shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn stand_by_and_live(
        &self,
        is_beaten: bool,
        share: &mut watch::Receiver<Share>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let is_own = share.borrow_and_update().has(self.part.shard);
        let is_due = is_own && !is_beaten || self.stand_by(share, shutdown).await?;
        if is_due { self.live(share, shutdown).await } else { Ok(()) }
    }

    async fn live(
        &self,
        share: &mut watch::Receiver<Share>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let mut connection = self.broker.connection();
        connected(&mut connection).await?;
        let (mut follower, mut life) = self.begin().await?;
        while let Some(records) =
            self.next(&mut follower, &mut life, (&mut connection, share, shutdown)).await?
        {
            life.check_after_reconnect(self).await?;
            match records.last() {
                None => self.signals.works(self.part.shard),
                Some(last) => life.apply(self, &records, last).await?,
            }
        }
        Ok(())
    }

    /// The next entries of the log; until there are some, what is to be made anew is made, a piece after the other. `None` when the
    /// end was asked for, or the shard was given to another worker.
    async fn next(
        &self,
        follower: &mut Follower,
        life: &mut Life,
        (connection, share, shutdown): (
            &mut watch::Receiver<Connection>,
            &mut watch::Receiver<Share>,
            &CancellationToken,
        ),
    ) -> Result<Option<Vec<Record>>, Error> {
        let mut next = pin!(follower.next());
        loop {
            // Inputs: the end, another division of the shards, a lost connection (a quiet log would show it late), the log, and what is to
            // be made anew. The read of the log goes on while a piece is made; when it is cancelled, it is read again.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                () = becomes(Whose::Anothers, share, self.part) => return Ok(None),
                () = lost(connection) => return Err(broker::Error::Disconnected.into()),
                records = &mut next => return Ok(Some(records?)),
                () = life.anew.due(&self.to_replay) => life.make_anew(self).await?,
            }
        }
    }

    async fn begin(&self) -> Result<(Follower, Life), Error> {
        let shard = self.part.shard;
        let stored = self.store.checkpoint(self.part).await?;
        let applied = stored.as_ref().map_or(0, |checkpoint| checkpoint.applied);
        // Before the comparison, so that a reconnect during it is one after it.
        let epoch = self.broker.connection().borrow().epoch;
        let follower =
            Follower::start(&self.broker, &shard.stream(), &shard.log_all(), &shard.live_all(), applied)
                .await?;
        let checkpoint = stored.unwrap_or_else(|| Checkpoint::new(follower.identity()));
        let readable = Some(Readable::default());
        let anew = Anew { replay: None, due_at: Instant::now() + REPLAY_AFTER_BEGIN, readable };
        let life = Life { checkpoint, epoch, rooms: HashMap::new(), anew };
        life.check_log(self).await?;
        self.signals.began(shard, &life.checkpoint, self.store.asides(self.part).await?);
        self.signals.last_snapshot(shard, self.store.last_snapshot(self.part).await?);
        self.signals.last_backup(shard, self.store.last_backup(self.part).await?);
        self.signals.last_verify(shard, self.store.last_verify(self.part).await?);
        // A batch of which it was not known whether it was written has rung for nobody.
        self.somebody_erased.store(true, Ordering::Relaxed);
        self.to_erase.notify_one();
        self.tell(&life.checkpoint);
        Ok((follower, life))
    }

    /// Rings for who erases, if a batch has left them something.
    pub fn rings_for(&self, batch: &Batch) {
        if batch.erases_somebody() {
            self.somebody_erased.store(true, Ordering::Relaxed);
            self.to_erase.notify_one();
        }
        if batch.leaves_something_to_erase() {
            self.to_erase.notify_one();
        }
    }

    /// Another worker is at it. Passes on how far it has come until this one is to apply: the shard was given to it, or the other one
    /// stands still. Gives `false` when the end was asked for.
    async fn stand_by(
        &self,
        share: &mut watch::Receiver<Share>,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
        let shard = self.part.shard;
        let connection = self.broker.connection();
        let (mut still, mut seen) = (0, None);
        loop {
            if !connection.borrow().connected {
                return Err(broker::Error::Disconnected.into());
            }
            let checkpoint = self.store.checkpoint(self.part).await?;
            let turn = checkpoint.as_ref().map(|checkpoint| checkpoint.turn);
            still = if seen == Some(turn) { still + 1 } else { 0 };
            seen = Some(turn);
            let is_own = share.borrow().has(shard);
            if self.stands_still(still, is_own, checkpoint.as_ref()).await? {
                return Ok(true);
            }
            self.signals.works(shard);
            match checkpoint {
                Some(checkpoint) => self.tell(&checkpoint),
                // Nothing was ever applied, and that is an answer too.
                None if self.progress.borrow().is_none() => {
                    let stream = self.broker.stream(&shard.stream()).await?;
                    self.tell(&Checkpoint::new(stream.identity));
                }
                None => {}
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(false),
                () = becomes(Whose::Own, share, self.part) => return Ok(true),
                () = sleep(STAND_BY_LOOK) => {}
            }
        }
    }

    /// Whether the other worker has done nothing for so many looks that this one is to apply.
    async fn stands_still(
        &self,
        still: u32,
        is_own: bool,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<bool, Error> {
        if is_own {
            return Ok(still >= STAND_BY_LOOKS_OWN);
        }
        // Looked at each so many times: a quiet shard stands still for ever.
        if still == 0 || !still.is_multiple_of(STAND_BY_LOOKS) {
            return Ok(false);
        }
        let applied = checkpoint.map_or(0, |checkpoint| checkpoint.applied);
        let shard = self.part.shard;
        Ok(self.broker.lag(&shard.stream(), &shard.log_all(), applied).await?.entries > 0)
    }

    fn tell(&self, checkpoint: &Checkpoint) {
        let progress = Progress { stream: checkpoint.stream, applied: checkpoint.applied };
        self.progress.send_replace(Some(progress));
    }
}

/// What a shard holds between two checkpoints that it read from the database.
struct Life {
    checkpoint: Checkpoint,
    /// The connection's epoch when the log was last compared with the checkpoint.
    epoch: u64,
    /// Rooms as they are at the checkpoint.
    rooms: HashMap<RoomSlug, RoomState>,
    anew: Anew,
}

/// What is to be made anew.
struct Anew {
    /// Under way, as the database has it.
    replay: Option<Replay>,
    /// When to go on with it, or to look whether there is one.
    due_at: Instant,
    /// What an older worker set aside and this one can read; none once all was looked through.
    readable: Option<Readable>,
}

impl Anew {
    async fn due(&self, rung: &Notify) {
        let rung = async {
            match self.replay {
                Some(_) => pending().await,
                None => rung.notified().await,
            }
        };
        if self.due_at > Instant::now() {
            tokio::select! {
                () = rung => {}
                () = sleep_until(self.due_at) => {}
            }
        }
    }
}

impl Life {
    /// Makes a piece of what is to be made anew, if there is something. When it can't be read it is tried again later; when it may have
    /// been written or not, this life ends.
    async fn make_anew(&mut self, shard: &Shard) -> Result<(), Error> {
        self.check_after_reconnect(shard).await?;
        let replay = match self.anew.replay.take() {
            None => shard.store.replay(shard.part).await?.filter(Replay::is_under_way),
            under_way => under_way,
        };
        let mut pause = REPLAY_LOOK;
        if replay.is_none() && self.begin_what_is_readable(shard).await? {
            pause = Duration::ZERO;
        }
        if let Some(mut replay) = replay {
            match replay.step(shard, &mut self.checkpoint, &mut self.rooms).await {
                Ok(_) if !replay.is_under_way() => {}
                Ok(wait) => {
                    pause = wait;
                    self.anew.replay = Some(replay);
                }
                Err(error @ (Error::Broker(_) | Error::Store(StoreError::Malformed(_)))) => {
                    shard.signals.replay_stumbled(shard.part.shard, &error, pause);
                }
                Err(error) => return Err(error),
            }
        }
        self.anew.due_at = Instant::now() + pause;
        Ok(())
    }

    /// Begins to make a room anew of which an older worker could not read something, if there is one.
    async fn begin_what_is_readable(&mut self, shard: &Shard) -> Result<bool, Error> {
        let Some(mut readable) = self.anew.readable.take() else { return Ok(false) };
        let Some(room) = readable.next(shard).await? else { return Ok(false) };
        self.anew.readable = Some(readable);
        let replay = Replay::new(What::Room(room), &self.checkpoint);
        shard.store.begin_replay(shard.part, &replay).await?;
        Ok(true)
    }

    /// A server that comes back may hold another log. What it gave is not applied before that is known.
    async fn check_after_reconnect(&mut self, shard: &Shard) -> Result<(), Error> {
        let epoch = shard.broker.connection().borrow().epoch;
        if epoch == self.epoch {
            return Ok(());
        }
        self.check_log(shard).await?;
        self.epoch = epoch;
        Ok(())
    }

    async fn check_log(&self, shard: &Shard) -> Result<(), Error> {
        let stream = shard.part.shard.stream();
        let at_applied = match self.checkpoint.applied {
            0 => None,
            applied => shard.broker.get(&stream, applied).await?.map(|record| record.at),
        };
        let found = shard.broker.stream(&stream).await?;
        shard.signals.log_begins(shard.part.shard, self.checkpoint.applied, found.first_seq);
        let log = LogFacts { stream: found.identity, head: found.last_seq, at_applied };
        let parted = |parted| Error::Parted { shard: shard.part.shard, parted };
        self.checkpoint.continues_in(log).map_err(parted)
    }

    async fn apply(&mut self, shard: &Shard, records: &[Record], last: &Record) -> Result<(), Error> {
        let began = Instant::now();
        let mut applying = Pending::default();
        for record in records {
            applying.add(record.seq, record.step(&shard.traces, shard.part.shard, Step::Apply));
        }
        let batch = projecting::live(shard.part, &shard.store, records, &mut self.rooms).await?;
        let after = self.checkpoint.after(&batch, last);
        let rows = (Editions::Read(&self.rooms), &batch);
        shard.store.apply(shard.part, &self.checkpoint, rows, &after).await?;
        applying.end_upto(u64::MAX, "messaging.batch.message_count", records.len());
        self.checkpoint = after;
        shard.rings_for(&batch);
        shard.signals.applied(shard.part.shard, &batch, &self.checkpoint, began.elapsed());
        if !batch.asides.is_empty() {
            shard.signals.asides(shard.part.shard, shard.store.asides(shard.part).await?);
        }
        shard.tell(&self.checkpoint);
        if self.rooms.len() > ROOMS_KEPT_MAX {
            self.rooms.clear();
        }
        self.rooms.extend(batch.rooms);
        Ok(())
    }
}

async fn connected(connection: &mut watch::Receiver<Connection>) -> Result<(), Error> {
    match timeout(CONNECTION_WAIT, connection.wait_for(|now| now.connected)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(broker::Error::Disconnected.into()),
    }
}

/// To whom a division of the shards gives one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Anothers,
}

/// Waits until a new division of the shards gives this one to the worker, or to another one.
async fn becomes(whose: Whose, share: &mut watch::Receiver<Share>, part: Part) {
    while share.changed().await.is_ok() {
        if share.borrow_and_update().has(part.shard) == (whose == Whose::Own) {
            return;
        }
    }
    pending().await
}

async fn lost(connection: &mut watch::Receiver<Connection>) {
    // An end of the client is a loss too.
    let _ = connection.wait_for(|now| !now.connected).await;
}

/// Waits, and says whether the end came meanwhile.
async fn asked_within(shutdown: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = sleep(pause) => false,
    }
}

#[cfg(test)]
mod tests;
