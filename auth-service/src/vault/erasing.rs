//! Destroying every key of a person or a room: what they sealed is bytes then, in every copy that has no older root key beside it.
//!
//! First it is written that the holder is erased, by which gateways forget at once; then each key is erased by its sequence, and a
//! tombstone written. Whatever dies in between, the next process goes on from what is written.

use super::{FIRST, Vault};
use crate::error::Error;
use broker::Expect;
use protocol::Timestamp;
use protocol::keys::{Holder, KeyName, KeyState};
use protocol::subject;
use std::collections::BTreeSet;

/// Messages read at once.
const BATCH: usize = 500;

impl Vault {
    /// Destroys all keys of a holder, and gives how many there were.
    ///
    /// # Errors
    /// The broker's: then it is finished later.
    pub(super) async fn erase(&self, holder: &Holder) -> Result<u64, Error> {
        let written = KeyState::Erased { erased_at: Timestamp::now() }.encode();
        let put = self.broker.put(holder.erasure_subject(), Expect::LastSequence(0), None, written).await;
        match put {
            Ok(_) | Err(broker::Error::Conflict) => {}
            Err(error) => return Err(Error::Broker(error)),
        }
        self.destroy(holder).await
    }

    async fn destroy(&self, holder: &Holder) -> Result<u64, Error> {
        let first = KeyName { holder: holder.clone(), generation: FIRST }.subject();
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

    /// Finishes erasures that an earlier process began.
    pub(super) async fn finish_erasures(&self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let batch = self.broker.read_after(subject::KEYS_STREAM, subject::ERASURES, after, BATCH).await;
            let batch = batch.map_err(Error::Broker)?;
            for record in &batch.records {
                after = record.seq;
                if let Some(holder) = Holder::of_erasure(&record.subject) {
                    self.destroy(&holder).await?;
                }
            }
            if !batch.more {
                return Ok(());
            }
        }
    }
}
