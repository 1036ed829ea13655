//! Which other gateways live: each says so every two seconds, and whoever has not for some time takes its people with it.

use crate::state::Gateway;
use protocol::{
    presence::{Beat, GatewayId},
    subject,
};
use std::{
    collections::HashMap,
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
    heard: Mutex<HashMap<GatewayId, Instant>>,
    /// Rings when one of them has died.
    died: watch::Sender<u64>,
}

impl Gateways {
    pub fn new() -> Self {
        Self { me: GatewayId::new(), heard: Mutex::default(), died: watch::Sender::new(0) }
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<GatewayId, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway said something.
    pub fn hear(&self, gateway: GatewayId, now: Instant) {
        self.heard().insert(gateway, now);
    }

    pub fn lives(&self, gateway: GatewayId) -> bool {
        self.heard().contains_key(&gateway)
    }

    /// Rings when one of them has died.
    pub fn deaths(&self) -> watch::Receiver<u64> {
        self.died.subscribe()
    }

    /// Forgets those that fit, and gives how many.
    fn bury(&self, is_dead: impl Fn(GatewayId, Instant) -> bool) -> usize {
        let mut heard = self.heard();
        let before = heard.len();
        heard.retain(|gateway, at| !is_dead(*gateway, *at));
        let dead = before - heard.len();
        drop(heard);
        if dead > 0 {
            self.died.send_modify(|deaths| *deaths += 1);
        }
        dead
    }
}

/// Says that this gateway lives, and notices when others do not any more.
pub async fn watch_gateways(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let gateways = &gateway.gateways;
    let beat = |last| {
        let beat = Beat { gateway: gateways.me, last };
        let broker = &gateway.broker;
        async move {
            if let Err(error) = broker.tell(subject::GATEWAYS.into(), &beat).await {
                tracing::debug!(%error, "the other gateways can't be told that this one lives");
            }
        }
    };
    let Ok(mut beats) = gateway.broker.hear::<Beat>(subject::GATEWAYS.into()).await else { return };
    let mut beat_at = tokio::time::interval(BEAT_EVERY);
    let mut look_at = tokio::time::interval(LOOK_EVERY);
    loop {
        // Clocks, a signal, and a queue that keeps what was not taken: any may be cancelled.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            heard = beats.next() => match heard {
                Some(Beat { gateway: other, last: true }) => drop(gateways.bury(|gateway, _| gateway == other)),
                Some(Beat { gateway: other, .. }) => gateways.hear(other, Instant::now()),
                None => return,
            },
            _ = beat_at.tick() => {
                // While the connection is away nobody can be heard, which says nothing of them.
                if gateway.broker.connection().borrow().connected {
                    beat(false).await;
                }
            }
            _ = look_at.tick() => {
                if gateway.broker.connection().borrow().connected {
                    let dead = gateways.bury(|_, at| at.elapsed() > SILENCE_MAX);
                    gateway.signals.gateways_died(dead);
                }
            }
        }
    }
    beat(true).await;
}
