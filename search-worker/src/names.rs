//! Who has which name, for `from:`. Names are in no event: they are followed like the log, in memory alone.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use broker::{Broker, Follower, Record};
use protocol::state::Profile;
use protocol::{UserId, subject};
use text_analysis::fold;
use tokio::time::sleep;

/// Pause before names are followed again, when the broker failed.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Names(RwLock<HashMap<UserId, String>>);

impl Names {
    /// Everybody who has one of these names, or for whom it is one of their names.
    pub fn find(&self, names: &[String]) -> Vec<UserId> {
        let wanted: Vec<_> = names.iter().map(|name| fold(name.trim())).collect();
        let is_wanted = |name: &str| {
            wanted.iter().any(|wanted| name == wanted || name.split_whitespace().any(|part| part == wanted))
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(_, name)| is_wanted(name)).map(|(user, _)| *user).collect()
    }

    /// Follows names for ever.
    pub async fn follow(&self, broker: &Broker) {
        loop {
            let (stream, all, live) = (subject::PROFILES_STREAM, subject::PROFILES, subject::PROFILES_LIVE);
            if let Ok(mut follower) = Follower::start(broker, stream, all, live, 0).await {
                self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
                loop {
                    match follower.next().await {
                        Ok(records) => records.iter().for_each(|record| self.take(record)),
                        Err(broker::Error::Setup(_)) => break,
                        Err(_) => sleep(AGAIN).await,
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    fn take(&self, record: &Record) {
        let Some(user) = record.subject.rsplit('.').next().and_then(|text| text.parse().ok()) else { return };
        let name = serde_json::from_slice::<Profile>(&record.payload).map(|profile| fold(&profile.name));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match name {
            Ok(name) if !name.is_empty() => drop(known.insert(user, name)),
            _ => drop(known.remove(&user)),
        }
    }

    /// Forgets the name of a person who was erased.
    pub fn forget(&self, user: UserId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whole_or_by_a_part_and_without_accents() {
        let (names, zoe, ada) = (Names::default(), UserId::new(), UserId::new());
        *names.0.write().unwrap() = [(zoe, fold("Zoë")), (ada, fold("Ada Lovelace"))].into();
        let find = |name: &str| names.find(&[name.to_owned()]);
        assert_eq!(find("ZOE"), [zoe]);
        assert_eq!((find("lovelace"), find("Ada Lovelace")), (vec![ada], vec![ada]));
        assert!(find("love").is_empty() && find("").is_empty());
        names.forget(ada);
        assert!(find("ada").is_empty());
    }
}
