//! Which other gateways live: each says so every two seconds, and whoever has not for some time takes its people with it.

use crate::state::Gateway;
use protocol::{
    presence::{Beat, GatewayId},
    subject::{self, Shards},
};
use service::health::Health;
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
/// For so long a gateway listens before it takes those that it heard for all that there are.
const LISTENS_FIRST: Duration = Duration::from_millis(4_500);
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub struct Gateways {
    pub me: GatewayId,
    began: Instant,
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
    heard: HashMap<GatewayId, Heard>,
    /// Those that were taken for dead, some of which may only have stood still.
    buried: HashSet<GatewayId>,
}

/// How much a gateway has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub sockets: u32,
    /// `None`: it is not known.
    pub sent_bytes_per_second: Option<u64>,
}

/// What was heard of a gateway last.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    /// `None`: it takes no more sockets.
    load: Option<Load>,
    shards: Option<u16>,
}

/// Gateways taken for dead that are remembered, at most.
const BURIED_MAX: usize = 1_024;

impl Gateways {
    pub fn new() -> Self {
        Self {
            me: GatewayId::new(),
            began: Instant::now(),
            known: Mutex::default(),
            died: watch::Sender::new(0),
            returned: watch::Sender::new(0),
            company: watch::Sender::new(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway said that it lives, and how it is; gives whether it was not known before.
    fn hear_beat(&self, beat: Beat, now: Instant) -> bool {
        let is_new = self.hear(beat.gateway, now);
        if let Some(heard) = self.known().heard.get_mut(&beat.gateway) {
            let Beat { sockets, sent_bytes_per_second, .. } = beat;
            heard.load = sockets.map(|sockets| Load { sockets, sent_bytes_per_second });
            heard.shards = beat.shards;
        }
        is_new
    }

    /// A gateway said something; gives whether it was not known before.
    pub fn hear(&self, gateway: GatewayId, now: Instant) -> bool {
        if gateway == self.me {
            return false;
        }
        let mut known = self.known();
        let is_new = !known.heard.contains_key(&gateway);
        known.heard.entry(gateway).or_insert(Heard { at: now, load: None, shards: None }).at = now;
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

    /// What this gateway says of itself.
    fn beat(&self, load: Option<Load>, shards: Shards) -> Beat {
        Beat {
            gateway: self.me,
            sockets: load.map(|load| load.sockets),
            sent_bytes_per_second: load.and_then(|load| load.sent_bytes_per_second),
            shards: Some(shards.count()),
        }
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

    /// How much each of the others has to do that takes more sockets.
    pub fn loads(&self) -> Vec<Load> {
        self.known().heard.values().filter_map(|heard| heard.load).collect()
    }

    /// How many of these shards all gateways know: in those rooms can be made that each of them finds.
    pub fn know_of(&self, shards: Shards, now: Instant) -> u16 {
        if now.duration_since(self.began) < LISTENS_FIRST {
            return shards.first();
        }
        let known = self.known();
        let others = known.heard.values().map(|heard| heard.shards.unwrap_or(shards.first()));
        others.fold(shards.count(), u16::min)
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
        self.known().heard.values_mut().for_each(|heard| heard.at = now);
    }

    /// Takes those for dead that have been silent too long, and gives how many.
    fn bury(&self, now: Instant) -> usize {
        let mut known = self.known();
        let Known { heard, buried } = &mut *known;
        let silent = heard.iter().filter(|(_, heard)| now.duration_since(heard.at) > SILENCE_MAX);
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
pub async fn watch_gateways(gateway: Arc<Gateway>, health: Health, shutdown: CancellationToken) {
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
                Some(beat) => if gateways.hear_beat(beat, Instant::now()) { beat_at.reset_immediately() },
                None => return,
            },
            _ = beat_at.tick() => {
                // No balancer sends anybody to a gateway that is not ready, so it has no room for others' sockets.
                let load = gateway.load().filter(|_| health.ready());
                let beat = gateways.beat(load, gateway.shards);
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

    fn beat(gateway: GatewayId) -> Beat {
        Beat { gateway, sockets: Some(7), sent_bytes_per_second: Some(900), shards: Some(12) }
    }

    #[test]
    fn whoever_is_silent_is_buried_and_whoever_returns_is_noticed() {
        let (gateways, other, began) = (Gateways::new(), GatewayId::new(), Instant::now());
        let returns = gateways.returns();
        gateways.hear_beat(beat(other), began);
        assert_eq!(gateways.bury(began + Duration::from_secs(6)), 0);
        assert_eq!(gateways.loads(), [Load { sockets: 7, sent_bytes_per_second: Some(900) }]);
        assert_eq!(gateways.bury(began + Duration::from_secs(7)), 1);
        assert!(!gateways.lives(other) && gateways.loads().is_empty() && !returns.has_changed().unwrap());
        gateways.hear_beat(beat(other), began + Duration::from_secs(8));
        assert!(gateways.lives(other) && returns.has_changed().unwrap());
    }

    #[test]
    fn rooms_are_made_in_shards_that_every_gateway_knows() {
        let (gateways, raised) = (Gateways::new(), Shards::new(8, 16));
        assert_eq!(gateways.know_of(raised, gateways.began), 8, "it does not know yet who is there");
        let now = gateways.began + LISTENS_FIRST;
        assert_eq!(gateways.know_of(raised, now), 16, "it is alone");
        gateways.hear_beat(beat(GatewayId::new()), now);
        assert_eq!(gateways.know_of(raised, now), 12);
        gateways.hear(GatewayId::new(), now);
        assert_eq!(gateways.know_of(raised, now), 8);
    }

    #[test]
    fn a_connection_that_was_away_kills_nobody() {
        let (gateways, other, began) = (Gateways::new(), GatewayId::new(), Instant::now());
        gateways.hear_beat(beat(other), began);
        gateways.forgive(began + Duration::from_secs(60));
        assert_eq!(gateways.bury(began + Duration::from_secs(61)), 0);
    }
}
