//! Whatever is under way when the worker is killed: what is served is right, and the next one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Broker;
use protocol::query::{AskPiece, AskReplay, HistoryAnswer, HistoryQuery, PageQuery, Replay, SnapshotPiece};
use protocol::subject::Shard;
use protocol::view::SealedRow;
use protocol::{MessageId, RoomSlug, SealedEvent, Target, UserId};
use tests::random::{Random, kills};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::expiring::expired;
use super::nats::Nats;
use super::replay::replayed;
use super::verify::{lived_in, verified};
use super::worker::{Worker, ask, created, deleted, eventually, message, page, post, room, target, whole};

const SHARD: Shard = Shard(0);
/// How many workers are killed, unless another number is asked for.
const KILLS: u64 = 16;
const MESSAGES: usize = 60;
/// A worker that was killed with a question in hand does not answer it.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is done to the history while people read it.
struct Scene {
    broker: Broker,
    random: Random,
    /// A room that loses its beginning again and again, and its messages.
    short: (RoomSlug, Vec<Target>),
}

impl Scene {
    async fn say(&self, room: &RoomSlug) -> Vec<Target> {
        let mut targets = Vec::new();
        for number in 0..MESSAGES {
            let said = message(&format!("{room} {number}"));
            targets.push(target(&said, post(&self.broker, SHARD, room, &said).await));
        }
        targets
    }

    /// Begins something that takes a while, by turns in any order.
    async fn begins(&mut self, round: u64, beside: &mut JoinSet<()>) {
        match self.random.between(0, 5) {
            0 => {
                let anew = HistoryQuery::Replay(AskReplay::Begin(Replay::Shard));
                let broker = self.broker.clone();
                beside.spawn(async move { drop(ask(&broker, SHARD, &anew).await) });
            }
            1 => drop(beside.spawn(a_snapshot_that_may_end(self.broker.clone()))),
            2 => {
                let gone = room(&format!("gone_{round}"));
                post(&self.broker, SHARD, &gone, &created()).await;
                self.say(&gone).await;
                let erased = SealedEvent::RoomErased { id: MessageId::new(), author: UserId::new() };
                post(&self.broker, SHARD, &gone, &erased).await;
            }
            3 => {
                let fresh = self.say(&self.short.0.clone()).await;
                self.short.1.extend(fresh);
                let place = self.random.index(self.short.1.len());
                let target = self.short.1[place];
                post(&self.broker, SHARD, &self.short.0, &expired(target)).await;
            }
            _ => {
                let thinned = room(&format!("thinned_{round}"));
                post(&self.broker, SHARD, &thinned, &created()).await;
                for target in self.say(&thinned).await.iter().step_by(2) {
                    post(&self.broker, SHARD, &thinned, &deleted(*target, "whatever it was")).await;
                }
            }
        }
    }
}

async fn a_snapshot_that_may_end(broker: Broker) {
    let Ok(HistoryAnswer::Snapshot { pieces, .. }) = ask(&broker, SHARD, &HistoryQuery::Snapshot).await
    else {
        return;
    };
    for piece in 0.. {
        let asked = broker.ask_for_bytes(pieces.clone(), &AskPiece { piece }, Duration::from_secs(2)).await;
        match asked.map(|answer| SnapshotPiece::decode(&answer)) {
            Ok(Some(SnapshotPiece::Lines(_))) => {}
            _ => return,
        }
    }
}

/// Reads two rooms as long as there is somebody who answers: one to which nothing happens must be as it was, of the other nothing may
/// be missing in between, and nothing may come back.
async fn reads(broker: Broker, quiet: Vec<SealedRow>, short: RoomSlug, stop: Arc<AtomicBool>) -> u64 {
    let (mut answers, mut began) = (0, 0);
    let query = |room: &RoomSlug| {
        HistoryQuery::Page(PageQuery { room: room.clone(), before: u64::MAX, limit: 100, at_least: 0 })
    };
    let asked = async |query: &HistoryQuery| broker.ask(SHARD.history_queries(), query, PATIENCE).await;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(HistoryAnswer::Page(page)) = asked(&query(&room("quiet"))).await {
            let is_same = page.rows == quiet || page.rows == without_gone(&quiet);
            assert!(is_same, "another history is served: {:?}", page.rows);
            answers += 1;
        }
        if let Ok(HistoryAnswer::Page(page)) = asked(&query(&short)).await
            && let (0, Some(first)) = (page.prev, page.rows.first())
        {
            assert!(first.seq >= began, "what has expired is there again: {} before {began}", first.seq);
            began = first.seq;
        }
        sleep(Duration::from_millis(5)).await;
    }
    answers
}

/// A room that was made anew has no rows for messages that were deleted.
fn without_gone(rows: &[SealedRow]) -> Vec<SealedRow> {
    rows.iter().filter(|row| row.what != protocol::view::What::Erased).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_under_way_when_it_is_killed_the_history_that_is_served_is_right() {
    let seed = Random::any_seed();
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let history = folder.path().join("history");
    let worker = Worker::start(&nats, &history);
    let (last, _) = lived_in(&broker, &room("quiet")).await;
    let short = room("short");
    post(&broker, SHARD, &short, &created()).await;
    let newest = PageQuery { room: room("quiet"), before: u64::MAX, limit: 100, at_least: last };
    let quiet = page(&broker, SHARD, &newest).await.rows;
    worker.kill();

    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(reads(broker.clone(), quiet, short.clone(), Arc::clone(&stop)));
    let mut scene =
        Scene { broker: broker.clone(), random: Random::seeded(seed), short: (short.clone(), Vec::new()) };
    for round in 0..kills(KILLS) {
        let worker = Worker::start(&nats, &history);
        if scene.random.between(0, 4) > 0 {
            worker.ready().await;
        }
        let mut beside = JoinSet::new();
        scene.begins(round, &mut beside).await;
        scene.begins(round + 1_000, &mut beside).await;
        sleep(Duration::from_millis(scene.random.between(0, 500))).await;
        worker.kill();
    }
    let worker = Worker::start(&nats, &history);
    let head = post(&broker, SHARD, &short, &message("the last")).await;
    let shown = whole(&broker, SHARD, &short, head).await;
    eventually("nothing is under way any more", async || {
        let right = verified(&broker).await;
        assert_eq!(right.different, 0, "seed {seed}: {right:?}");
        let erased = SHARD.log(&room("gone_0"));
        broker
            .read_after(&SHARD.stream(), &erased, 0, 10)
            .await
            .is_ok_and(|left| left.records.len() <= 1)
            .then_some(())
    })
    .await;
    replayed(&broker, Replay::Shard).await;
    assert_eq!(verified(&broker).await.different, 0, "seed {seed}");
    assert_eq!(whole(&broker, SHARD, &short, head).await, shown, "seed {seed}");
    stop.store(true, Ordering::Relaxed);
    assert!(reading.await.unwrap() > 100, "it was read all the time");
    assert_eq!(worker.terminate().await, 0);
}
