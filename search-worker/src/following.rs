//! One shard of the log, followed and read, for the one who writes the index.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Follower};
use keyring::Keyring;
use protocol::keys::Holder;
use protocol::subject::{self, Shard, Shards};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use traces::{Pending, Step, Traces};

use crate::checkpoint::Point;
use crate::index::Change;
use crate::names::Names;
use crate::reading::Reading;
use crate::signals::Signals;

/// Pause after the first stumble, in milliseconds. It doubles with each one.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 5_000;
/// Pause before erasures are followed again, when the broker failed.
const AGAIN: Duration = Duration::from_millis(500);

/// What the one who writes the index is given.
pub enum Piece {
    /// A part of a shard's log, up to this point, and whether nothing was stored behind it.
    Log { shard: Shard, point: Point, changes: Vec<Change>, indexing: Pending, is_end: bool },
    /// Everything of a person or a room was erased.
    Erased(Change),
    /// The log is not the one that is in the index.
    Parted(Shard),
}

/// What everything here works with.
#[derive(Clone)]
pub struct Ground {
    pub broker: Broker,
    pub keyring: Arc<Keyring>,
    pub names: Arc<Names>,
    pub signals: Arc<Signals>,
    pub traces: Traces,
    pub shards: Shards,
}

/// Why reading a shard ended.
enum Ended {
    /// Nobody takes the pieces any more, or the log is another one.
    ForGood,
    Stumbled(String),
}

impl From<broker::Error> for Ended {
    fn from(error: broker::Error) -> Self {
        Self::Stumbled(error.to_string())
    }
}

/// Reads a shard from behind a point on, until nobody takes the pieces any more.
pub async fn follow(ground: Ground, shard: Shard, from: Option<Point>, pieces: Sender<Piece>) {
    let mut point = from;
    let mut pause_ms = PAUSE_MS;
    loop {
        let before = point;
        match live(&ground, shard, &mut point, &pieces).await {
            Ended::ForGood => return,
            Ended::Stumbled(why) => ground.signals.stumbled(shard, &why),
        }
        pause_ms = if point == before { (pause_ms * 2).min(PAUSE_MS_MAX) } else { PAUSE_MS };
        sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn live(ground: &Ground, shard: Shard, point: &mut Option<Point>, pieces: &Sender<Piece>) -> Ended {
    let Err(ended) = try_live(ground, shard, point, pieces).await;
    ended
}

async fn try_live(
    ground: &Ground,
    shard: Shard,
    point: &mut Option<Point>,
    pieces: &Sender<Piece>,
) -> Result<std::convert::Infallible, Ended> {
    let broker = &ground.broker;
    let mut epoch = broker.connection().borrow().epoch;
    let (stream, all, live) = (shard.stream(), shard.log_all(), shard.live_all());
    let applied = point.map_or(0, |point| point.applied);
    let mut follower = Follower::start(broker, &stream, &all, &live, applied).await?;
    let mut now = point.unwrap_or_else(|| Point::beginning(follower.identity()));
    check(now, (broker, shard), pieces).await?;
    let reading = Reading { broker, keyring: &ground.keyring, shard };
    loop {
        let records = follower.next().await?;
        let mut indexing = Pending::default();
        for record in &records {
            indexing.add(record.seq, record.step(&ground.traces, shard, Step::Index));
        }
        // A server that comes back may hold another log.
        let seen = broker.connection().borrow().epoch;
        if seen != epoch {
            check(now, (broker, shard), pieces).await?;
            epoch = seen;
        }
        let read = reading.read(&records).await.map_err(|error| Ended::Stumbled(error.to_string()))?;
        ground.signals.reads(shard);
        ground.signals.read(records.len(), read.unreadable);
        now = records.last().map_or(now, |last| now.after(last));
        let (changes, is_end) = (read.changes, follower.at_end());
        let piece = Piece::Log { shard, point: now, changes, indexing, is_end };
        pieces.send(piece).await.map_err(|_| Ended::ForGood)?;
        *point = Some(now);
    }
}

async fn check(point: Point, (broker, shard): (&Broker, Shard), pieces: &Sender<Piece>) -> Result<(), Ended> {
    if point.continues(broker, shard).await? {
        return Ok(());
    }
    // Whoever does not take it any more needs not to know.
    let _ = pieces.send(Piece::Parted(shard)).await;
    Err(Ended::ForGood)
}

/// Follows erasures: keys and names are forgotten, and the index is told.
pub async fn follow_erasures(ground: Ground, pieces: Sender<Piece>) {
    loop {
        let (stream, all, live) = (subject::KEYS_STREAM, subject::ERASURES, subject::ERASURES_LIVE);
        if let Ok(mut follower) = Follower::start(&ground.broker, stream, all, live, 0).await {
            loop {
                match follower.next().await {
                    Ok(records) => {
                        for holder in records.iter().filter_map(|it| Holder::of_erasure(&it.subject)) {
                            if pieces.send(Piece::Erased(ground.forget(holder))).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(broker::Error::Setup(_)) => break,
                    Err(_) => sleep(AGAIN).await,
                }
            }
        }
        sleep(AGAIN).await;
    }
}

impl Ground {
    fn forget(&self, holder: Holder) -> Change {
        self.keyring.forget(&holder);
        match holder {
            Holder::Room(room) => Change::RemoveRoom(room),
            Holder::User(user) => {
                self.names.forget(user);
                Change::RemoveAuthor(user, None)
            }
        }
    }
}
