//! What an operator's tool asks about all keys.

use super::Vault;
use crate::error::Error;
use crate::names::lookup_key;
use broker::Question;
use protocol::keys::{KeyAdmin, KeyAdminAnswer, KeyName, KeyState, KeyStatus, UnderRoot};
use protocol::subject;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys read at once.
const BATCH: usize = 1_000;

impl Vault {
    pub(super) async fn answer_admin(self: Arc<Self>, question: Question) {
        let answer = match serde_json::from_slice::<KeyAdmin>(&question.payload) {
            Err(_) => Ok(refused("not a question about keys".into())),
            Ok(KeyAdmin::Status) => self.status().await.map(KeyAdminAnswer::Status),
            Ok(KeyAdmin::Erasing) => self.erasing().await.map(|holders| KeyAdminAnswer::Erasing { holders }),
            Ok(KeyAdmin::Rotate) => {
                // One that goes on already is as good.
                self.begin_rotation();
                Ok(KeyAdminAnswer::Started)
            }
            Ok(KeyAdmin::Person { name }) => self.person(&name).await,
            Ok(KeyAdmin::Erase { holder }) => self.erase(&holder).await.map(|erased| match erased {
                Some(keys) => KeyAdminAnswer::Erased { keys },
                None => refused(format!("there never was a {holder}")),
            }),
        };
        let answer = answer.unwrap_or_else(|error| refused(format!("{error}")));
        question.answer(&answer).await;
    }

    async fn person(&self, name: &str) -> Result<KeyAdminAnswer, Error> {
        let found = self.store.find_account(&lookup_key(name)).await?;
        Ok(found.map_or(KeyAdminAnswer::NoSuchPerson, |account| KeyAdminAnswer::Person {
            user: account.user,
            name: account.name,
        }))
    }

    async fn erasing(&self) -> Result<u64, Error> {
        let erasures = self.erasures().await?;
        Ok(erasures.values().filter(|(_, erasure)| !erasure.done).count() as u64)
    }

    async fn status(&self) -> Result<KeyStatus, Error> {
        let mut status =
            KeyStatus { roots: self.roots().versions(), rotation: self.rotation(), ..KeyStatus::default() };
        if status.rotation.is_some() {
            return Ok(status);
        }
        status.erasing = self.erasing().await?;
        let (mut after, mut under) = (0, BTreeMap::new());
        loop {
            let batch = self.broker.read_after(subject::KEYS_STREAM, subject::KEYS, after, BATCH).await;
            let batch = batch.map_err(Error::Broker)?;
            for record in &batch.records {
                after = record.seq;
                if record.subject != subject::CANARY && KeyName::of_subject(&record.subject).is_none() {
                    continue;
                }
                match KeyState::decode(&record.payload) {
                    Some(KeyState::Wrapped { key }) => *under.entry(key.root()).or_default() += 1,
                    Some(KeyState::Erased { .. }) => status.erased += 1,
                    None => {}
                }
            }
            if !batch.more {
                status.under = under.into_iter().map(|(root, keys)| UnderRoot { root, keys }).collect();
                return Ok(status);
            }
        }
    }
}

fn refused(reason: String) -> KeyAdminAnswer {
    KeyAdminAnswer::Refused { reason }
}
