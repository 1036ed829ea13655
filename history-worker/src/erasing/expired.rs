//! Rooms that keep things for so many days: what is too old is looked for, a gateway is asked to write to the room that it has
//! expired, and when the log says so it goes from log and database.

use std::time::Duration;

use broker::Record;
use protocol::retention::{RoomExpiry, RoomExpiryAnswer};
use protocol::{KeepDays, RoomSlug, SealedEvent, Target, Timestamp, subject};

use super::{Erasing, LOOK_EVERY, is_unread_since};
use crate::Error;
use crate::projection::Expired;
use crate::store::{Expiring, Rising, StoreError};

/// How much longer than it may be kept something waits for what comes after it, so that a busy room says at most once an hour what has
/// expired: a part of a day.
const SLACK: u32 = 24;
/// How long a gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Erasing {
    fn slack(&self) -> Duration {
        self.day / SLACK
    }

    /// How often it is looked without being asked: more often where a day is shorter.
    pub(super) fn pause(&self) -> Duration {
        LOOK_EVERY.min(self.slack())
    }

    /// Asks for the expiry of what is too old in the shard's rooms.
    pub(super) async fn expire_due(&self) -> Result<(), Error> {
        loop {
            let due = self.store.due(self.part, Timestamp::now()).await?;
            if due.is_empty() {
                return Ok(());
            }
            for (room, keep) in due {
                match self.too_old(&room, keep).await {
                    Ok(Some(target)) => self.ask(RoomExpiry { room: room.clone(), target, keep }).await,
                    Ok(None) => continue,
                    // One room that was meddled with holds up no other; whoever compares it with the log finds it.
                    Err(Error::Store(error @ StoreError::Malformed(_))) => {
                        self.signals.not_expired(self.part.shard, &room, &error.to_string());
                    }
                    Err(error) => return Err(error),
                }
                // When the log says that it has expired the room is looked at again. Else it is asked again.
                let again = i64::try_from(self.pause().as_millis()).unwrap_or(i64::MAX);
                self.set_due(&room, keep, Timestamp::now().as_millis().saturating_add(again)).await?;
            }
        }
    }

    /// The last row of a room that is too old. When nothing is, it is noted when something may be.
    async fn too_old(&self, room: &RoomSlug, keep: KeepDays) -> Result<Option<Target>, Error> {
        let now = Timestamp::now();
        let kept = i64::try_from((self.day * u32::from(keep.get())).as_millis()).unwrap_or(i64::MAX);
        let slack = i64::try_from(self.slack().as_millis()).unwrap_or(i64::MAX);
        let state = self.store.rooms([room]).await?.remove(room).filter(|state| state.rows() > 0);
        let Some(state) = state else {
            // What comes from now on is not too old before.
            self.set_due(room, keep, now.as_millis() + kept).await?;
            return Ok(None);
        };
        let edition = state.edition(room);
        let oldest = self.store.rising(edition, Rising::Time, &[state.first]).await?[0];
        let due = i64::try_from(oldest).unwrap_or(i64::MAX).saturating_add(kept).saturating_add(slack);
        if due > now.as_millis() {
            self.set_due(room, keep, due).await?;
            return Ok(None);
        }
        let young = u64::try_from(now.as_millis() - kept).unwrap_or(0);
        let last = self.store.place(room, &state, (Rising::Time, young)).await?.saturating_sub(1);
        let row = self.store.rows(edition, last..last + 1).await?.pop().map(|kept| kept.row);
        let row = row.ok_or(StoreError::Malformed("number"))?;
        Ok(Some(Target { id: row.id, author: row.author, seq: row.seq }))
    }

    async fn set_due(&self, room: &RoomSlug, keep: KeepDays, due_ms: i64) -> Result<(), Error> {
        Ok(self.store.set_due(self.part, (room, keep), Timestamp::from_millis(due_ms)).await?)
    }

    async fn ask(&self, expiry: RoomExpiry) {
        let answer = self.broker.ask(subject::ROOM_EXPIRIES.into(), &expiry, PATIENCE).await;
        let why = match answer {
            Ok(RoomExpiryAnswer::Settled) => return,
            Ok(RoomExpiryAnswer::Refused { reason }) => reason,
            Err(error) => error.to_string(),
        };
        self.signals.not_expired(self.part.shard, &expiry.room, &why);
    }

    /// Takes what has expired out of the log, and out of the database when nobody reads it any more.
    pub(super) async fn erase_expired(&self) -> Result<u64, Error> {
        let (mut erased, mut behind) = (0, 0);
        loop {
            let expiring = self.store.expired_behind(self.part, behind).await?;
            let Some(last) = expiring.last() else { return Ok(erased) };
            behind = last.expired.seq;
            for Expiring { expired, since } in &expiring {
                erased += self.erase_from_log(expired).await?;
                if is_unread_since(*since) {
                    self.delete_from_store(expired).await?;
                }
            }
        }
    }

    /// Does nothing where another life of the stream has something else at the place of the event.
    async fn erase_from_log(&self, expired: &Expired) -> Result<u64, Error> {
        let Expired { room, seq, id, upto } = expired;
        let is_it = |event: &SealedEvent| event.expires().is_some() && event.id() == *id;
        if !self.has(room, *seq, is_it).await? {
            return Ok(0);
        }
        let shard = self.part.shard;
        // The log must not lose how the room began: who has it can tell that nothing else is missing.
        let goes = |record: &Record| {
            record.seq <= *upto && !SealedEvent::decode(&record.payload).is_ok_and(|event| event.begins_log())
        };
        let mut erased = self.erase_while(&shard.log(room), goes, |record| record.seq > *upto).await?;
        let is_of_expired = |record: &Record| {
            let message = record.subject.rsplit('.').next().and_then(|seq| seq.parse::<u64>().ok());
            message.is_some_and(|message| message <= *upto)
        };
        erased += self.erase_while(&shard.messages(room), is_of_expired, |record| record.seq > *seq).await?;
        if let Some(state) = self.store.rooms([room]).await?.remove(room) {
            let texts = self.store.texts_between(state.edition(room), 0..upto.saturating_add(1));
            for text in texts.await? {
                erased += u64::from(self.erase(&text.entry).await?);
            }
        }
        Ok(erased)
    }

    async fn delete_from_store(&self, expired: &Expired) -> Result<(), Error> {
        if let Some(state) = self.store.rooms([&expired.room]).await?.remove(&expired.room) {
            let rows = (state.edition(&expired.room), state.first);
            self.store.delete_expired(self.part, rows, expired.upto).await?;
        }
        Ok(self.store.nothing_expired(self.part, expired).await?)
    }
}
