//! How the shards are: as numbers that rise and fall, and as sentences of `/readyz`.

use std::collections::BTreeMap;

use broker::Lag;
use protocol::Timestamp;
use protocol::query::{LastSnapshot, LastVerify, SetAside};
use protocol::subject::Shard;
use service::metrics::{Gauge, GaugeBy, GaugeOnceKnown, Label, Registry};

use crate::store::Asides;

/// From this lag on, in seconds, `/readyz` warns.
const LAG_WARNING_S: u64 = 60;

/// How the shards are: numbers that rise and fall.
pub struct StateSignals {
    pub shards: Gauge,
    pub lag_events: GaugeOnceKnown,
    pub lag_seconds: GaugeOnceKnown,
    pub shard_lag_events: GaugeBy,
    pub shard_lag_seconds: GaugeBy,
    pub verified_at: Gauge,
    pub different: Gauge,
    pub snapshot_at: GaugeOnceKnown,
    pub backup_at: GaugeOnceKnown,
    pub oldest_aside_at: GaugeOnceKnown,
    pub set_aside_now: GaugeBy,
    pub log_missing: GaugeBy,
    pub erasures_waiting: GaugeBy,
    pub expiries_waiting: GaugeBy,
}

/// What is known of a shard.
#[derive(Debug, Default, Clone)]
pub struct ShardView {
    /// Whether this worker is the one that applies it.
    pub is_own: bool,
    /// `None` until the database was read, here and below.
    pub asides: Option<Asides>,
    pub lag: Option<Lag>,
    /// Within: `None` when there never was one, here and below.
    pub verified: Option<Option<LastVerify>>,
    pub snapshot: Option<Option<LastSnapshot>>,
    pub backup: Option<Option<Timestamp>>,
    pub missing: Option<String>,
    pub not_erased: Option<String>,
    pub stopped: Option<String>,
    pub makes_layout: Option<String>,
}

impl StateSignals {
    pub fn new(registry: &Registry) -> Self {
        Self {
            shards: registry.gauge("shards", "Shards that this worker applies; the other workers apply the rest"),
            lag_events: registry.gauge_once_known(
                "lag_events",
                "Entries of the log that are not applied, of the shards that this worker applies; no series while it is not known of each",
            ),
            lag_seconds: registry.gauge_once_known(
                "lag_seconds",
                "Age of the oldest event that is not applied, of the worst shard; no series while it is not known of all",
            ),
            shard_lag_events: registry.gauge_by(
                "shard_lag_events",
                "Entries of the shard's log that are not applied; no series while it is not known",
                Label::shard(),
            ),
            shard_lag_seconds: registry.gauge_by(
                "shard_lag_seconds",
                "Age of the shard's oldest event that is not applied; no series while it is not known",
                Label::shard(),
            ),
            verified_at: registry.gauge(
                "verified_timestamp_seconds",
                "When a shard was last compared with its log in full, by whichever worker or an operator, of the one where that is longest ago; 0: not yet",
            ),
            different: registry.gauge(
                "verify_different",
                "Places in which the history was not what the log says, when each shard was last compared",
            ),
            snapshot_at: registry.gauge_once_known(
                "snapshot_timestamp_seconds",
                "When the history was last given to somebody who keeps it, by any worker, of the shard where that is longest ago; 0: never",
            ),
            backup_at: registry.gauge_once_known(
                "backup_timestamp_seconds",
                "When the last backup of everything was finished; 0: never",
            ),
            oldest_aside_at: registry.gauge_once_known(
                "set_aside_oldest_timestamp_seconds",
                "When the oldest entry that can't be applied was stored; 0: there is none",
            ),
            set_aside_now: registry.gauge_by(
                "set_aside_now",
                "Entries of the shard's log that are set aside, whichever worker did it; looked at once a minute",
                Label::shard(),
            ),
            log_missing: registry.gauge_by(
                "log_missing_events",
                "Entries that the log lost before they were applied: erased at its beginning, or older than it keeps",
                Label::shard(),
            ),
            erasures_waiting: registry.gauge_by(
                "erasures_waiting",
                "Texts and rooms that must go from the shard's log and are still there; looked at once a minute",
                Label::shard(),
            ),
            expiries_waiting: registry.gauge_by(
                "expiries_waiting",
                "Times that a room's log says what has expired, of which something is still there; looked at once a minute",
                Label::shard(),
            ),
        }
    }

    /// What is counted of all shards together, as far as it is known of all.
    pub fn count(&self, shards: &BTreeMap<Shard, ShardView>) {
        let own = || shards.values().filter(|view| view.is_own);
        self.shards.set(i64::try_from(own().count()).unwrap_or(i64::MAX));
        match own().map(|view| view.lag).collect::<Option<Vec<_>>>() {
            Some(lags) => self.lag_events.set(lags.iter().map(|lag| lag.entries).sum()),
            None => self.lag_events.unset(),
        }
        match of_all(shards, |view| view.lag) {
            Some(lags) => self.lag_seconds.set(lags.iter().map(|lag| lag.seconds).max().unwrap_or(0)),
            None => self.lag_seconds.unset(),
        }
        if let Some(snapshots) = of_all(shards, |view| view.snapshot) {
            self.snapshot_at.set(first_second(snapshots.into_iter().map(|last| last.map(|last| last.at))));
        }
        if let Some(backups) = of_all(shards, |view| view.backup) {
            self.backup_at.set(backups.into_iter().flatten().map(second).max().unwrap_or(0));
        }
        if let Some(asides) = of_all(shards, |view| view.asides.as_ref()) {
            let oldest = asides.into_iter().filter_map(|asides| asides.oldest.as_ref());
            self.oldest_aside_at.set(first_second(oldest.map(|aside| Some(aside.at))));
        }
        let verified = || shards.values().map(|view| view.verified.flatten());
        let verified_at = first_second(verified().map(|last| last.map(|last| last.at)));
        self.verified_at.set(i64::try_from(verified_at).unwrap_or(i64::MAX));
        let different = verified().flatten().map(|last| last.different).sum::<u64>();
        self.different.set(i64::try_from(different).unwrap_or(i64::MAX));
    }
}

impl ShardView {
    /// How it is, with the ages of now: what is not known yet is left out.
    pub fn says(&self, shard: Shard, now: Timestamp) -> String {
        let mut says = Vec::new();
        says.extend(self.lag.map(|lag| match lag {
            Lag { entries: 0, .. } => "nothing behind the log".to_owned(),
            Lag { entries, seconds } => {
                format!("{entries} entries behind the log, the oldest of {seconds} s ago")
            }
        }));
        if let Some(Asides { count, oldest: Some(oldest), .. }) = &self.asides {
            says.push(format!("{count} events set aside, the oldest of {} ago", oldest.at.age(now)));
        }
        says.extend(self.snapshot.map(|last| match last {
            None => "last snapshot never".to_owned(),
            Some(last) => format!("last snapshot {} ago", last.at.age(now)),
        }));
        says.extend(self.verified.map(|last| match last {
            None => "never compared with the log".to_owned(),
            Some(last) => format!(
                "compared with the log {} ago: {} rooms, {} differ",
                last.at.age(now),
                last.rooms,
                last.different_rooms
            ),
        }));
        format!("shard {}: {}", shard.0, says.join(", "))
    }

    pub fn warnings(&self, shard: Shard) -> Vec<String> {
        let mut warnings: Vec<_> = self.missing.clone().into_iter().collect();
        if let Some(why) = &self.not_erased {
            warnings
                .push(format!("shard {}: texts of deleted messages are still in the log: {why}", shard.0));
        }
        if let Some(Asides { count, last: Some(SetAside { seq, reason, .. }), .. }) = &self.asides {
            let events = if *count == 1 { "event" } else { "events" };
            warnings.push(format!(
                "shard {}: {count} {events} set aside, the last one: seq {seq}: {reason}",
                shard.0
            ));
        }
        if let Some(last) = self.verified.flatten().filter(|last| last.different > 0) {
            warnings.push(format!(
                "shard {}: the history differed from the log in {} places at {}",
                shard.0, last.different, last.at
            ));
        }
        if let Some(Lag { entries, seconds }) = self.lag.filter(|lag| lag.seconds >= LAG_WARNING_S) {
            warnings.push(format!(
                "shard {}: {entries} entries behind the log, the oldest of {seconds} s ago",
                shard.0
            ));
        }
        warnings
    }
}

/// The first of these times in seconds since 1970; 0 when there is none, or one of them never came.
fn first_second(times: impl Iterator<Item = Option<Timestamp>>) -> u64 {
    times.map(|at| at.map_or(0, second)).min().unwrap_or(0)
}

/// In seconds since 1970.
fn second(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis() / 1_000).unwrap_or(0)
}

/// What is known of every shard; `None` while it is not known of one.
fn of_all<'a, T>(
    shards: &'a BTreeMap<Shard, ShardView>,
    known: impl Fn(&'a ShardView) -> Option<T>,
) -> Option<Vec<T>> {
    shards.values().map(known).collect()
}
