//! How far the log is in the index. It is written with each commit of the index, so that both are always of one moment.

use std::collections::BTreeMap;

use broker::{Broker, Record};
use protocol::subject::Shard;
use protocol::{StreamIdentity, Timestamp};
use serde::{Deserialize, Serialize};

/// The format of the index. One of another format is made anew.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    format: u32,
    shards: BTreeMap<u16, Point>,
}

/// How far one shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Of which life of the stream the sequence is.
    pub stream: StreamIdentity,
    /// Everything up to here is in the index; 0 when nothing is.
    pub applied: u64,
    /// When the broker had stored that entry.
    pub at: Timestamp,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { format: FORMAT, shards: BTreeMap::new() }
    }
}

impl Checkpoint {
    /// Reads the payload of a commit; `None` when it is of another format.
    pub fn decode(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok().filter(|read: &Self| read.format == FORMAT)
    }

    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a checkpoint is plain JSON")
    }

    pub fn of(&self, shard: Shard) -> Option<Point> {
        self.shards.get(&shard.0).copied()
    }

    pub fn set(&mut self, shard: Shard, point: Point) {
        self.shards.insert(shard.0, point);
    }

    pub fn shards(&self) -> impl Iterator<Item = (Shard, Point)> {
        self.shards.iter().map(|(shard, point)| (Shard(*shard), *point))
    }
}

impl Point {
    pub const fn beginning(stream: StreamIdentity) -> Self {
        Self { stream, applied: 0, at: Timestamp::from_millis(0) }
    }

    pub const fn after(self, last: &Record) -> Self {
        Self { stream: self.stream, applied: last.seq, at: last.at }
    }

    /// Whether the log that is there now goes on from here.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn continues(self, broker: &Broker, shard: Shard) -> Result<bool, broker::Error> {
        let log = broker.stream(&shard.stream()).await?;
        if log.identity != self.stream || log.last_seq < self.applied {
            return Ok(false);
        }
        if self.applied == 0 {
            return Ok(true);
        }
        // It may have been erased meanwhile: then nothing is known against it.
        let there = broker.get(&shard.stream(), self.applied).await?;
        Ok(there.is_none_or(|there| there.at == self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_another_format_is_none() {
        let mut checkpoint = Checkpoint::default();
        checkpoint.set(Shard(3), Point { applied: 42, ..Point::beginning(StreamIdentity(7)) });
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Some(checkpoint.clone()));
        checkpoint.format += 1;
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), None);
        assert_eq!(Checkpoint::decode(""), None);
    }
}
