//! What operators see of one service: its health, what it counts, and the signals that move both.

use crate::health::Health;
use crate::metrics::Registry;

/// All of it, before anything is known.
#[derive(Debug)]
pub struct Watched<S> {
    pub health: Health,
    pub registry: Registry,
    pub signals: S,
}

impl<S> Watched<S> {
    /// That of the service of this name, whose own signals `signals` registers.
    pub fn new(service: &str, signals: impl FnOnce(&Health, &Registry) -> S) -> Self {
        let (health, registry) = (Health::new(), Registry::new(service));
        let signals = signals(&health, &registry);
        health.counted_in(&registry);
        Self { health, registry, signals }
    }
}
