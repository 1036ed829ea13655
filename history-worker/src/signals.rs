//! What an operator sees: one method per thing that happens, which writes the log line, moves the counter and sets the health,
//! so that they can't disagree. No text of a message is in any of it.

mod state;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::Lag;
use protocol::query::{Difference, LastSnapshot, LastVerify, Replaying, RoomLeft};
use protocol::subject::Shard;
use protocol::{RoomSlug, Timestamp};
use service::health::{DependencyHandle, Health, Need};
use service::metrics::{Counter, CounterBy, Histogram, Label, Registry};

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, Ignored, Reason};
use crate::sharing::Share;
use crate::store::{Asides, Waiting};
use state::{ShardView, StateSignals};

pub struct Signals {
    broker: ByShard,
    database: ByShard,
    /// The state of the projection itself: entries set aside and lag are warnings, a log that is another one a failure.
    history: DependencyHandle,
    shards: Mutex<BTreeMap<Shard, ShardView>>,
    events: Counter,
    duplicates: Counter,
    asides: CounterBy,
    ignored: CounterBy,
    erased: Counter,
    replayed: Counter,
    batch_entries: Histogram,
    batch_seconds: Histogram,
    queries: CounterBy,
    query_seconds: Histogram,
    expiries_failed: Counter,
    pub traces: traces::Signals,
    state: StateSignals,
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryOutcome {
    Answered,
    /// The projection did not come to the asked sequence in time.
    Behind,
    /// The question has no sense.
    Refused,
    /// More were asked at once than are answered at once.
    Busy,
    Failed,
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        let entries = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
        Self {
            broker: ByShard::new(health.dependency("broker", Need::Required)),
            database: ByShard::new(health.dependency("database", Need::Required)),
            history: health.dependency("history", Need::Required),
            shards: Mutex::default(),
            events: registry.counter("applied_events", "Events written to the history"),
            duplicates: registry.counter("duplicate_events", "Copies of stored events, passed over"),
            asides: registry.counter_by(
                "set_aside",
                "Entries of the log that could not be applied",
                Label::of("reason", &Reason::CODES),
            ),
            ignored: registry.counter_by(
                "ignored_changes",
                "Changes that change nothing",
                Label::of("reason", &Ignored::CODES),
            ),
            erased: registry
                .counter("erased_entries", "Texts of deleted messages that this worker took out of the log"),
            replayed: registry.counter(
                "replayed_entries",
                "Entries of the log read again to make rooms of the history anew",
            ),
            batch_entries: registry.histogram(
                "batch_entries",
                "Entries of the log written in one transaction",
                &entries,
            ),
            batch_seconds: registry.seconds("batch_seconds", "Time to project and write a batch"),
            queries: registry.counter_by(
                "queries",
                "Questions about the history",
                Label::of("outcome", &["answered", "behind", "refused", "busy", "failed"]),
            ),
            query_seconds: registry.seconds("query_seconds", "Time to answer a question, waiting included"),
            expiries_failed: registry.counter(
                "expiries_failed",
                "Times that a room could not be told what is too old in it, which is then still there",
            ),
            traces: traces::Signals::new(registry),
            state: StateSignals::new(registry),
        }
    }

    /// A shard is followed from now on; nothing of it is known yet.
    pub fn follows(&self, shard: Shard) {
        self.shards().entry(shard).or_default();
    }

    /// The shard reads the log and writes the database.
    pub fn works(&self, shard: Shard) {
        self.broker.set(shard, None);
        self.database.set(shard, None);
    }

    /// The shard stumbled over something that may pass, and tries again after `pause`.
    pub fn stumbled(&self, shard: Shard, error: &Error, pause: Duration) {
        tracing::debug!(shard = shard.0, %error, pause_ms = pause.as_millis(), "trying again");
        match error {
            Error::Broker(error) => self.broker.set(shard, Some(error.to_string())),
            Error::Store(error) => self.database.set(shard, Some(error.to_string())),
            _ => {}
        }
    }

    /// The shard stops for good.
    pub fn stopped(&self, shard: Shard, error: &Error) {
        self.view(shard, |view| view.stopped = Some(error.to_string()));
    }

    /// The tables of this worker's layout are not read yet, and why; or they are.
    pub fn makes_layout(&self, shard: Shard, why: Option<&str>) {
        let words = |why| {
            format!("shard {}: the tables of this backchat's layout are made from the log: {why}", shard.0)
        };
        let why = why.map(words);
        self.view(shard, |view| {
            if view.makes_layout != why {
                tracing::info!(
                    shard = shard.0,
                    why = why.as_deref().unwrap_or("they are read now"),
                    "layout"
                );
            }
            view.makes_layout = why;
        });
    }

    /// These shards are divided anew among the workers.
    pub fn shares(&self, of: &[Shard], share: Share) {
        let own: Vec<_> = of.iter().filter(|shard| share.has(**shard)).map(|shard| shard.0).collect();
        tracing::info!(shards = ?own, "this worker applies these shards");
        let mut shards = self.shards();
        for shard in of {
            shards.entry(*shard).or_default().is_own = share.has(*shard);
        }
        self.state.count(&shards);
    }

    /// Another worker was faster, and applies the shard; this one stands by.
    pub fn is_beaten(&self, shard: Shard) {
        tracing::info!(shard = shard.0, "another worker applies this shard; standing by");
    }

    /// A shard begins, or begins again, from this checkpoint.
    pub fn began(&self, shard: Shard, checkpoint: &Checkpoint, asides: Asides) {
        tracing::info!(shard = shard.0, applied = checkpoint.applied, "applying the log");
        self.works(shard);
        self.asides(shard, asides);
    }

    /// The log begins at this sequence. Entries between it and what was applied are not there any more: they were erased at
    /// the log's beginning, or an age limit was faster than this worker.
    pub fn log_begins(&self, shard: Shard, applied: u64, first_seq: u64) {
        let missing = first_seq.saturating_sub(applied.saturating_add(1));
        let words =
            || format!("shard {}: the log has nothing from {} to {}", shard.0, applied + 1, first_seq - 1);
        self.state.log_missing.set(shard.0, missing);
        self.view(shard, |view| view.missing = (missing > 0).then(words));
    }

    /// A batch has been written, in this time.
    pub fn applied(&self, shard: Shard, batch: &Batch, checkpoint: &Checkpoint, took: Duration) {
        self.events.inc_by(batch.events());
        self.duplicates.inc_by(batch.duplicates);
        batch.ignored.iter().for_each(|(_, reason)| self.ignored.inc(reason.code()));
        for aside in &batch.asides {
            self.asides.inc(aside.reason.code());
            tracing::warn!(shard = shard.0, seq = aside.seq, bytes = aside.bytes, reason = %aside.reason, "set aside");
        }
        let entries = batch.entries();
        self.batch_entries.observe(entries as f64);
        self.batch_seconds.observe(took.as_secs_f64());
        tracing::debug!(shard = shard.0, applied = checkpoint.applied, entries, "batch written");
        self.works(shard);
    }

    /// Everything that had to go from the shard's log is gone; this worker has taken out `erased` entries.
    pub fn erased(&self, shard: Shard, erased: u64) {
        self.erased.inc_by(erased);
        self.view(shard, |view| view.not_erased = None);
    }

    /// Texts of deleted messages are still in the log: taking them out is tried again.
    pub fn not_erased(&self, shard: Shard, error: &Error) {
        tracing::warn!(shard = shard.0, %error, "texts of deleted messages are still in the log");
        self.view(shard, |view| view.not_erased = Some(error.to_string()));
    }

    /// What is too old in a room could not be told to it: that is tried again.
    pub fn not_expired(&self, shard: Shard, room: &RoomSlug, why: &str) {
        self.expiries_failed.inc();
        tracing::warn!(shard = shard.0, %room, why, "what is too old is still there");
    }

    /// A piece of a room was made anew.
    pub fn replayed_piece(&self, entries: u64) {
        self.replayed.inc_by(entries);
    }

    /// A room stays as it is, though it should be made anew.
    pub fn not_replayed(&self, shard: Shard, left: &RoomLeft) {
        tracing::warn!(shard = shard.0, room = %left.room, reason = left.reason, "not made anew");
    }

    /// All is made anew that was asked for.
    pub fn replayed(&self, shard: Shard, told: &Replaying) {
        let Replaying { rooms, entries, left, .. } = told;
        tracing::info!(shard = shard.0, rooms, entries, left, "the history was made anew");
    }

    /// Making the history anew stumbled, and is tried again after `pause`.
    pub fn replay_stumbled(&self, shard: Shard, error: &Error, pause: Duration) {
        tracing::warn!(shard = shard.0, %error, pause_ms = pause.as_millis(), "the history can't be made anew now");
    }

    /// A question was answered, or not, in this time.
    pub fn asked(&self, outcome: QueryOutcome, took: Duration) {
        self.query_seconds.observe(took.as_secs_f64());
        self.queries.inc(match outcome {
            QueryOutcome::Answered => "answered",
            QueryOutcome::Behind => "behind",
            QueryOutcome::Refused => "refused",
            QueryOutcome::Busy => "busy",
            QueryOutcome::Failed => "failed",
        });
    }

    /// How far a shard is behind.
    pub fn lags(&self, shard: Shard, lag: Lag) {
        self.state.shard_lag_events.set(shard.0, lag.entries);
        self.state.shard_lag_seconds.set(shard.0, lag.seconds);
        self.view(shard, |view| view.lag = Some(lag));
    }

    /// How far a shard is behind could not be measured for long.
    pub fn lag_unknown(&self, shard: Shard) {
        self.state.shard_lag_events.unset(shard.0);
        self.state.shard_lag_seconds.unset(shard.0);
        self.view(shard, |view| view.lag = None);
    }

    /// The history is not what the log says.
    pub fn differs(&self, shard: Shard, difference: &Difference) {
        let Difference { room, seq, field, log, history } = difference;
        tracing::error!(shard = shard.0, %room, seq, field, log, history, "the history differs from the log");
    }

    /// The shard was compared with its log in full.
    pub fn verified(&self, shard: Shard, last: LastVerify) {
        tracing::info!(
            shard = shard.0,
            rows = last.rows,
            different = last.different,
            "compared with the log"
        );
        self.last_verify(shard, Some(last));
    }

    /// How the shard last compared with its log, by whichever worker and for whomever.
    pub fn last_verify(&self, shard: Shard, last: Option<LastVerify>) {
        self.view(shard, |view| view.verified = Some(last));
    }

    /// A snapshot of the shard was given to its end.
    pub fn snapshot_taken(&self, shard: Shard, last: LastSnapshot) {
        tracing::info!(shard = shard.0, applied = last.applied, "a snapshot was taken");
        self.last_snapshot(shard, Some(last));
    }

    /// When the shard's last snapshot was taken, by whichever worker.
    pub fn last_snapshot(&self, shard: Shard, last: Option<LastSnapshot>) {
        self.view(shard, |view| view.snapshot = Some(last));
    }

    /// When the last backup of everything was finished of which the shard was told.
    pub fn last_backup(&self, shard: Shard, last: Option<Timestamp>) {
        self.view(shard, |view| view.backup = Some(last));
    }

    /// What of the shard's log is set aside now.
    pub fn asides(&self, shard: Shard, asides: Asides) {
        self.state.set_aside_now.set(shard.0, asides.count);
        self.view(shard, |view| view.asides = Some(asides));
    }

    /// What of the shard must go and is still there.
    pub fn waiting(&self, shard: Shard, waiting: Waiting) {
        self.state.erasures_waiting.set(shard.0, waiting.erasures);
        self.state.expiries_waiting.set(shard.0, waiting.expiries);
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<Shard, ShardView>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, shard: Shard, change: impl FnOnce(&mut ShardView)) {
        let mut shards = self.shards();
        change(shards.entry(shard).or_default());
        self.state.count(&shards);
        self.tell_health(&shards);
    }

    fn tell_health(&self, shards: &BTreeMap<Shard, ShardView>) {
        let failed = |view: &ShardView| view.stopped.clone().or_else(|| view.makes_layout.clone());
        let failed: Vec<_> = shards.values().filter_map(failed).collect();
        let warnings: Vec<_> = shards.iter().flat_map(|(shard, view)| view.warnings(*shard)).collect();
        let now = Timestamp::now();
        let says: Vec<_> = shards.iter().map(|(shard, view)| view.says(*shard, now)).collect();
        self.history.says(says.join("; "));
        if !failed.is_empty() {
            self.history.failed(failed.join("; "));
        } else if !warnings.is_empty() {
            self.history.warning(warnings.join("; "));
        } else {
            self.history.ok();
        }
    }
}

/// A dependency that every shard uses: it works when it works for all of them.
struct ByShard {
    handle: DependencyHandle,
    troubles: Mutex<BTreeMap<Shard, String>>,
}

impl ByShard {
    fn new(handle: DependencyHandle) -> Self {
        Self { handle, troubles: Mutex::default() }
    }

    fn set(&self, shard: Shard, trouble: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(why) => troubles.insert(shard, why),
            None => troubles.remove(&shard),
        };
        match troubles.values().next() {
            Some(why) => self.handle.failed(why.clone()),
            None => self.handle.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::StreamIdentity;
    use protocol::query::SetAside;

    #[test]
    fn entries_set_aside_are_a_warning_that_names_the_last_one() {
        let health = Health::new();
        let signals = Signals::new(&health, &Registry::new("history-worker"));
        let checkpoint = Checkpoint::new(StreamIdentity(1));
        signals.began(Shard(0), &checkpoint, Asides::default());
        assert!(health.ready() && !health.json().contains("warning"), "{}", health.json());
        signals.applied(Shard(0), &Batch::default(), &checkpoint, Duration::ZERO);
        let (at, subject, reason) = (Timestamp::from_millis(0), String::new(), "not an event".to_owned());
        let last = Some(SetAside { seq: 17, at, subject, reason, bytes: 1 });
        signals.asides(Shard(0), Asides { count: 3, oldest: None, last });
        assert!(health.ready(), "an entry set aside stops nothing");
        let sentence = "3 events set aside, the last one: seq 17: not an event";
        assert!(health.json().contains(sentence), "{}", health.json());
        signals.asides(Shard(0), Asides::default());
        assert!(!health.json().contains("warning"), "{}", health.json());
    }

    #[test]
    fn what_is_not_known_of_every_shard_is_not_counted_of_all() {
        let registry = Registry::new("history-worker");
        let signals = Signals::new(&Health::new(), &registry);
        signals.follows(Shard(0));
        signals.follows(Shard(1));
        signals.shares(&[Shard(0), Shard(1)], Share::ALL);
        let says = |line: &str| registry.text().lines().any(|found| found == line);
        let is_there = |name: &str| registry.text().contains(&format!("backchat_history_worker_{name}"));
        assert!(
            !is_there("lag_seconds") && !is_there("shard_lag_seconds") && !is_there("snapshot_timestamp")
        );
        signals.lags(Shard(1), Lag { entries: 3, seconds: 2 });
        assert!(says("backchat_history_worker_shard_lag_events{shard=\"1\"} 3"));
        assert!(!is_there("lag_events"), "of shard 0 it is not known");
        signals.lags(Shard(0), Lag { entries: 4, seconds: 9 });
        assert!(
            says("backchat_history_worker_lag_events 7") && says("backchat_history_worker_lag_seconds 9")
        );
        signals.last_snapshot(Shard(0), Some(LastSnapshot { at: Timestamp::from_millis(5_000), applied: 1 }));
        assert!(!is_there("snapshot_timestamp"));
        signals.last_snapshot(Shard(1), Some(LastSnapshot { at: Timestamp::from_millis(4_000), applied: 1 }));
        assert!(says("backchat_history_worker_snapshot_timestamp_seconds 4"));
        signals.lag_unknown(Shard(0));
        assert!(!is_there("lag_events") && !is_there("lag_seconds"), "of shard 0 it is not known any more");
        assert!(!is_there("shard_lag_events{shard=\"0\"}") && is_there("shard_lag_events{shard=\"1\"}"));
    }

    #[test]
    fn a_backup_is_one_of_all_shards_whichever_was_told() {
        let registry = Registry::new("history-worker");
        let signals = Signals::new(&Health::new(), &registry);
        [Shard(0), Shard(1)].iter().for_each(|shard| signals.follows(*shard));
        let says = |second: u64| {
            registry.text().contains(&format!("backchat_history_worker_backup_timestamp_seconds {second}\n"))
        };
        let at = |second: i64| Some(Timestamp::from_millis(second * 1_000));
        signals.last_backup(Shard(0), None);
        assert!(!registry.text().contains("worker_backup_timestamp_seconds "), "shard 1 may know of one");
        signals.last_backup(Shard(1), None);
        assert!(says(0), "{}", registry.text());
        signals.last_backup(Shard(1), at(5));
        signals.last_backup(Shard(0), at(4));
        assert!(says(5), "{}", registry.text());
    }

    #[test]
    fn readiness_says_how_far_each_shard_is_and_how_old_what_is_kept_of_it() {
        let health = Health::new();
        let signals = Signals::new(&health, &Registry::new("history-worker"));
        let says =
            |sentence: &str| assert!(health.json().contains(sentence), "{sentence}: {}", health.json());
        signals.follows(Shard(0));
        signals.follows(Shard(1));
        signals.lags(Shard(0), Lag { entries: 3, seconds: 2 });
        let at = Timestamp::now().plus_seconds(-7_300);
        signals.last_snapshot(Shard(0), Some(LastSnapshot { at, applied: 1 }));
        signals.last_snapshot(Shard(1), None);
        says("shard 1: last snapshot never\"");
        [Shard(0), Shard(1)].iter().for_each(|shard| signals.last_verify(*shard, None));
        says(
            "shard 0: 3 entries behind the log, the oldest of 2 s ago, last snapshot 2 h ago, never compared with the log",
        );
        says("shard 1: last snapshot never, never compared with the log");
        signals.lags(Shard(1), Lag { entries: 0, seconds: 0 });
        let oldest = SetAside { seq: 7, at, subject: String::new(), reason: "x".to_owned(), bytes: 1 };
        let (oldest, last) = (Some(oldest.clone()), Some(oldest));
        signals.asides(Shard(1), Asides { count: 2, oldest, last });
        let last = LastVerify { at, rooms: 12, rows: 40, different: 3, different_rooms: 2 };
        signals.last_verify(Shard(1), Some(last));
        says(
            "shard 1: nothing behind the log, 2 events set aside, the oldest of 2 h ago, last snapshot never, compared with the log 2 h ago: 12 rooms, 2 differ",
        );
    }

    #[test]
    fn what_the_log_lost_is_counted() {
        let registry = Registry::new("history-worker");
        let signals = Signals::new(&Health::new(), &registry);
        signals.log_begins(Shard(0), 7, 8);
        assert!(registry.text().contains("log_missing_events{shard=\"0\"} 0"));
        signals.log_begins(Shard(0), 7, 12);
        assert!(registry.text().contains("log_missing_events{shard=\"0\"} 4"));
    }

    #[test]
    fn the_database_works_only_when_it_works_for_every_shard() {
        let health = Health::new();
        let signals = Signals::new(&health, &Registry::new("history-worker"));
        let away = Error::Store(crate::store::StoreError::TimedOut);
        for shard in [Shard(0), Shard(1)] {
            signals.began(shard, &Checkpoint::new(StreamIdentity(1)), Asides::default());
        }
        signals.stumbled(Shard(1), &away, Duration::ZERO);
        signals.works(Shard(0));
        assert!(!health.ready());
        signals.works(Shard(1));
        assert!(health.ready());
    }
}
