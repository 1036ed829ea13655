//! Taking the texts of deleted messages out of the log, everything of erased rooms and what has expired of others out of log and
//! database, what was set aside of all these and of erased people out of the database, and of rooms that were made anew what was read before.
//!
//! What must go is written with the batch in which the deletion is, so a crash between the two forgets nothing; doing it twice does
//! no harm. It runs beside the projection, which a broker that refuses must not stop.

mod aside;
mod expired;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, Record};
use protocol::{RoomSlug, SealedEvent, Timestamp};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::projection::{Ended, LogEntry, Part};
use crate::replay::Replay;
use crate::replay::seed::Begun;
use crate::signals::Signals;
use crate::store::Store;

/// How often it is looked without being asked: another worker may have left something.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Entries of an erased room that are read at once.
const BATCH: usize = 500;
/// Milliseconds after which nobody reads rows any more that are not the room's since then: longer than any question may take.
const READERS_MAX_MS: i64 = 30_000;
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
    /// Set when what is set aside may be of somebody who was erased; at the start, it may be.
    pub somebody_erased: Arc<AtomicBool>,
    /// What a day is where it is said for how many days a room keeps things.
    pub day: Duration,
}

impl Erasing {
    /// Erases for ever. It may be cancelled anywhere: what was not noted as gone is looked at again.
    pub async fn run(self) {
        loop {
            match self.erase_all().await {
                Ok(erased) => {
                    self.signals.erased(self.part.shard, erased);
                    // Whether rung or not, it looks.
                    let _ = timeout(self.pause(), self.to_erase.notified()).await;
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
        if self.somebody_erased.swap(false, Ordering::Relaxed) {
            let forgotten = self.forget_erased().await;
            self.somebody_erased.fetch_or(forgotten.is_err(), Ordering::Relaxed);
            forgotten?;
        }
        loop {
            let entries = self.store.to_erase(self.part).await?;
            if entries.is_empty() {
                erased += self.erase_rooms().await?;
                erased += self.erase_expired().await?;
                self.delete_stale().await?;
                self.drop_abandoned_seeds().await?;
                self.expire_due().await?;
                return Ok(erased);
            }
            let mut gone = Vec::with_capacity(entries.len());
            for entry in &entries {
                erased += u64::from(self.erase(entry).await?);
                gone.push(entry.seq);
            }
            self.forget_deleted(&entries).await?;
            self.store.erased(self.part, &gone).await?;
        }
    }

    async fn erase_rooms(&self) -> Result<u64, Error> {
        let mut erased = 0;
        loop {
            let ended = self.store.ended(self.part).await?;
            if ended.is_empty() {
                return Ok(erased);
            }
            for room in &ended {
                erased += self.erase_room(room).await?;
                self.store.delete_rows(&room.room, 0..u64::MAX).await?;
                self.store.drop_asides_of(self.part, &room.room, u64::MAX).await?;
                self.count_asides().await?;
                self.store.nothing_left(self.part, room).await?;
            }
        }
    }

    /// Deletes what was read before of rooms that were made anew.
    async fn delete_stale(&self) -> Result<(), Error> {
        loop {
            let mut stale = self.store.stale(self.part).await?;
            stale.retain(|stale| is_unread_since(stale.since));
            if stale.is_empty() {
                return Ok(());
            }
            for stale in &stale {
                self.store.delete_rows(&stale.room, 0..stale.generation).await?;
                self.store.nothing_stale(self.part, stale).await?;
            }
        }
    }

    /// Lets go what an operator's program began to give of a snapshot and did not end.
    async fn drop_abandoned_seeds(&self) -> Result<(), Error> {
        let Some(begun) = self.store.seeding(self.part).await?.filter(Begun::is_abandoned) else {
            return Ok(());
        };
        let is_used = |replay: Replay| replay.is_under_way() && replay.seeds == Some(begun.generation);
        if !self.store.replay(self.part).await?.is_some_and(is_used) {
            self.store.drop_seeds(self.part).await?;
        }
        Ok(())
    }

    /// Takes everything of a room out of the log but the event that says that it was erased; the first event goes last, so that the
    /// log never has a room whose beginning is missing. Does nothing where another life of the stream has something else there.
    async fn erase_room(&self, ended: &Ended) -> Result<u64, Error> {
        let (shard, stream) = (self.part.shard, self.part.shard.stream());
        let log = shard.log(&ended.room);
        let is_it = |event: &SealedEvent| event.ends_room() && event.id() == ended.id;
        if !self.has(&ended.room, ended.seq, is_it).await? {
            return Ok(0);
        }
        let first = self.broker.next_known(&stream, &log, 0).await?.map_or(0, |first| first.seq);
        let mut erased = 0;
        let below = format!("{log}.>");
        for subject in [shard.members(&ended.room), shard.messages(&ended.room), below, log] {
            let goes = |record: &Record| record.seq < ended.seq && record.seq != first;
            erased += self.erase_while(&subject, goes, |record| record.seq >= ended.seq).await?;
        }
        if first < ended.seq {
            erased += u64::from(self.broker.erase(&stream, first).await?);
        }
        Ok(erased)
    }

    /// Takes what fits the test out of the log, up to an entry behind which nothing does.
    async fn erase_while(
        &self,
        subject: &str,
        goes: impl Fn(&Record) -> bool,
        is_behind: impl Fn(&Record) -> bool,
    ) -> Result<u64, Error> {
        let stream = self.part.shard.stream();
        let (mut erased, mut after) = (0, 0);
        loop {
            let batch = self.broker.read_after(&stream, subject, after, BATCH).await?;
            for record in batch.records.iter().filter(|record| goes(record)) {
                erased += u64::from(self.broker.erase(&stream, record.seq).await?);
            }
            match batch.records.last() {
                Some(last) if batch.more && !is_behind(last) => after = last.seq,
                _ => return Ok(erased),
            }
        }
    }

    /// Takes an entry out of the log, unless something else is there: in another life of the stream the sequence is another's.
    async fn erase(&self, entry: &LogEntry) -> Result<bool, Error> {
        let is_it = |event: &SealedEvent| {
            event.body().is_some() && event.id() == entry.id && event.author() == entry.author
        };
        if !self.has(&entry.room, entry.seq, is_it).await? {
            return Ok(false);
        }
        Ok(self.broker.erase(&self.part.shard.stream(), entry.seq).await?)
    }

    /// Whether the room's log has such an event at a sequence, by the leader's word.
    async fn has(
        &self,
        room: &RoomSlug,
        seq: u64,
        is_it: impl Fn(&SealedEvent) -> bool,
    ) -> Result<bool, Error> {
        let (stream, log) = (self.part.shard.stream(), self.part.shard.log(room));
        let found = self.broker.next_confirmed(&stream, &log, seq.saturating_sub(1)).await?;
        let found = found.filter(|found| found.seq == seq);
        Ok(found.is_some_and(|found| SealedEvent::decode(&found.payload).is_ok_and(|event| is_it(&event))))
    }
}

/// Whether nobody reads any more what has not been read by anybody new since then.
fn is_unread_since(since: Timestamp) -> bool {
    since.as_millis() + READERS_MAX_MS < Timestamp::now().as_millis()
}
