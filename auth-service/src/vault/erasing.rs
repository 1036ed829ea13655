//! Erasing everything of a person or a room. Their keys are destroyed: what they sealed is bytes then, in every copy that has no older root
//! key beside it. Of a person the account, its sessions and its name go too, and the rooms are told.
//!
//! First it is written that the holder is erased, by which gateways forget at once; then each key is erased by its sequence, and a
//! tombstone written; last it is written that all is done. Whatever dies in between, the next process goes on from what is written.

use super::Vault;
use crate::error::Error;
use crate::store::Letter;
use broker::Expect;
use protocol::keys::{Erasure, Holder, KeyName, KeyState, RoomErasures, RoomErasuresAnswer};
use protocol::state::Profile;
use protocol::{Timestamp, UserId, subject};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Messages read at once.
const BATCH: usize = 500;
/// How long a gateway may take to tell the rooms; the next time it goes on where it was.
const ROOMS_PATIENCE: Duration = Duration::from_secs(60);

impl Vault {
    /// Erases everything of a holder, and gives how many keys that destroyed; `None` when there never was one. The rooms are told
    /// next, by whoever finishes what was begun.
    ///
    /// # Errors
    /// Those of broker and database: then it is finished later.
    pub(super) async fn erase(&self, holder: &Holder) -> Result<Option<u64>, Error> {
        let first = KeyName::first(holder.clone()).subject();
        if self.last(&first).await?.is_none() {
            return Ok(None);
        }
        let begun = Erasure { erased_at: Timestamp::now(), done: false }.encode();
        match self.broker.put(holder.erasure_subject(), Expect::LastSequence(0), None, begun).await {
            Ok(_) | Err(broker::Error::Conflict) => {}
            Err(error) => return Err(Error::Broker(error)),
        }
        let keys = self.carry_out(holder).await;
        self.unfinished.notify_one();
        keys.map(Some)
    }

    /// Everything but the rooms. Doing it twice does no harm.
    async fn carry_out(&self, holder: &Holder) -> Result<u64, Error> {
        let keys = self.destroy(holder).await?;
        if let Holder::User(user) = holder {
            self.remove_account(*user).await?;
        }
        Ok(keys)
    }

    /// The account first, so that nobody logs in while the sessions are ended.
    async fn remove_account(&self, user: UserId) -> Result<(), Error> {
        if self.store.has_account(user).await? || self.has_name(user).await? {
            let nameless = Letter::Profile { user, name: String::new() };
            self.store.erase_account(user, &nameless, Timestamp::now()).await?;
            self.outbox.send(&nameless).await;
        }
        loop {
            let sessions = self.store.sessions_of(user).await?;
            if sessions.is_empty() {
                return Ok(());
            }
            for session in sessions {
                let at = Timestamp::now();
                let ended = Letter::Revocation { session, user, at };
                self.store.end_session(session, &ended, at).await?;
                self.outbox.send(&ended).await;
            }
        }
    }

    /// Whether others see a name of this person.
    async fn has_name(&self, user: UserId) -> Result<bool, Error> {
        let known = self.broker.last_confirmed(subject::PROFILES_STREAM, &subject::profile(user)).await;
        let profile = known.map_err(Error::Broker)?.map(|record| serde_json::from_slice(&record.payload));
        Ok(matches!(profile, Some(Ok(Profile { name })) if !name.is_empty()))
    }

    async fn destroy(&self, holder: &Holder) -> Result<u64, Error> {
        let first = KeyName::first(holder.clone()).subject();
        let (mut subjects, mut erased, mut after) = (BTreeSet::from([first]), 0, 0);
        loop {
            let batch = self.broker.read_after(subject::KEYS_STREAM, &holder.subjects(), after, BATCH).await;
            let batch = batch.map_err(Error::Broker)?;
            for record in &batch.records {
                after = record.seq;
                subjects.insert(record.subject.clone());
                if !matches!(KeyState::decode(&record.payload), Some(KeyState::Erased { .. })) {
                    let gone = self.broker.erase(subject::KEYS_STREAM, record.seq).await;
                    erased += u64::from(gone.map_err(Error::Broker)?);
                }
            }
            if !batch.more {
                break;
            }
        }
        for subject in subjects {
            erased += self.bury(subject).await?;
        }
        self.signals.keys_erased(holder, erased);
        Ok(erased)
    }

    /// Leaves a tombstone, and nothing else, at a key's subject. A rotation may have written the key anew just now.
    async fn bury(&self, subject: String) -> Result<u64, Error> {
        let mut erased = 0;
        loop {
            let last =
                self.broker.last_confirmed(subject::KEYS_STREAM, &subject).await.map_err(Error::Broker)?;
            match last.map(|last| (last.seq, KeyState::decode(&last.payload))) {
                Some((_, Some(KeyState::Erased { .. }))) => return Ok(erased),
                Some((seq, _)) => {
                    let gone = self.broker.erase(subject::KEYS_STREAM, seq).await.map_err(Error::Broker)?;
                    erased += u64::from(gone);
                }
                None => {
                    let tombstone = KeyState::Erased { erased_at: Timestamp::now() }.encode();
                    match self.broker.put(subject.clone(), Expect::LastSequence(0), None, tombstone).await {
                        Ok(_) | Err(broker::Error::Conflict) => {}
                        Err(error) => return Err(Error::Broker(error)),
                    }
                }
            }
        }
    }

    /// Finishes every erasure that is begun. With `all` those too that were finished before: an older log or database may have been
    /// brought back since, from a backup.
    pub(super) async fn finish_erasures(&self, all: bool) -> Result<(), Error> {
        let erasures = self.erasures().await?;
        let mut unfinished = erasures.values().filter(|(_, erasure)| !erasure.done).count();
        self.signals.erasures_unfinished(unfinished);
        for (holder, (seq, erasure)) in erasures {
            if erasure.done && !all {
                continue;
            }
            self.carry_out(&holder).await?;
            self.tell_rooms(&holder).await?;
            if !erasure.done {
                self.note_done(&holder, (seq, erasure)).await?;
                self.signals.erased(&holder);
                unfinished -= 1;
                self.signals.erasures_unfinished(unfinished);
            }
        }
        Ok(())
    }

    /// The last that is written of each erasure, and where.
    pub(super) async fn erasures(&self) -> Result<BTreeMap<Holder, (u64, Erasure)>, Error> {
        let (mut erasures, mut after) = (BTreeMap::new(), 0);
        loop {
            let batch = self.broker.read_after(subject::KEYS_STREAM, subject::ERASURES, after, BATCH).await;
            let batch = batch.map_err(Error::Broker)?;
            for record in &batch.records {
                after = record.seq;
                let read = (Holder::of_erasure(&record.subject), Erasure::decode(&record.payload));
                if let (Some(holder), Some(erasure)) = read {
                    erasures.insert(holder, (record.seq, erasure));
                }
            }
            if !batch.more {
                return Ok(erasures);
            }
        }
    }

    async fn tell_rooms(&self, holder: &Holder) -> Result<(), Error> {
        let question = RoomErasures { holder: holder.clone() };
        let asked = self.broker.ask(subject::ROOM_ERASURES.into(), &question, ROOMS_PATIENCE).await;
        match asked.map_err(Error::Broker)? {
            RoomErasuresAnswer::Told { .. } => Ok(()),
            RoomErasuresAnswer::Refused { reason } => Err(Error::Broker(broker::Error::Refused(reason))),
        }
    }

    async fn note_done(&self, holder: &Holder, (seq, begun): (u64, Erasure)) -> Result<(), Error> {
        let done = Erasure { done: true, ..begun }.encode();
        match self.broker.put(holder.erasure_subject(), Expect::LastSequence(seq), None, done).await {
            // A conflict: another auth service has finished it.
            Ok(_) | Err(broker::Error::Conflict) => {}
            Err(error) => return Err(Error::Broker(error)),
        }
        self.broker.erase(subject::KEYS_STREAM, seq).await.map_err(Error::Broker).map(drop)
    }
}
