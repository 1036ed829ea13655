//! People's names: looked up in the broker when first needed, kept while they are used, followed when they change.

use crate::{Error, state::Gateway};
use broker::Broker;
use keyring::cache::Generations;
use protocol::{UserId, frame::Person, state::Profile, subject};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What stands for a name that can't be had.
const UNKNOWN: &str = "?";
/// Names in each of the two generations of the cache.
const NAMES_MAX: usize = 20_000;

pub struct Profiles {
    broker: Broker,
    names: Mutex<Generations<UserId, String>>,
}

impl Profiles {
    pub async fn start(broker: &Broker) -> Result<Self, Error> {
        // The stream must be there; its content is read as it is needed.
        broker.stream(subject::PROFILES_STREAM).await?;
        Ok(Self { broker: broker.clone(), names: Mutex::new(Generations::new(NAMES_MAX)) })
    }

    /// A person's name; `?` when the broker has none or can't be asked (then it is asked again the next time).
    pub async fn name(&self, user: UserId) -> String {
        if let Some(name) = self.lock().get(&user) {
            return name;
        }
        // Boxed: it is rare, and whoever waits for names all day takes no memory for it.
        match Box::pin(self.look_up(user)).await {
            Some(name) => {
                self.lock().put(user, name.clone());
                name
            }
            None => UNKNOWN.to_owned(),
        }
    }

    /// A person as frames show them.
    pub async fn person(&self, user: UserId) -> Person {
        Person { id: user, name: self.name(user).await }
    }

    /// Forgets the name of a person who was erased.
    pub fn forget(&self, user: UserId) {
        self.lock().retain(|known| *known != user);
    }

    async fn look_up(&self, user: UserId) -> Option<String> {
        let found = self.broker.last(subject::PROFILES_STREAM, &subject::profile(user)).await;
        match found {
            Ok(Some(record)) => {
                let profile = serde_json::from_slice::<Profile>(&record.payload).ok();
                profile.map(|profile| profile.name).filter(|name| !name.is_empty())
            }
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(%user, %error, "a name can't be looked up");
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<UserId, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the cached names true. After a lost connection all are forgotten, since changes may have been missed.
pub async fn follow_profiles(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut connection = gateway.broker.connection();
    loop {
        let Ok(mut live) = gateway.broker.subscribe(subject::PROFILES_LIVE.into()).await else { return };
        loop {
            // A signal and a queue that keeps what was not taken: either may be cancelled.
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    connection.mark_unchanged();
                    gateway.profiles.lock().clear();
                }
                live = live.next() => match live {
                    Some(live) => change(&gateway.profiles, &live.record),
                    None => break,
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn change(profiles: &Profiles, record: &broker::Record) {
    let user = record.subject.rsplit('.').next().and_then(|text| text.parse().ok());
    let profile = serde_json::from_slice::<Profile>(&record.payload);
    if let (Some(user), Ok(profile)) = (user, profile) {
        if profile.name.is_empty() {
            profiles.forget(user);
        } else {
            profiles.lock().change(&user, |known| profile.name.clone_into(known));
        }
    }
}
