//! What an operator asks about keys, and what is stored of them.

use crate::eventually::eventually;
use broker::{Broker, Expect};
use protocol::UserId;
use protocol::keys::{Holder, KeyAdmin, KeyAdminAnswer, KeyName, KeyState, KeyStatus};
use protocol::subject;
use sealing::{Key, Roots};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(30);
/// Keys read at once.
const BATCH: usize = 1_000;

/// Asks the auth service.
///
/// # Errors
/// When it does not answer in time.
pub async fn ask(broker: &Broker, question: &KeyAdmin) -> Result<KeyAdminAnswer, broker::Error> {
    broker.ask(subject::KEY_ADMIN.into(), question, ANSWER).await
}

/// The state of all keys; `None` when the auth service does not answer.
pub async fn status(broker: &Broker) -> Option<KeyStatus> {
    match ask(broker, &KeyAdmin::Status).await {
        Ok(KeyAdminAnswer::Status(status)) => Some(status),
        _ => None,
    }
}

/// The state of all keys once nothing is being erased or wrapped anew and all are under this root key.
pub async fn settled(broker: &Broker, root: u16) -> Option<KeyStatus> {
    let is_settled = |status: &KeyStatus| {
        status.rotation.is_none()
            && status.erasing == 0
            && status.under.iter().all(|under| under.root == root)
    };
    status(broker).await.filter(is_settled)
}

/// Who has this name. An auth service that was just started may not listen yet.
///
/// # Panics
/// When nobody has it, or the auth service does not answer.
pub async fn holder(broker: &Broker, name: &str) -> Holder {
    let answer = eventually("the auth service listens", ANSWER, || async {
        match ask(broker, &KeyAdmin::Person { name: name.to_owned() }).await {
            Err(broker::Error::NobodyThere(_)) => None,
            answer => Some(answer),
        }
    });
    match answer.await {
        Ok(KeyAdminAnswer::Person { user, .. }) => Holder::User(user),
        other => panic!("{name}: {other:?}"),
    }
}

/// Stores the key of a person who has nothing else.
///
/// # Panics
/// When the broker does not store it.
pub async fn stores_a_key(broker: &Broker, roots: &Roots) {
    let subject = KeyName { holder: Holder::User(UserId::new()), generation: 1 }.subject();
    let key = roots.wrap(&subject, &Key::random().expect("random bytes")).expect("random bytes");
    let payload = KeyState::Wrapped { key }.encode();
    broker.put(subject, Expect::LastSequence(0), None, payload).await.expect("the broker stores a key");
}

/// All keys of the stream of keys, the canary and what tells of erasures among them.
///
/// # Panics
/// When the broker does not answer.
pub async fn all_keys(broker: &Broker) -> Vec<(String, KeyState)> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let batch = broker.read_after(subject::KEYS_STREAM, subject::KEYS, after, BATCH).await;
        let batch = batch.expect("the broker answers");
        for record in &batch.records {
            after = record.seq;
            all.extend(KeyState::decode(&record.payload).map(|state| (record.subject.clone(), state)));
        }
        if !batch.more {
            return all;
        }
    }
}
