//! Traces that follow one message from the socket through the broker to the row, for an OpenTelemetry collector.
//!
//! The gateway that takes a message chooses whether it is followed. A chosen one carries a [`Traceparent`] in the broker, and whoever
//! has that message in hand later adds a [`Span`] to its trace. A message that was not chosen costs one look, and so does every
//! message where traces are off. Nothing here waits for the collector: what it does not take in time is dropped and counted.
//!
//! A span can hold numbers and words of the program alone, so that no text, name or token of a person comes into one.

mod collector;
mod config;
mod export;
mod otlp;
mod parent;
mod pending;
mod signals;
mod span;
mod step;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use export::Exporting;
pub use parent::Traceparent;
pub use pending::Pending;
pub use signals::Signals;
pub use span::{Span, Value};
pub use step::Step;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use collector::Connector;
use span::Moment;
use tokio::sync::mpsc;

/// Spans that have ended and wait for the collector.
const QUEUE: usize = 4_096;
/// A message that was stored so long ago is not followed any more: whoever reads it now makes something anew, or was away for long.
const FOLLOWED_FOR: Duration = Duration::from_secs(600);

/// Where spans begin. Clones share one exporter; without a collector there is none.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Open>>);

#[derive(Debug)]
pub(crate) struct Open {
    ended: mpsc::Sender<span::Ended>,
    signals: Signals,
    chance: Chance,
}

/// A message that was chosen to be followed, since it came.
#[derive(Debug, Clone, Copy)]
pub struct Chosen(Moment);

impl Traces {
    /// Follows nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Starts what sends the spans of this service to the collector, if there is one.
    ///
    /// # Errors
    /// A sentence about authorities that can't be used.
    pub fn start(
        config: &Config,
        service: &'static str,
        signals: Signals,
    ) -> Result<(Self, Exporting), String> {
        let Some(collector) = &config.collector else { return Ok((Self::off(), Exporting::nothing())) };
        let connector = Connector::new(collector.clone(), config.ca.as_deref())?;
        let (ended, spans) = mpsc::channel(QUEUE);
        let open = Open { ended, signals: signals.clone(), chance: Chance::new(config.ratio) };
        Ok((Self(Some(Arc::new(open))), Exporting::start(spans, connector, service, signals)))
    }

    /// Decides whether the message that comes now is followed.
    #[must_use]
    pub fn choose(&self) -> Option<Chosen> {
        let open = self.0.as_ref()?;
        open.chance.falls().then(|| Chosen(Moment::now()))
    }

    /// The first span of a message that was chosen.
    #[must_use]
    pub fn begin(&self, chosen: Option<Chosen>, step: Step) -> Span {
        match (&self.0, chosen) {
            (Some(open), Some(Chosen(since))) => Span::begin(Arc::clone(open), step, (None, since)),
            _ => Span::none(),
        }
    }

    /// A span below that which the message carries, if it carries one and was stored lately.
    #[must_use]
    pub fn follow(&self, parent: Option<Traceparent>, stored_at_ms: i64, step: Step) -> Span {
        let (Some(open), Some(parent)) = (&self.0, parent) else { return Span::none() };
        let now = Moment::now();
        if !parent.is_sampled() || now.ms().saturating_sub(stored_at_ms) > FOLLOWED_FOR.as_millis() as i64 {
            return Span::none();
        }
        Span::begin(Arc::clone(open), step, (Some(parent), now))
    }
}

/// Falls for a part of those who ask. It takes no lock: a counter, made to look random (splitmix64).
#[derive(Debug)]
struct Chance {
    state: AtomicU64,
    below: u64,
    always: bool,
}

impl Chance {
    fn new(ratio: f64) -> Self {
        // Where the system has no randomness, messages are chosen by turns.
        let state = AtomicU64::new(getrandom::u64().unwrap_or(0));
        // The conversion stops at the greatest number.
        let below = (ratio * 2_f64.powi(64)) as u64;
        Self { state, below, always: ratio >= 1.0 }
    }

    fn falls(&self) -> bool {
        self.always || (self.below > 0 && self.next() < self.below)
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut number = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}
