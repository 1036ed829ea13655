//! What an operator sees of a worker: each method writes the log line and moves the counter.

use crate::Error;
use crate::checkpoint::{Checkpoint, Totals};
use crate::projection::{Aside, Batch, Part};
use service::health::{DependencyHandle, Health, Need};
use service::metrics::{Counter, CounterBy, Gauge, Histogram, Registry};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub struct Signals {
    broker: DependencyHandle,
    database: DependencyHandle,
    set_aside_health: DependencyHandle,
    applied: Counter,
    duplicates: Counter,
    set_aside: CounterBy,
    batches: Counter,
    batch_seconds: Histogram,
    lag_events: Gauge,
    lag_seconds: Gauge,
    queries: CounterBy,
    query_seconds: Histogram,
    /// Set aside since the beginning, by shard, and the last of them.
    asides: Mutex<Vec<Shelf>>,
}

/// What one shard has set aside.
struct Shelf {
    part: Part,
    count: u64,
    last: Option<(u64, String)>,
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        let set_aside_health = health.dependency("events set aside", Need::Useful);
        set_aside_health.ok();
        Self {
            broker: health.dependency("broker", Need::Required),
            database: health.dependency("database", Need::Required),
            set_aside_health,
            applied: registry.counter("applied", "Events written to the database"),
            duplicates: registry.counter("duplicates", "Copies of events that were passed over"),
            set_aside: registry.counter_by("set_aside", "Entries of the log that can't be applied", "reason"),
            batches: registry.counter("batches", "Transactions written"),
            batch_seconds: registry.seconds("batch_seconds", "Time to read, project and write a batch"),
            lag_events: registry.gauge("lag_events", "Sequences of the log not looked at yet, at most"),
            lag_seconds: registry.gauge("lag_seconds", "Age of the last applied event while more are waiting"),
            queries: registry.counter_by("queries", "Questions answered", "outcome"),
            query_seconds: registry.seconds("query_seconds", "Time to answer a question"),
            asides: Mutex::default(),
        }
    }

    pub fn broker_ok(&self) {
        self.broker.ok();
    }
    pub fn database_ok(&self) {
        self.database.ok();
    }

    /// The shard can't go on now; it is tried again if that may help.
    pub fn failed(&self, part: Part, error: &Error) {
        let why = format!("shard {}: {error}", part.shard.0);
        match error {
            Error::Broker(_) | Error::Start(_) => self.broker.failed(why),
            Error::Parted(_) => {
                tracing::error!(shard = part.shard.0, "{error}");
                self.broker.failed(why);
            }
            Error::Database(_) => self.database.failed(why),
        }
    }

    /// A shard goes on from its checkpoint.
    pub fn resumed(&self, part: Part, checkpoint: &Checkpoint) {
        self.broker.ok();
        self.database.ok();
        let Totals { events, asides, .. } = checkpoint.totals;
        tracing::info!(shard = part.shard.0, applied = checkpoint.applied, events, "goes on from the checkpoint");
        self.shelve(part, asides, checkpoint.last_aside.as_ref());
    }

    /// A batch and its checkpoint are in the database.
    pub fn applied(&self, part: Part, batch: &Batch, checkpoint: &Checkpoint, took: Duration) {
        self.database.ok();
        self.applied.inc_by(batch.events.len() as u64);
        self.duplicates.inc_by(batch.duplicates);
        self.batches.inc();
        self.batch_seconds.observe(took.as_secs_f64());
        for Aside { seq, subject, reason, bytes, .. } in &batch.asides {
            self.set_aside.inc(reason.code());
            tracing::warn!(seq, subject, bytes, %reason, "an entry of the log is set aside");
        }
        self.shelve(part, checkpoint.totals.asides, checkpoint.last_aside.as_ref());
    }

    pub fn lag(&self, events: u64, seconds: u64) {
        self.lag_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.lag_seconds.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub fn answered(&self, outcome: &'static str, took: Duration) {
        self.queries.inc(outcome);
        self.query_seconds.observe(took.as_secs_f64());
    }

    /// Shows what all shards have set aside as a warning, which keeps nobody from being ready.
    fn shelve(&self, part: Part, count: u64, last: Option<&(u64, String)>) {
        let mut shelves = self.asides.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|shelf| shelf.part != part);
        shelves.push(Shelf { part, count, last: last.cloned() });
        let total: u64 = shelves.iter().map(|shelf| shelf.count).sum();
        let last = shelves.iter().filter_map(|shelf| shelf.last.as_ref()).max_by_key(|(seq, _)| *seq);
        match last {
            Some((seq, reason)) if total > 0 => self
                .set_aside_health
                .warning(format!("{total} entries of the log are set aside, the last one: sequence {seq}: {reason}")),
            _ => self.set_aside_health.ok(),
        }
    }
}
