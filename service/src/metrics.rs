//! Metrics in the text form that Prometheus reads, named `backchat_<service>_<name>`.
//!
//! Each service's `signals.rs` registers what it counts, and the registry keeps what it says of it: the reference page
//! (`docs/operations/metrics.md`) is made of that. Counters get `_total` at their end. A label has few values, known when the
//! program is written or fixed for an installation (the shards), so that nobody outside can make the list of series grow. Those
//! that are known have a series from the start, with 0: an alert sees the first of them as it sees all others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry as Series};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of durations in seconds: a tenth of a millisecond to half a minute.
const SECONDS: [f64; 16] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0];

/// The metrics of one service. Clones are handles to the same registry.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    prefix: String,
    series: Series,
    described: Vec<Description>,
}

/// What a registry says of one of its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// As it stands in [`Registry::text`]. A histogram is three series there, with `_bucket`, `_sum` and `_count` behind it.
    pub name: String,
    pub kind: Kind,
    /// What it means: a sentence without its full stop.
    pub help: String,
    /// By what its series are told apart.
    pub label: Option<Label>,
}

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, from 0 at the process's start.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Observations sorted into buckets.
    Histogram,
}

/// A label, and the values that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub name: &'static str,
    /// Empty: they are not known when the program is written.
    pub values: Vec<&'static str>,
}

impl Label {
    /// A label with all its values.
    #[must_use]
    pub fn of(name: &'static str, values: &[&'static str]) -> Self {
        Self { name, values: values.to_vec() }
    }

    /// A label with a value for each shard.
    #[must_use]
    pub fn shard() -> Self {
        Self::of("shard", &[])
    }
}

impl Registry {
    /// A registry whose names begin with `backchat_<service>_`. It says which version runs, and nothing else yet.
    #[must_use]
    pub fn new(service: &str) -> Self {
        let prefix = format!("backchat_{}", service.replace('-', "_"));
        let series = Series::with_prefix(prefix.clone());
        let registry = Self(Arc::new(Mutex::new(State { prefix, series, described: Vec::new() })));
        // OpenMetrics has a type `info` for it, at which readers of Prometheus' older format stop, KEDA's among them.
        let build = registry.gauge_by(
            "build_info",
            "Always 1, with the version that runs",
            Label::of("version", &[]),
        );
        build.set(env!("CARGO_PKG_VERSION"), 1);
        registry
    }

    /// A number that only rises. `help` is a sentence without its full stop, here and below.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register((name, Kind::Counter), help, None, Counter::default())
    }

    /// Counters told apart by one label.
    #[must_use]
    pub fn counter_by(&self, name: &str, help: &str, label: Label) -> CounterBy {
        let family = Family::default();
        let counter = CounterBy { label: label.name, values: label.values.clone().into(), family };
        counter.values.iter().for_each(|value| drop(counter.of(value)));
        self.register((name, Kind::Counter), help, Some(label), counter.family.clone());
        counter
    }

    /// A number that rises and falls.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register((name, Kind::Gauge), help, None, Gauge::default())
    }

    /// A number that is not known at the start, when 0 would be a lie: it has no series until it is set.
    #[must_use]
    pub fn gauge_once_known(&self, name: &str, help: &str) -> GaugeOnceKnown {
        GaugeOnceKnown(self.register((name, Kind::Gauge), help, None, Family::default()))
    }

    /// Numbers told apart by one label, each once it is known.
    #[must_use]
    pub fn gauge_by(&self, name: &str, help: &str, label: Label) -> GaugeBy {
        let key = label.name;
        GaugeBy {
            label: key,
            family: self.register((name, Kind::Gauge), help, Some(label), Family::default()),
        }
    }

    /// Durations in seconds, from a tenth of a millisecond to half a minute; `name` ends in `_seconds`.
    #[must_use]
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &SECONDS)
    }

    /// The same, told apart by one label.
    #[must_use]
    pub fn seconds_by(&self, name: &str, help: &str, label: Label) -> SecondsBy {
        let new: fn() -> Histogram = || Histogram::new(SECONDS);
        let seconds = SecondsBy { label: label.name, family: Family::new_with_constructor(new) };
        label.values.iter().for_each(|value| drop(seconds.of(value)));
        self.register((name, Kind::Histogram), help, Some(label), seconds.family.clone());
        seconds
    }

    /// Observations sorted into buckets with these upper bounds.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register((name, Kind::Histogram), help, None, Histogram::new(bounds.iter().copied()))
    }

    /// Everything, as `/metrics` answers it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut buffer = String::new();
        text::encode(&mut buffer, &self.lock().series).expect("writing to a string does not fail");
        buffer
    }

    /// What there is, in the order in which it was registered.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        self.lock().described.clone()
    }

    fn register<M: Metric + Clone>(
        &self,
        (name, kind): (&str, Kind),
        help: &str,
        label: Option<Label>,
        metric: M,
    ) -> M {
        let mut state = self.lock();
        let ending = if kind == Kind::Counter { "_total" } else { "" };
        let described = format!("{}_{name}{ending}", state.prefix);
        state.described.push(Description { name: described, kind, help: help.to_owned(), label });
        state.series.register(name, help, metric.clone());
        metric
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Description {
    /// The names of its series in [`Registry::text`].
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", self.name)).into(),
            Kind::Counter | Kind::Gauge => vec![self.name.clone()],
        }
    }

    /// In what it is measured, as its name says; `None` for a plain number.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.trim_end_matches("_total");
        let units = [
            ("_timestamp_seconds", "seconds since 1970"),
            ("_seconds", "seconds"),
            ("_bytes", "bytes"),
            ("_bytes_per_second", "bytes a second"),
        ];
        units.into_iter().find_map(|(end, unit)| name.ends_with(end).then_some(unit))
    }
}

/// Counters told apart by the value of one label.
#[derive(Debug, Clone)]
pub struct CounterBy {
    label: &'static str,
    values: Arc<[&'static str]>,
    family: Family<[(&'static str, &'static str); 1], Counter>,
}

impl CounterBy {
    /// Counts one more of `value`, which was registered.
    pub fn inc(&self, value: &'static str) {
        debug_assert!(self.values.contains(&value), "{value} is not among the values of {}", self.label);
        self.of(value).inc();
    }

    /// How many of `value` were counted.
    #[must_use]
    pub fn get(&self, value: &'static str) -> u64 {
        self.of(value).get()
    }

    fn of(&self, value: &'static str) -> impl std::ops::Deref<Target = Counter> + '_ {
        self.family.get_or_create(&[(self.label, value)])
    }
}

/// A gauge without a series until it is set.
#[derive(Debug, Clone)]
pub struct GaugeOnceKnown(Family<[(&'static str, &'static str); 0], Gauge>);

impl GaugeOnceKnown {
    /// From now on it is known.
    pub fn set(&self, number: u64) {
        self.0.get_or_create(&[]).set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// It is not known any more: its series goes, until it is set again.
    pub fn unset(&self) {
        self.0.clear();
    }
}

/// Gauges told apart by the value of one label.
#[derive(Debug, Clone)]
pub struct GaugeBy {
    label: &'static str,
    family: Family<[(&'static str, String); 1], Gauge>,
}

impl GaugeBy {
    /// From now on that of `value` is known.
    pub fn set(&self, value: impl ToString, number: u64) {
        let gauge = self.family.get_or_create_owned(&[(self.label, value.to_string())]);
        gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// That of `value` is not known any more.
    pub fn unset(&self, value: impl ToString) {
        self.family.remove(&[(self.label, value.to_string())]);
    }
}

/// Durations told apart by the value of one label.
#[derive(Debug, Clone)]
pub struct SecondsBy {
    label: &'static str,
    family: Family<[(&'static str, &'static str); 1], Histogram>,
}

impl SecondsBy {
    /// Sorts a duration in.
    pub fn observe(&self, value: &'static str, seconds: f64) {
        self.of(value).observe(seconds);
    }

    fn of(&self, value: &'static str) -> impl std::ops::Deref<Target = Histogram> + '_ {
        self.family.get_or_create(&[(self.label, value)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(registry: &Registry, line: &str) -> bool {
        registry.text().lines().any(|found| found == line)
    }

    #[test]
    fn what_is_counted_is_in_the_text_under_the_services_name() {
        let registry = Registry::new("history-worker");
        registry.counter("events", "Events written").inc_by(3);
        registry.gauge("shards", "Shards held").set(2);
        registry.counter_by("refused", "Events set aside", Label::of("reason", &["kind"])).inc("kind");
        registry.seconds("batch_seconds", "Time to write a batch").observe(0.002);
        registry
            .seconds_by("page_seconds", "Time to answer", Label::of("page", &["home"]))
            .observe("home", 0.002);
        registry.gauge_by("shard_lag", "Entries", Label::shard()).set(7, 4);
        for line in [
            concat!("backchat_history_worker_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "backchat_history_worker_events_total 3",
            "backchat_history_worker_shards 2",
            "backchat_history_worker_refused_total{reason=\"kind\"} 1",
            "backchat_history_worker_batch_seconds_bucket{le=\"0.0025\"} 1",
            "backchat_history_worker_page_seconds_bucket{le=\"0.0025\",page=\"home\"} 1",
            "backchat_history_worker_shard_lag{shard=\"7\"} 4",
        ] {
            assert!(has(&registry, line), "{line} is missing in {}", registry.text());
        }
    }

    #[test]
    fn known_values_of_a_label_are_there_from_the_start() {
        let registry = Registry::new("gateway");
        let _ = registry.counter_by("closed", "Sockets closed", Label::of("why", &["peer", "done"]));
        assert!(has(&registry, "backchat_gateway_closed_total{why=\"peer\"} 0"));
        assert!(has(&registry, "backchat_gateway_closed_total{why=\"done\"} 0"));
    }

    #[test]
    #[should_panic(expected = "mischief is not among the values of why")]
    fn a_value_that_was_not_registered_is_found_by_tests() {
        Registry::new("gateway")
            .counter_by("closed", "Sockets closed", Label::of("why", &["peer"]))
            .inc("mischief");
    }

    #[test]
    fn what_is_not_known_yet_is_not_in_the_text() {
        let registry = Registry::new("history-worker");
        let lag = registry.gauge_once_known("lag_seconds", "Age of the oldest event");
        assert!(!registry.text().contains("lag_seconds"));
        lag.set(0);
        assert!(has(&registry, "backchat_history_worker_lag_seconds 0"));
    }

    #[test]
    fn what_is_not_known_any_more_goes_out_of_the_text() {
        let registry = Registry::new("history-worker");
        let lag = registry.gauge_once_known("lag_seconds", "Age of the oldest event");
        let of_shard = registry.gauge_by("shard_lag", "Entries", Label::shard());
        lag.set(7);
        of_shard.set(0, 7);
        of_shard.set(1, 8);
        lag.unset();
        of_shard.unset(0);
        assert!(!registry.text().contains("lag_seconds "), "{}", registry.text());
        assert!(!registry.text().contains("shard_lag{shard=\"0\"}"), "{}", registry.text());
        assert!(has(&registry, "backchat_history_worker_shard_lag{shard=\"1\"} 8"));
        lag.set(9);
        assert!(has(&registry, "backchat_history_worker_lag_seconds 9"));
    }

    #[test]
    fn every_type_is_one_that_readers_of_the_older_format_know() {
        let registry = Registry::new("gateway");
        let _ = (registry.counter("sent", "Sent"), registry.seconds("seen_seconds", "Time"));
        let types: Vec<_> = registry
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .map(str::to_owned)
            .collect();
        let is_known =
            |line: &String| ["counter", "gauge", "histogram"].iter().any(|kind| line.ends_with(kind));
        assert!(types.len() == 3 && types.iter().all(is_known), "{types:?}");
    }

    #[test]
    fn every_series_of_the_text_is_described() {
        let registry = Registry::new("gateway");
        let _ = registry.counter("sent_bytes", "Bytes");
        let _ = registry.seconds("seen_seconds", "Time");
        let _ = registry.gauge("heads_timestamp_seconds", "When");
        let _ = registry.gauge("sockets", "Sockets");
        let _ = registry.gauge("sent_bytes_per_second", "Bytes a second");
        let described = registry.descriptions();
        let series: Vec<_> = described.iter().flat_map(Description::series).collect();
        for line in registry.text().lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(series.iter().any(|known| known == name), "{name} is not among {series:?}");
        }
        let units: Vec<_> = described.iter().map(Description::unit).collect();
        let bytes = [Some("bytes"), Some("bytes a second")];
        assert_eq!(units, [None, bytes[0], Some("seconds"), Some("seconds since 1970"), None, bytes[1]]);
    }
}
