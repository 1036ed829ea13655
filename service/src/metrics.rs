//! Metrics in the text form that Prometheus reads, named `backchat_<service>_<name>`.
//!
//! Each service's `signals.rs` registers what it counts. Counters get `_total` at their end. A label has few values, all known
//! when the program is written, so that nobody outside can make the list of series grow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry as Series};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one service. Clones are handles to the same registry.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Mutex<Series>>);

impl Registry {
    /// An empty registry whose names begin with `backchat_<service>_`.
    #[must_use]
    pub fn new(service: &str) -> Self {
        let prefix = format!("backchat_{}", service.replace('-', "_"));
        Self(Arc::new(Mutex::new(Series::with_prefix(prefix))))
    }

    /// A number that only rises. `help` is a sentence without its full stop, here and below.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// Counters told apart by one label.
    #[must_use]
    pub fn counter_by(&self, name: &str, help: &str, label: &'static str) -> CounterBy {
        CounterBy { label, family: self.register(name, help, Family::default()) }
    }

    /// A number that rises and falls.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// Durations in seconds, from a tenth of a millisecond to half a minute; `name` ends in `_seconds`.
    #[must_use]
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        let bounds = [
            0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
            30.0,
        ];
        self.histogram(name, help, &bounds)
    }

    /// Observations sorted into buckets with these upper bounds.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(name, help, Histogram::new(bounds.iter().copied()))
    }

    /// Everything, as `/metrics` answers it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut buffer = String::new();
        text::encode(&mut buffer, &self.lock()).expect("writing to a string does not fail");
        buffer
    }

    fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.lock().register(name, help, metric.clone());
        metric
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters told apart by the value of one label.
#[derive(Debug, Clone)]
pub struct CounterBy {
    label: &'static str,
    family: Family<[(&'static str, &'static str); 1], Counter>,
}

impl CounterBy {
    /// Counts one more of `value`.
    pub fn inc(&self, value: &'static str) {
        self.family.get_or_create(&[(self.label, value)]).inc();
    }

    /// How many of `value` were counted.
    #[must_use]
    pub fn get(&self, value: &'static str) -> u64 {
        self.family.get_or_create(&[(self.label, value)]).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_in_the_text_under_the_services_name() {
        let registry = Registry::new("history-worker");
        registry.counter("events", "Events written").inc_by(3);
        registry.gauge("shards", "Shards held").set(2);
        registry.counter_by("refused", "Events set aside", "reason").inc("unknown_kind");
        registry.seconds("batch_seconds", "Time to write a batch").observe(0.002);
        let text = registry.text();
        for line in [
            "backchat_history_worker_events_total 3",
            "backchat_history_worker_shards 2",
            "backchat_history_worker_refused_total{reason=\"unknown_kind\"} 1",
            "backchat_history_worker_batch_seconds_bucket{le=\"0.0025\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
