//! The keys of people and rooms: made here, wrapped under a root key, and written to the broker. Nobody else writes them.
//!
//! Gateways read them at the broker, so that people chat on while this service is away; new accounts and new rooms wait for it.
//! A key that is destroyed is overwritten on the disk: its message is erased by its sequence.

mod admin;
mod erasing;
mod rotation;

use crate::error::Error;
use crate::outbox::Outbox;
use crate::signals::Signals;
use crate::store::Store;
use broker::{Broker, Expect, Question, Record};
use protocol::keys::{Holder, KeyAnswer, KeyName, KeyRequest, KeyState, Rotation};
use protocol::subject;
use sealing::{Key, RootSource, Roots};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Requests for keys that are answered at once; more are refused.
const AT_ONCE_MAX: usize = 64;
/// Pause before requests are served again, when the broker's client failed.
const SERVE_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked for what is being stored, and the pause between.
const READABLE_TRIES: u32 = 10;
const READABLE_AGAIN: Duration = Duration::from_millis(50);

pub struct Vault {
    broker: Broker,
    source: RootSource,
    roots: RwLock<Arc<Roots>>,
    signals: Arc<Signals>,
    store: Store,
    outbox: Arc<Outbox>,
    /// Rung when there is an erasure to be finished.
    unfinished: Notify,
    /// How far a rotation has come, while one goes on.
    rotation: Mutex<Option<Rotation>>,
}

/// What a key's subject has after somebody asked for a key there.
enum Ensured {
    Stored,
    Erased,
}

impl Vault {
    /// Reads the root keys and opens this installation's canary with them; a new installation gets one.
    ///
    /// # Errors
    /// [`Error::Start`] when there are no root keys, or those of another installation; the broker's errors.
    pub async fn start(
        broker: Broker,
        source: &RootSource,
        (store, outbox, signals): (Store, Arc<Outbox>, Arc<Signals>),
    ) -> Result<Self, Error> {
        let roots = Roots::read(source).map_err(|fault| Error::Start(fault.to_string()))?;
        let roots = RwLock::new(Arc::new(roots));
        let (source, rotation, unfinished) = (source.clone(), Mutex::default(), Notify::new());
        let vault = Self { broker, source, roots, signals, store, outbox, unfinished, rotation };
        vault.check_canary().await?;
        vault.note_since(&vault.roots()).await?;
        Ok(vault)
    }

    fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn check_canary(&self) -> Result<(), Error> {
        // Looked at first: the canary is the first of all keys, so where there is any, the canary is there too.
        let stream = self.broker.stream(subject::KEYS_STREAM).await.map_err(Error::Broker)?;
        let canary = match self.last(subject::CANARY).await? {
            Some(canary) => canary,
            None if stream.last_seq == 0 => self.make_canary().await?,
            None => {
                return Err(Error::Start(
                    "there are keys at the broker and no canary among them: is it a broken copy?".into(),
                ));
            }
        };
        let Some(KeyState::Wrapped { key }) = KeyState::decode(&canary.payload) else {
            return Err(Error::Start("the canary among this installation's keys can't be read".into()));
        };
        let opened = self.roots().unwrap(subject::CANARY, &key).map(drop);
        opened.map_err(|why| Error::Start(format!("these are not the root keys of this installation: {why}")))
    }

    /// Gives the canary that is there then: this one, or that of an auth service which was first.
    async fn make_canary(&self) -> Result<Record, Error> {
        let payload = self.wrapped(subject::CANARY, &Key::random()?)?;
        match self.broker.put(subject::CANARY.into(), Expect::LastSequence(0), None, payload).await {
            Ok(_) | Err(broker::Error::Conflict) => {}
            Err(error) => return Err(Error::Broker(error)),
        }
        self.stored_just_now(subject::CANARY).await
    }

    async fn last(&self, subject: &str) -> Result<Option<Record>, Error> {
        self.broker.last_confirmed(subject::KEYS_STREAM, subject).await.map_err(Error::Broker)
    }

    /// What somebody stored at a subject, or is storing: the broker refuses the second before the first can be read.
    async fn stored_just_now(&self, subject: &str) -> Result<Record, Error> {
        for _ in 0..READABLE_TRIES {
            if let Some(record) = self.last(subject).await? {
                return Ok(record);
            }
            tokio::time::sleep(READABLE_AGAIN).await;
        }
        Err(Error::Broker(broker::Error::Conflict))
    }

    fn wrapped(&self, subject: &str, key: &Key) -> Result<Vec<u8>, Error> {
        Ok(KeyState::Wrapped { key: self.roots().wrap(subject, key)? }.encode())
    }

    /// Makes a person's key before their account. A key without an account is harmless.
    ///
    /// # Errors
    /// The broker's.
    pub async fn make_persons(&self, user: protocol::UserId) -> Result<(), Error> {
        self.ensure(Holder::User(user)).await.map(drop)
    }

    /// Takes a person's key back with which nothing was sealed, since there is no account. One that can't be taken back now is
    /// harmless.
    pub async fn take_back(&self, user: protocol::UserId) {
        let subject = KeyName::first(Holder::User(user)).subject();
        if let Ok(Some(unused)) = self.last(&subject).await {
            // Not overwritten, which costs the broker some megabytes: it opens nothing.
            let _ = self.broker.remove(subject::KEYS_STREAM, unused.seq).await;
        }
    }

    async fn ensure(&self, holder: Holder) -> Result<Ensured, Error> {
        let subject = KeyName::first(holder).subject();
        let payload = self.wrapped(&subject, &Key::random()?)?;
        match self.broker.put(subject.clone(), Expect::LastSequence(0), None, payload).await {
            Ok(_) => {
                self.signals.key_made();
                Ok(Ensured::Stored)
            }
            Err(broker::Error::Conflict) => self.found(&subject).await,
            Err(error) => Err(Error::Broker(error)),
        }
    }

    /// What somebody else stored at a key's subject.
    async fn found(&self, subject: &str) -> Result<Ensured, Error> {
        let record = self.stored_just_now(subject).await?;
        match KeyState::decode(&record.payload) {
            Some(KeyState::Wrapped { .. }) => Ok(Ensured::Stored),
            Some(KeyState::Erased { .. }) => Ok(Ensured::Erased),
            None => Err(Error::Broker(broker::Error::Malformed("key that can be read"))),
        }
    }

    /// Answers requests for the keys of new rooms, and an operator's, until `shutdown`; those in hand are answered first. What an
    /// earlier process began and did not finish is finished.
    pub async fn serve(self: Arc<Self>, shutdown: CancellationToken) {
        let mut finishing = JoinSet::new();
        finishing.spawn(Arc::clone(&self).finish_what_was_begun());
        while !shutdown.is_cancelled() {
            let requests = self.broker.serve(subject::KEY_REQUESTS.into(), "auth").await;
            let admins = self.broker.serve(subject::KEY_ADMIN.into(), "auth").await;
            if let (Ok(requests), Ok(admins)) = (requests, admins) {
                self.answer_all(requests, admins, &shutdown).await;
            }
            let pause = tokio::time::sleep(SERVE_AGAIN);
            tokio::select! { () = shutdown.cancelled() => {}, () = pause => {} }
        }
    }

    async fn answer_all(
        self: &Arc<Self>,
        mut questions: broker::Questions,
        mut admins: broker::Questions,
        shutdown: &CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let mut answering = JoinSet::new();
        loop {
            // Inputs: the end, the next question of either kind, an answer given. Each branch only takes what is ready.
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = answering.join_next() => {}
                question = admins.next() => {
                    let Some(question) = question else { break };
                    answering.spawn(Arc::clone(self).answer_admin(question));
                }
                question = questions.next() => {
                    let Some(question) = question else { break };
                    let vault = Arc::clone(self);
                    match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            answering.spawn(async move {
                                vault.answer(question).await;
                                drop(place);
                            });
                        }
                        Err(_) => question.answer(&refused("too many requests at once")).await,
                    }
                }
            }
        }
        answering.join_all().await;
    }

    async fn answer(&self, question: Question) {
        let answer = match serde_json::from_slice::<KeyRequest>(&question.payload) {
            Err(_) => refused("not a request for a key"),
            Ok(KeyRequest { room }) => match self.ensure(Holder::Room(room)).await {
                Ok(Ensured::Stored) => KeyAnswer::Stored,
                Ok(Ensured::Erased) => refused("the room was erased"),
                Err(error) => {
                    self.signals.key_failed(&error);
                    refused("the key can't be stored")
                }
            },
        };
        question.answer(&answer).await;
    }
}

fn refused(reason: &str) -> KeyAnswer {
    KeyAnswer::Refused { reason: reason.to_owned() }
}
