//! What an operator sees: one method per thing that happens, which writes the log line, moves the counter and sets the health,
//! so that they can't disagree. No text of a message or of a search is in any of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::subject::Shard;
use service::health::{DependencyHandle, Health, Need};
use service::metrics::{Counter, CounterBy, Gauge, GaugeOnceKnown, Histogram, Label, Registry};

use broker::Lag;
use keyring::Alarms;

/// From this lag on, in seconds, `/readyz` warns.
const LAG_WARNING_S: u64 = 60;

pub struct Signals {
    broker: DependencyHandle,
    index: DependencyHandle,
    troubles: Mutex<BTreeMap<Shard, String>>,
    lags: Mutex<BTreeMap<Shard, Lag>>,
    pub alarms: Alarms,
    pub traces: traces::Signals,
    entries: Counter,
    unreadable: Counter,
    commit_seconds: Histogram,
    thrown_away: Counter,
    documents: Gauge,
    lag_entries: GaugeOnceKnown,
    lag_seconds: GaugeOnceKnown,
    rebuilding: GaugeOnceKnown,
    searches: CounterBy,
    search_seconds: Histogram,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// The question has no sense.
    Refused,
    /// More were asked at once than are answered at once.
    Busy,
    Failed,
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        Self {
            broker: health.dependency("broker", Need::Required),
            index: health.dependency("index", Need::Required),
            troubles: Mutex::default(),
            lags: Mutex::default(),
            alarms: Alarms::new(registry),
            traces: traces::Signals::new(registry),
            entries: registry.counter("entries", "Entries of the log that were read"),
            unreadable: registry.counter("unreadable", "Entries of the log that this program can't read"),
            commit_seconds: registry.seconds("commit_seconds", "Time to make what was read findable"),
            thrown_away: registry.counter("thrown_away", "Indexes that could not be used and were made anew"),
            documents: registry.gauge("documents", "Messages in the index"),
            lag_entries: registry.gauge_once_known(
                "lag_entries",
                "Entries of the log that are not in the index, all shards together; no series while it is not known",
            ),
            lag_seconds: registry.gauge_once_known(
                "lag_seconds",
                "Age of the oldest event that is not in the index, of the worst shard; no series while it is not known",
            ),
            rebuilding: registry.gauge_once_known(
                "rebuilding",
                "1 while an index is made from the beginning of the log, else 0",
            ),
            searches: registry.counter_by(
                "searches",
                "Questions that were asked",
                Label::of("outcome", &["answered", "refused", "busy", "failed"]),
            ),
            search_seconds: registry.seconds("search_seconds", "Time to answer a search"),
        }
    }

    /// A shard's log is read.
    pub fn reads(&self, shard: Shard) {
        self.trouble(shard, None);
    }

    /// A shard's log can't be read now; it is tried again.
    pub fn stumbled(&self, shard: Shard, why: &str) {
        tracing::debug!(shard = shard.0, why, "trying again");
        self.trouble(shard, Some(why.to_owned()));
    }

    fn trouble(&self, shard: Shard, why: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => troubles.insert(shard, why),
            None => troubles.remove(&shard),
        };
        match troubles.values().next() {
            Some(why) => self.broker.failed(why.clone()),
            None => self.broker.ok(),
        }
    }

    pub fn read(&self, entries: usize, unreadable: u64) {
        self.entries.inc_by(entries as u64);
        self.unreadable.inc_by(unreadable);
    }

    /// What was read can be found now.
    pub fn committed(&self, documents: u64, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.documents.set(i64::try_from(documents).unwrap_or(i64::MAX));
    }

    /// An index answers.
    pub fn opened(&self, number: u64, documents: u64) {
        tracing::info!(number, documents, "the index is open");
        self.documents.set(i64::try_from(documents).unwrap_or(i64::MAX));
        self.index.ok();
    }

    /// An index can't be used, and is made anew from the log.
    pub fn thrown_away(&self, number: u64, why: &str) {
        tracing::warn!(number, why, "the index can't be used and is made anew from the log");
        self.thrown_away.inc();
    }

    /// The index could not be written or read; it is opened again.
    pub fn failed(&self, why: &str) {
        tracing::warn!(why, "the index failed and is opened again");
        self.index.failed(why.to_owned());
    }

    /// An index is made anew beside the one that answers, or has taken its place.
    pub fn replays(&self, number: u64, is_over: bool) {
        tracing::info!(number, is_over, "an index is made anew from the log");
    }

    /// How far a shard is behind, and whether the index is being made from the beginning.
    pub fn lags(&self, shard: Shard, lag: Lag, is_rebuilding: bool) {
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.insert(shard, lag);
        let entries = lags.values().map(|lag| lag.entries).sum::<u64>();
        let seconds = lags.values().map(|lag| lag.seconds).max().unwrap_or(0);
        self.lag_entries.set(entries);
        self.lag_seconds.set(seconds);
        self.rebuilding.set(u64::from(is_rebuilding));
        if is_rebuilding {
            self.index.warning(format!("made from the log: {entries} entries are left"));
        } else if seconds >= LAG_WARNING_S {
            self.index.warning(format!("{entries} entries behind the log, the oldest of {seconds} s ago"));
        } else {
            self.index.ok();
        }
    }

    /// How far the index is behind could not be measured for long.
    pub fn lag_unknown(&self) {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.lag_entries.unset();
        self.lag_seconds.unset();
        self.rebuilding.unset();
    }

    /// A question was answered, or not, in this time.
    pub fn asked(&self, outcome: Outcome, took: Duration) {
        self.search_seconds.observe(took.as_secs_f64());
        self.searches.inc(match outcome {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::Busy => "busy",
            Outcome::Failed => "failed",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_that_can_not_be_measured_is_not_told() {
        let registry = Registry::new("search-worker");
        let signals = Signals::new(&Health::new(), &registry);
        let is_there = |name: &str| registry.text().contains(&format!("\nbackchat_search_worker_{name} "));
        signals.lags(Shard(0), Lag { entries: 3, seconds: 2 }, false);
        assert!(is_there("lag_entries") && is_there("lag_seconds") && is_there("rebuilding"));
        signals.lag_unknown();
        assert!(!is_there("lag_entries") && !is_there("lag_seconds") && !is_there("rebuilding"));
        signals.lags(Shard(1), Lag { entries: 4, seconds: 0 }, false);
        assert!(registry.text().contains("backchat_search_worker_lag_entries 4\n"), "{}", registry.text());
    }
}
