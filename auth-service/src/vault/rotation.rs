//! Wrapping every key under the newest root key, after which the older ones open nothing.
//!
//! A key is written anew first, and then its old message is taken out: whatever dies in between, a key is there, and a rotation that is
//! begun again takes out what was left. The old message is not overwritten, which would write some megabytes for each: it opens with the
//! older root key alone, which is destroyed next. The canary comes last, so that one under an older root key means "not finished".

use super::Vault;
use crate::error::Error;
use broker::{Expect, Record};
use futures_util::future::try_join_all;
use protocol::keys::{KeyName, KeyState, RootSince, Rotation};
use protocol::{Timestamp, subject};
use sealing::Roots;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Keys read at once, and wrapped at once.
const BATCH: usize = 500;
const CONCURRENCY: usize = 16;
/// How often it is looked without being asked: another process may have left something.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Pause before what was begun is tried again.
const AGAIN: Duration = Duration::from_secs(5);

impl Vault {
    /// Reads the root keys again, and wraps every key under the newest.
    ///
    /// # Errors
    /// [`Error::Start`] with a sentence when a root key is missing; the broker's.
    pub(super) async fn rotate(self: Arc<Self>) -> Result<(), Error> {
        self.read_roots_again().await?;
        let roots = self.roots();
        let of = self.broker.stream(subject::KEYS_STREAM).await.map_err(Error::Broker)?.last_seq;
        let mut after = 0;
        loop {
            self.set_rotation(Some(Rotation { done: after.min(of), of }));
            let batch = self.broker.read_after(subject::KEYS_STREAM, subject::KEYS, after, BATCH).await;
            let batch = batch.map_err(Error::Broker)?;
            let Some(last) = batch.records.last() else { break };
            after = last.seq;
            for some in batch.records.chunks(CONCURRENCY) {
                self.wrap_some_anew(&roots, some).await?;
            }
            if !batch.more {
                break;
            }
        }
        self.wrap_canary_anew(&roots).await
    }

    /// The canary among them is left for the end.
    async fn wrap_some_anew(&self, roots: &Roots, records: &[Record]) -> Result<(), Error> {
        let mut wrapping = Vec::with_capacity(records.len());
        for record in records {
            if KeyName::of_subject(&record.subject).is_some() {
                wrapping.push(self.wrap_anew(roots, record));
            }
        }
        try_join_all(wrapping).await.map(drop)
    }

    async fn wrap_canary_anew(&self, roots: &Roots) -> Result<(), Error> {
        let all = self.broker.read_after(subject::KEYS_STREAM, subject::CANARY, 0, BATCH).await;
        for record in &all.map_err(Error::Broker)?.records {
            self.wrap_anew(roots, record).await?;
        }
        Ok(())
    }

    async fn wrap_anew(&self, roots: &Roots, record: &Record) -> Result<(), Error> {
        let Some(KeyState::Wrapped { key }) = KeyState::decode(&record.payload) else { return Ok(()) };
        if key.root() == roots.newest().version() {
            return Ok(());
        }
        let opened = roots.unwrap(&record.subject, &key);
        let opened = opened.map_err(|why| {
            self.signals.key_not_unwrapped(&record.subject, &why.to_string());
            Error::Start(format!("{}: {why}", record.subject))
        })?;
        let key = roots.wrap(&record.subject, &opened)?;
        let payload = KeyState::Wrapped { key }.encode();
        let put =
            self.broker.put(record.subject.clone(), Expect::LastSequence(record.seq), None, payload).await;
        match put {
            // A conflict: it was written anew before, by a rotation that did not come to the taking out.
            Ok(_) | Err(broker::Error::Conflict) => {}
            Err(error) => return Err(Error::Broker(error)),
        }
        self.broker.remove(subject::KEYS_STREAM, record.seq).await.map_err(Error::Broker).map(drop)
    }

    async fn read_roots_again(&self) -> Result<(), Error> {
        let source = self.source.clone();
        // A command may take its time.
        let read = tokio::task::spawn_blocking(move || Roots::read(&source)).await;
        let read = read.map_err(|_| Error::Internal("the root keys can't be read"))?;
        let roots = read.map_err(|fault| Error::Start(fault.to_string()))?;
        self.note_since(&roots).await?;
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
        Ok(())
    }

    /// Writes since when there are keys under the newest root key, before there is any.
    pub(super) async fn note_since(&self, roots: &Roots) -> Result<(), Error> {
        let subject = subject::root_since(roots.newest().version());
        let since = RootSince { since: Timestamp::now() };
        let since = serde_json::to_vec(&since).map_err(|_| Error::Internal("a time can't be written"))?;
        match self.broker.put(subject, Expect::LastSequence(0), None, since).await {
            Ok(_) | Err(broker::Error::Conflict) => Ok(()),
            Err(error) => Err(Error::Broker(error)),
        }
    }

    pub(super) fn rotation(&self) -> Option<Rotation> {
        *self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_rotation(&self, to: Option<Rotation>) {
        *self.rotation.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Begins a rotation; false when one goes on already.
    pub(super) fn begin_rotation(self: &Arc<Self>) -> bool {
        {
            let mut rotation = self.rotation.lock().unwrap_or_else(PoisonError::into_inner);
            if rotation.is_some() {
                return false;
            }
            *rotation = Some(Rotation { done: 0, of: 0 });
        }
        let vault = Arc::clone(self);
        // It ends by itself, and one that dies is finished by the next process.
        tokio::spawn(async move {
            loop {
                let rotated = Arc::clone(&vault).rotate().await;
                // What passes, passes; what a person must mend is said, and asked for again by them.
                let again = matches!(&rotated, Err(Error::Broker(error)) if error.is_passing());
                vault.signals.rotated(rotated);
                if !again {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
            vault.set_rotation(None);
        });
        true
    }

    /// Finishes rotations and erasures that were begun, here or by a process that died, for ever.
    pub(super) async fn finish_what_was_begun(self: Arc<Self>) {
        let mut all = true;
        loop {
            match self.try_to_finish(all).await {
                // Whether rung or not, it looks.
                Ok(()) => {
                    all = false;
                    let _ = tokio::time::timeout(LOOK_EVERY, self.unfinished.notified()).await;
                }
                Err(error) => {
                    tracing::warn!(?error, "what was begun with keys is not finished yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn try_to_finish(self: &Arc<Self>, all: bool) -> Result<(), Error> {
        self.finish_erasures(all).await?;
        let canary = self.broker.last(subject::KEYS_STREAM, subject::CANARY).await.map_err(Error::Broker)?;
        let canary = canary.and_then(|record| KeyState::decode(&record.payload));
        if let Some(KeyState::Wrapped { key }) = canary {
            let is_unfinished = key.root() != self.roots().newest().version();
            self.signals.rotation_unfinished(is_unfinished);
            if is_unfinished {
                self.begin_rotation();
            }
        }
        Ok(())
    }
}
