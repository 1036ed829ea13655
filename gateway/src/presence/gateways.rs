//! Which other gateways live: each says so every two seconds, and whoever has not for some time takes its people with it.

use crate::state::Gateway;
use protocol::{
    presence::{Beat, GatewayId},
    subject,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Three beats missed.
const SILENCE_MAX: Duration = Duration::from_millis(6_500);
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub struct Gateways {
    pub me: GatewayId,
    known: Mutex<Known>,
    /// Rings when one of them has died.
    died: watch::Sender<u64>,
    /// Rings when one that was taken for dead is there again.
    returned: watch::Sender<u64>,
    /// Whether there was ever another one.
    company: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    /// When each was heard last.
    heard: HashMap<GatewayId, Instant>,
    /// Those that were taken for dead, some of which may only have stood still.
    buried: HashSet<GatewayId>,
}

/// Gateways taken for dead that are remembered, at most.
const BURIED_MAX: usize = 1_024;

impl Gateways {
    pub fn new() -> Self {
        Self {
            me: GatewayId::new(),
            known: Mutex::default(),
            died: watch::Sender::new(0),
            returned: watch::Sender::new(0),
            company: watch::Sender::new(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway said something; gives whether it was not known before.
    pub fn hear(&self, gateway: GatewayId, now: Instant) -> bool {
        if gateway == self.me {
            return false;
        }
        let mut known = self.known();
        let is_new = known.heard.insert(gateway, now).is_none();
        let has_returned = known.buried.remove(&gateway);
        drop(known);
        if has_returned {
            self.returned.send_modify(|times| *times += 1);
        }
        if is_new {
            self.company.send_if_modified(|company| !std::mem::replace(company, true));
        }
        is_new
    }

    pub fn has_company(&self) -> bool {
        *self.company.borrow()
    }

    /// Rings when there is another gateway for the first time: until then nobody has to be told anything or listened to.
    pub fn company(&self) -> watch::Receiver<bool> {
        self.company.subscribe()
    }

    pub fn lives(&self, gateway: GatewayId) -> bool {
        self.known().heard.contains_key(&gateway)
    }

    /// Rings when one of them has died.
    pub fn deaths(&self) -> watch::Receiver<u64> {
        self.died.subscribe()
    }

    /// Rings when one that was taken for dead is there again: whoever forgot its people asks for them.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.returned.subscribe()
    }

    /// Nobody could be heard for a while, which says nothing of anybody.
    fn forgive(&self, now: Instant) {
        self.known().heard.values_mut().for_each(|at| *at = now);
    }

    /// Takes those for dead that have been silent too long, and gives how many.
    fn bury(&self, now: Instant) -> usize {
        let mut known = self.known();
        let Known { heard, buried } = &mut *known;
        let silent = heard.iter().filter(|(_, at)| now.duration_since(**at) > SILENCE_MAX);
        let dead: Vec<_> = silent.map(|(gateway, _)| *gateway).collect();
        if buried.len() + dead.len() > BURIED_MAX {
            buried.clear();
        }
        for gateway in &dead {
            heard.remove(gateway);
            buried.insert(*gateway);
        }
        drop(known);
        if !dead.is_empty() {
            self.died.send_modify(|deaths| *deaths += 1);
        }
        dead.len()
    }
}

/// Says that this gateway lives, and notices when others do not any more.
pub async fn watch_gateways(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let gateways = &gateway.gateways;
    let Ok(mut beats) = gateway.broker.hear::<Beat>(subject::GATEWAYS.into()).await else { return };
    let mut connection = gateway.broker.connection();
    let mut beat_at = tokio::time::interval(BEAT_EVERY);
    let mut look_at = tokio::time::interval(LOOK_EVERY);
    loop {
        // Clocks, signals, and a queue that keeps what was not taken: any may be cancelled.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            changed = connection.changed() => match changed {
                Ok(()) => gateways.forgive(Instant::now()),
                Err(_) => return,
            },
            heard = beats.next() => match heard {
                // Whoever has just come is to know at once that it is not alone.
                Some(beat) => if gateways.hear(beat.gateway, Instant::now()) { beat_at.reset_immediately() },
                None => return,
            },
            _ = beat_at.tick() => {
                let beat = Beat { gateway: gateways.me };
                if let Err(error) = gateway.broker.tell(subject::GATEWAYS.into(), &beat).await {
                    tracing::debug!(%error, "the other gateways can't be told that this one lives");
                }
            }
            _ = look_at.tick() => {
                // While the connection is away nobody can be heard.
                if connection.borrow().connected {
                    gateway.signals.gateways_died(gateways.bury(Instant::now()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_silent_is_buried_and_whoever_returns_is_noticed() {
        let (gateways, other, began) = (Gateways::new(), GatewayId::new(), Instant::now());
        let returns = gateways.returns();
        gateways.hear(other, began);
        assert_eq!(gateways.bury(began + Duration::from_secs(6)), 0);
        assert_eq!(gateways.bury(began + Duration::from_secs(7)), 1);
        assert!(!gateways.lives(other) && !returns.has_changed().unwrap());
        gateways.hear(other, began + Duration::from_secs(8));
        assert!(gateways.lives(other) && returns.has_changed().unwrap());
    }

    #[test]
    fn a_connection_that_was_away_kills_nobody() {
        let (gateways, other, began) = (Gateways::new(), GatewayId::new(), Instant::now());
        gateways.hear(other, began);
        gateways.forgive(began + Duration::from_secs(60));
        assert_eq!(gateways.bury(began + Duration::from_secs(61)), 0);
    }
}
