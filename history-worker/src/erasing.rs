//! Taking the texts of deleted messages out of the log, everything of erased rooms out of log and database, and of rooms that were
//! made anew what was read before.
//!
//! What must go is written with the batch in which the deletion is, so a crash between the two forgets nothing; doing it twice does
//! no harm. It runs beside the projection, which a broker that refuses must not stop.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::{Event, SealedEvent, Timestamp};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::projection::{Ended, LogEntry, Part};
use crate::signals::Signals;
use crate::store::{Stale, Store};

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
                erased += self.erase_rooms().await?;
                self.delete_stale().await?;
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
                self.store.nothing_left(self.part, room).await?;
            }
        }
    }

    /// Deletes what was read before of rooms that were made anew.
    async fn delete_stale(&self) -> Result<(), Error> {
        loop {
            let now = Timestamp::now().as_millis();
            let is_unread = |stale: &Stale| stale.since.as_millis() + READERS_MAX_MS < now;
            let mut stale = self.store.stale(self.part).await?;
            stale.retain(is_unread);
            if stale.is_empty() {
                return Ok(());
            }
            for stale in &stale {
                self.store.delete_rows(&stale.room, 0..stale.generation).await?;
                self.store.nothing_stale(self.part, stale).await?;
            }
        }
    }

    /// Takes everything of a room out of the log but the event that says that it was erased; the first event goes last, so that the
    /// log never has a room whose beginning is missing. Does nothing where another life of the stream has something else there.
    async fn erase_room(&self, ended: &Ended) -> Result<u64, Error> {
        let (shard, stream) = (self.part.shard, self.part.shard.stream());
        let log = shard.log(&ended.room);
        let found = self.broker.next_confirmed(&stream, &log, ended.seq.saturating_sub(1)).await?;
        let is_it = found.filter(|found| found.seq == ended.seq).is_some_and(|found| {
            SealedEvent::decode(&found.payload)
                .is_ok_and(|event| matches!(event, Event::RoomErased { id, .. } if id == ended.id))
        });
        if !is_it {
            return Ok(0);
        }
        let first = self.broker.next_known(&stream, &log, 0).await?.map_or(0, |first| first.seq);
        let mut erased = 0;
        for subject in [shard.members(&ended.room), shard.messages(&ended.room), log] {
            erased += self.erase_between(&subject, first, ended.seq).await?;
        }
        if first < ended.seq {
            erased += u64::from(self.broker.erase(&stream, first).await?);
        }
        Ok(erased)
    }

    /// Takes what a subject has before a sequence out of the log, less what is at `keep`.
    async fn erase_between(&self, subject: &str, keep: u64, end: u64) -> Result<u64, Error> {
        let stream = self.part.shard.stream();
        let (mut erased, mut after) = (0, 0);
        loop {
            let batch = self.broker.read_after(&stream, subject, after, BATCH).await?;
            for record in &batch.records {
                after = record.seq;
                if record.seq < end && record.seq != keep {
                    erased += u64::from(self.broker.erase(&stream, record.seq).await?);
                }
            }
            if !batch.more || after >= end {
                return Ok(erased);
            }
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
