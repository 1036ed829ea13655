//! The keys of rooms and people: fetched from the broker when first needed, unwrapped here with a root key, kept while they are
//! used, and forgotten the moment they are destroyed. So a gateway opens and seals with the auth service down.

use crate::{Error, alarms::Alarms, cache::Generations};
use broker::{Broker, Record};
use futures_util::future::try_join_all;
use protocol::{
    MessageId, RoomSlug, UserId,
    keys::{Holder, KeyName, KeyState, Wrapped},
    subject,
};
use sealing::{BodyKey, Key, NotUnwrapped, RootSource, Roots};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

/// Keys in each of the two generations of the caches.
const KEYS_MAX: usize = 8_192;
/// How long the first start of the auth service is waited for, which makes the canary.
const CANARY_PATIENCE: Duration = Duration::from_secs(30);
const CANARY_PAUSE: Duration = Duration::from_millis(250);

/// Whose texts in which room, and the generations of both keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Texts {
    pub room: RoomSlug,
    pub author: UserId,
    /// The room's and the author's.
    pub generations: (u16, u16),
}

/// What there is to open texts with.
#[derive(Debug, Clone)]
pub enum Opener {
    Key(Arc<BodyKey>),
    /// One of the two keys was destroyed.
    Erased,
    /// One of the two keys was never there, or is wrapped under a root key that is not ours.
    Missing,
}

/// What the broker has at a key's subject.
#[derive(Clone)]
enum Found {
    Key(Key),
    Erased,
    Missing,
}

pub struct Keyring {
    broker: Broker,
    source: RootSource,
    roots: RwLock<Arc<Roots>>,
    known: Mutex<Known>,
    alarms: Alarms,
}

struct Known {
    keys: Generations<KeyName, Key>,
    bodies: Generations<Texts, Arc<BodyKey>>,
    erased: HashSet<Holder>,
}

impl Keyring {
    /// Waits for the canary of this installation, and opens it.
    ///
    /// # Errors
    /// [`Error::Start`] when these are not the root keys of this installation.
    pub async fn start(broker: &Broker, source: &RootSource, alarms: Alarms) -> Result<Self, Error> {
        let roots = Roots::read(source).map_err(|fault| Error::Start(fault.to_string()))?;
        broker.stream(subject::KEYS_STREAM).await?;
        let deadline = tokio::time::Instant::now() + CANARY_PATIENCE;
        loop {
            if let Some(canary) = broker.last(subject::KEYS_STREAM, subject::CANARY).await? {
                check_canary(&roots, &canary)?;
                break;
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::Start(
                    "this installation has no keys yet: the auth service, which makes them, has never run with it".into(),
                ));
            }
            tokio::time::sleep(CANARY_PAUSE).await;
        }
        let known = Known {
            keys: Generations::new(KEYS_MAX),
            bodies: Generations::new(KEYS_MAX),
            erased: HashSet::new(),
        };
        Ok(Self {
            broker: broker.clone(),
            source: source.clone(),
            roots: RwLock::new(Arc::new(roots)),
            known: Mutex::new(known),
            alarms,
        })
    }

    /// What opens texts of these kinds: one request to the broker for all that is not known yet.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn openers(
        &self,
        texts: impl IntoIterator<Item = Texts>,
    ) -> Result<HashMap<Texts, Opener>, Error> {
        let mut openers = HashMap::new();
        let mut unknown = HashSet::new();
        {
            let mut known = self.known();
            for texts in texts {
                match known.opener(&texts) {
                    Some(opener) => drop(openers.insert(texts, opener)),
                    None => drop(unknown.insert(texts)),
                }
            }
        }
        if !unknown.is_empty() {
            let derived = unknown.into_iter().map(|texts| async move {
                let opener = self.derive(&texts).await?;
                Ok::<_, Error>((texts, opener))
            });
            // Boxed: it is rare.
            openers.extend(Box::pin(try_join_all(derived)).await?);
        }
        Ok(openers)
    }

    async fn opener(&self, texts: &Texts) -> Result<Opener, Error> {
        let known = self.known().opener(texts);
        match known {
            Some(opener) => Ok(opener),
            // Boxed: it is rare.
            None => Box::pin(self.derive(texts)).await,
        }
    }

    async fn derive(&self, texts: &Texts) -> Result<Opener, Error> {
        let Texts { room, author, generations } = texts;
        let of_room = KeyName { holder: Holder::Room(room.clone()), generation: generations.0 };
        let of_author = KeyName { holder: Holder::User(*author), generation: generations.1 };
        let (room_key, author_key) = tokio::try_join!(self.key(&of_room), self.key(&of_author))?;
        let (room_key, author_key) = match (room_key, author_key) {
            (Found::Key(room_key), Found::Key(author_key)) => (room_key, author_key),
            (Found::Erased, _) | (_, Found::Erased) => return Ok(Opener::Erased),
            (Found::Missing, _) | (_, Found::Missing) => return Ok(Opener::Missing),
        };
        let body = BodyKey::derive((room, generations.0, &room_key), (*author, generations.1, &author_key));
        let body = Arc::new(body);
        let mut known = self.known();
        // An erasure that came meanwhile counts.
        if known.has_erased(texts) {
            return Ok(Opener::Erased);
        }
        known.bodies.put(texts.clone(), Arc::clone(&body));
        Ok(Opener::Key(body))
    }

    /// With what an author's new texts in a room are sealed.
    ///
    /// # Errors
    /// [`Error::NoKey`] when one of the two has no key, or the broker's errors.
    pub async fn sealer(&self, room: &RoomSlug, author: UserId) -> Result<Arc<BodyKey>, Error> {
        let texts = Texts { room: room.clone(), author, generations: (KeyName::FIRST, KeyName::FIRST) };
        match self.opener(&texts).await? {
            Opener::Key(body) => Ok(body),
            Opener::Erased | Opener::Missing => Err(Error::NoKey),
        }
    }

    /// A room's own key, to tell equal reactions.
    ///
    /// # Errors
    /// As [`Self::sealer`].
    pub async fn room_key(&self, room: &RoomSlug) -> Result<Key, Error> {
        let holder = Holder::Room(room.clone());
        // Tags of one room stay comparable.
        match self.key(&KeyName::first(holder)).await? {
            Found::Key(key) => Ok(key),
            Found::Erased | Found::Missing => Err(Error::NoKey),
        }
    }

    async fn key(&self, name: &KeyName) -> Result<Found, Error> {
        if let Some(key) = self.known().keys.get(name) {
            return Ok(Found::Key(key));
        }
        let subject = name.subject();
        let record = match self.broker.last(subject::KEYS_STREAM, &subject).await? {
            None => self.broker.last_confirmed(subject::KEYS_STREAM, &subject).await?,
            some => some,
        };
        let wrapped = match record.and_then(|record| KeyState::decode(&record.payload)) {
            Some(KeyState::Wrapped { key }) => key,
            Some(KeyState::Erased { .. }) => return Ok(Found::Erased),
            None => return Ok(Found::Missing),
        };
        match self.unwrap(&subject, &wrapped).await {
            Ok(key) => {
                let mut known = self.known();
                if known.erased.contains(&name.holder) {
                    return Ok(Found::Erased);
                }
                known.keys.put(name.clone(), key.clone());
                Ok(Found::Key(key))
            }
            Err(error) => {
                self.alarms.unwrap_failed.inc();
                tracing::error!(key = subject, %error, "a key can't be unwrapped");
                Ok(Found::Missing)
            }
        }
    }

    /// A text could not be opened, though nobody erased it.
    pub fn alarm(&self, room: &RoomSlug, event: MessageId, why: &'static str) {
        self.alarms.unopened.inc();
        tracing::error!(%room, %event, why, "a text could not be opened");
    }

    /// Unwraps a key; a root key that was made since the start is read then.
    async fn unwrap(&self, subject: &str, wrapped: &Wrapped) -> Result<Key, NotUnwrapped> {
        let roots = || Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner));
        match roots().unwrap(subject, wrapped) {
            Err(NotUnwrapped::NoRoot(version)) => {
                let source = self.source.clone();
                // A command may take its time.
                let read = tokio::task::spawn_blocking(move || Roots::read(&source)).await;
                match read {
                    Ok(Ok(read)) => {
                        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read)
                    }
                    Ok(Err(fault)) => tracing::error!(%fault, version, "a new root key can't be read"),
                    Err(_) => tracing::error!(version, "a new root key can't be read"),
                }
                roots().unwrap(subject, wrapped)
            }
            unwrapped => unwrapped,
        }
    }

    /// Forgets every key of a person or a room, for ever. False when that was done before.
    pub fn forget(&self, holder: &Holder) -> bool {
        let mut known = self.known();
        if !known.erased.insert(holder.clone()) {
            return false;
        }
        known.keys.retain(|name| name.holder != *holder);
        known.bodies.retain(|texts| !texts.is_of(holder));
        true
    }

    /// Whether everything of this room was erased, as far as this process has heard.
    pub fn has_erased_room(&self, room: &RoomSlug) -> bool {
        let known = self.known();
        !known.erased.is_empty() && known.erased.contains(&Holder::Room(room.clone()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What opens these texts, if that is known.
    fn opener(&mut self, texts: &Texts) -> Option<Opener> {
        if self.has_erased(texts) { Some(Opener::Erased) } else { self.bodies.get(texts).map(Opener::Key) }
    }

    fn has_erased(&self, texts: &Texts) -> bool {
        !self.erased.is_empty()
            && (self.erased.contains(&Holder::User(texts.author))
                || self.erased.contains(&Holder::Room(texts.room.clone())))
    }
}

impl Texts {
    fn is_of(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Room(room) => self.room == *room,
            Holder::User(user) => self.author == *user,
        }
    }
}

fn check_canary(roots: &Roots, canary: &Record) -> Result<(), Error> {
    let unreadable = || Error::Start("the canary among this installation's keys can't be read".into());
    let Some(KeyState::Wrapped { key }) = KeyState::decode(&canary.payload) else { return Err(unreadable()) };
    let opened = roots.unwrap(subject::CANARY, &key).map(drop);
    opened.map_err(|error| Error::Start(format!("these are not the root keys of this installation: {error}")))
}
