//! Health: what this process depends on, and whether each works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::metrics::{Gauge, GaugeBy, Label, Registry};

/// Whether the process can serve without the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Not ready while it fails.
    Required,
    /// Reported, and no more.
    Useful,
}

pub use Need::{Required, Useful};

/// The health of one process. Clones are handles to the same health.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    draining: bool,
    dependencies: BTreeMap<&'static str, Dependency>,
    signals: Option<HealthSignals>,
}

/// The same health as metrics.
#[derive(Debug)]
struct HealthSignals {
    ready: Gauge,
    dependency_up: GaugeBy,
}

#[derive(Debug)]
struct Dependency {
    need: Need,
    status: Status,
    says: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Ok,
    Warning(String),
    Failed(String),
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    draining: bool,
    dependencies: BTreeMap<&'static str, Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    status: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    says: String,
}

impl Health {
    /// Health with no dependency: ready at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a dependency. It counts as failed until the handle says otherwise.
    #[must_use]
    pub fn dependency(&self, name: &'static str, need: Need) -> DependencyHandle {
        let status = Status::Failed("not reached yet".to_owned());
        self.lock().dependencies.insert(name, Dependency { need, status, says: String::new() });
        DependencyHandle { health: self.clone(), name }
    }

    /// The same health, counting in `registry`, with all dependencies that were named.
    pub fn counted_in(&self, registry: &Registry) {
        let mut state = self.lock();
        let names: Vec<_> = state.dependencies.keys().copied().collect();
        state.signals = Some(HealthSignals {
            ready: registry.gauge("ready", "1 when /readyz says that it is ready, else 0"),
            dependency_up: registry.gauge_by(
                "dependency_up",
                "1 while what this process depends on works, else 0; /readyz says why",
                Label::of("dependency", &names),
            ),
        });
        state.count();
    }

    /// Whether every required dependency works and the process is not on its way out.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.lock().ready()
    }

    /// Takes readiness away for good: the process is about to stop.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.count();
    }

    /// The answer of `/readyz`: each dependency, ok or why not.
    #[must_use]
    pub fn json(&self) -> String {
        let state = self.lock();
        let dependencies = state.dependencies.iter().map(|(name, dependency)| (*name, dependency.entry()));
        let report =
            Report { ready: state.ready(), draining: state.draining, dependencies: dependencies.collect() };
        serde_json::to_string(&report).expect("a report has only text keys")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ready(&self) -> bool {
        !self.draining && self.dependencies.values().all(Dependency::allows_serving)
    }

    fn count(&self) {
        let Some(signals) = &self.signals else { return };
        signals.ready.set(i64::from(self.ready()));
        for (name, dependency) in &self.dependencies {
            signals.dependency_up.set(name, u64::from(dependency.works()));
        }
    }
}

impl Dependency {
    fn allows_serving(&self) -> bool {
        self.need == Useful || self.works()
    }

    fn works(&self) -> bool {
        !matches!(self.status, Status::Failed(_))
    }

    fn entry(&self) -> Entry {
        let (status, why) = match &self.status {
            Status::Ok => ("ok", None),
            Status::Warning(why) => ("warning", Some(why.clone())),
            Status::Failed(why) => ("failed", Some(why.clone())),
        };
        Entry { status, required: self.need == Required, why, says: self.says.clone() }
    }
}

/// Says how one dependency does.
#[derive(Debug, Clone)]
pub struct DependencyHandle {
    health: Health,
    name: &'static str,
}

impl DependencyHandle {
    /// It works.
    pub fn ok(&self) {
        self.set(Status::Ok);
    }

    /// It does not work. `why` is a sentence for an operator, with no secret in it.
    pub fn failed(&self, why: impl Into<String>) {
        self.set(Status::Failed(why.into()));
    }

    /// It works, and somebody should look at it.
    pub fn warning(&self, why: impl Into<String>) {
        self.set(Status::Warning(why.into()));
    }

    /// How it is, in figures that change all the time: shown beside whether it works, and not logged.
    pub fn says(&self, says: impl Into<String>) {
        if let Some(dependency) = self.health.lock().dependencies.get_mut(self.name) {
            dependency.says = says.into();
        }
    }

    fn set(&self, status: Status) {
        let mut state = self.health.lock();
        let Some(dependency) = state.dependencies.get_mut(self.name) else { return };
        if dependency.status == status {
            return;
        }
        match &status {
            Status::Ok => tracing::info!(dependency = self.name, "dependency works"),
            Status::Warning(why) => tracing::warn!(dependency = self.name, why, "dependency needs a look"),
            Status::Failed(why) => tracing::warn!(dependency = self.name, why, "dependency failed"),
        }
        dependency.status = status;
        state.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_dependency_that_was_never_reached_is_not_ready() {
        let health = Health::new();
        let broker = health.dependency("broker", Required);
        assert!(!health.ready());
        assert!(health.json().contains("not reached yet"));
        broker.ok();
        assert!(health.ready());
    }

    #[test]
    fn a_useful_dependency_is_reported_and_keeps_nobody_out() {
        let health = Health::new();
        health.dependency("history", Useful).failed("no answer in 2 s");
        assert!(health.ready());
        assert_eq!(
            health.json(),
            r#"{"ready":true,"draining":false,"dependencies":{"history":{"status":"failed","required":false,"why":"no answer in 2 s"}}}"#
        );
    }

    #[test]
    fn a_warning_is_shown_and_still_ready() {
        let health = Health::new();
        health.dependency("shard 0", Required).warning("1 event is set aside");
        assert!(health.ready());
        assert!(health.json().contains(r#""status":"warning","required":true,"why":"1 event is set aside""#));
    }

    #[test]
    fn what_a_dependency_says_is_shown_whether_it_works_or_not() {
        let health = Health::new();
        let history = health.dependency("history", Required);
        history.says("nothing behind");
        assert!(health.json().contains(r#""says":"nothing behind""#), "{}", health.json());
        history.ok();
        assert!(health.ready() && health.json().contains(r#""says":"nothing behind""#));
    }

    #[test]
    fn health_is_counted() {
        let (health, registry) = (Health::new(), Registry::new("gateway"));
        let broker = health.dependency("broker", Required);
        health.dependency("history", Useful).warning("it lags");
        health.counted_in(&registry);
        let says = |ready: u8, broker: u8| {
            let ready = format!("backchat_gateway_ready {ready}\n");
            let broker = format!("backchat_gateway_dependency_up{{dependency=\"broker\"}} {broker}\n");
            let text = registry.text();
            text.contains(&ready) && text.contains(&broker)
        };
        assert!(says(0, 0), "{}", registry.text());
        assert!(
            registry.text().contains("dependency_up{dependency=\"history\"} 1"),
            "a warning is no failure"
        );
        broker.ok();
        assert!(says(1, 1), "{}", registry.text());
        health.drain();
        assert!(says(0, 1), "{}", registry.text());
    }

    #[test]
    fn a_draining_process_is_not_ready() {
        let health = Health::new();
        health.dependency("broker", Required).ok();
        health.drain();
        assert!(!health.ready());
        assert!(health.json().contains(r#""draining":true"#));
    }
}
