//! How far an index is behind the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use broker::Lag;
use protocol::Timestamp;
use protocol::search::SearchShard;
use protocol::subject::Shard;

use crate::checkpoint::Point;

/// With so many seconds of lag an index has everything, as people see it.
const COMPLETE_S: u64 = 10;

/// How far an index is, in each shard.
pub struct Progress {
    shards: Mutex<BTreeMap<Shard, OfShard>>,
    count: usize,
    /// It was empty when it was opened.
    began_empty: bool,
}

#[derive(Debug, Clone, Copy)]
struct OfShard {
    point: Point,
    /// The end of the log was seen since the index was opened.
    caught_up: bool,
    lag: Lag,
}

impl Progress {
    pub fn new(shards: u16, began_empty: bool) -> Self {
        Self { shards: Mutex::default(), count: shards.into(), began_empty }
    }

    /// A shard can be found up to here.
    pub fn reached(&self, shard: Shard, point: Point, is_end: bool) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = Lag::default();
        let known = shards.entry(shard).or_insert(OfShard { point, caught_up: false, lag });
        known.point = point;
        known.caught_up |= is_end;
    }

    pub fn lags(&self, shard: Shard, lag: Lag) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shards.get_mut(&shard) {
            known.lag = lag;
        }
    }

    pub fn applied(&self, shard: Shard) -> Option<u64> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.get(&shard).map(|known| known.point.applied)
    }

    /// When the broker had stored the newest entry in the index.
    pub fn newest(&self) -> Timestamp {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.values().map(|known| known.point.at).max().unwrap_or(Timestamp::from_millis(0))
    }

    /// Sequences of all shards together.
    pub fn done(&self) -> u64 {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.values().map(|known| known.point.applied).sum()
    }

    /// Whether the end of every shard's log was seen.
    pub fn caught_up(&self) -> bool {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.len() >= self.count && shards.values().all(|known| known.caught_up)
    }

    pub fn is_rebuilding(&self) -> bool {
        self.began_empty && !self.caught_up()
    }

    /// Whether everything can be found that was in the log a moment ago.
    pub fn is_complete(&self) -> bool {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let is_near = |known: &OfShard| known.caught_up && known.lag.seconds <= COMPLETE_S;
        shards.len() >= self.count && shards.values().all(is_near)
    }

    pub fn told(&self) -> Vec<SearchShard> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let told = shards.iter().map(|(shard, known)| SearchShard {
            shard: *shard,
            stream: known.point.stream,
            applied: known.point.applied,
            lag_entries: known.lag.entries,
            lag_seconds: known.lag.seconds,
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::StreamIdentity;

    #[test]
    fn an_index_is_complete_when_every_shard_is() {
        let progress = Progress::new(2, true);
        let point = Point::beginning(StreamIdentity(1));
        progress.reached(Shard(0), point, true);
        assert!(!progress.is_complete() && progress.is_rebuilding());
        progress.reached(Shard(1), point, false);
        assert!(!progress.caught_up());
        progress.reached(Shard(1), point, true);
        assert!(progress.is_complete() && !progress.is_rebuilding());
        progress.lags(Shard(1), Lag { entries: 1, seconds: 11 });
        assert!(!progress.is_complete() && !progress.is_rebuilding());
    }
}
