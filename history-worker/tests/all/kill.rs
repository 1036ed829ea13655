use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Broker;
use protocol::RoomSlug;
use protocol::subject::Shard;
use tests::random::Random;

use super::nats::Nats;
use super::worker::{Worker, created, message, post, room, whole};

const SHARD: Shard = Shard(0);
const KILLS: u64 = 20;

type Log = BTreeMap<RoomSlug, Vec<u64>>;

/// Writes to three rooms, and now and then a copy or nonsense, until it is told to stop. Gives what the history must hold.
async fn write(broker: Broker, stop: Arc<AtomicBool>) -> Log {
    let rooms = ["tea", "chai", "coffee"].map(room);
    let mut log = Log::new();
    for room in &rooms {
        log.insert(room.clone(), vec![post(&broker, SHARD, room, &created()).await]);
    }
    let mut last = message("first");
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Slower than the worker, so that it is killed at the head of the log too.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let room = &rooms[n % 3];
        match n % 17 {
            5 => {
                let bad = broker.publish(SHARD.log(room), &format!("bad-{n}"), "{".into()).await.unwrap();
                log.get_mut(room).unwrap().push(bad.seq);
            }
            3 if n > 17 => {
                post(&broker, SHARD, &rooms[(n - 1) % 3], &last).await;
            }
            _ => {
                last = message(&format!("m-{n}"));
                let seq = post(&broker, SHARD, room, &last).await;
                log.get_mut(room).unwrap().push(seq);
            }
        }
    }
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_instant_applies_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let history = folder.path().join("history");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(broker.clone(), Arc::clone(&stop)));
    // During the start, in the catching up, at the head.
    let seed = Random::any_seed();
    let mut random = Random::seeded(seed);
    for round in 0..KILLS {
        let worker = Worker::start(&nats, &history);
        if round % 4 != 0 {
            worker.ready().await;
        }
        tokio::time::sleep(Duration::from_millis(random.between(0, 400))).await;
        worker.kill();
    }
    stop.store(true, Ordering::Relaxed);
    let log = writing.await.unwrap();
    let events: usize = log.values().map(Vec::len).sum();
    assert!(events > 500, "only {events} events were written while {KILLS} workers were killed");
    let head = *log.values().flatten().max().unwrap();
    let worker = Worker::start(&nats, &history);
    for (room, expected) in &log {
        let found = whole(&broker, SHARD, room, head).await;
        assert!(
            found == *expected,
            "{room}, seed {seed}: {} in the history, {} in the log",
            found.len(),
            expected.len()
        );
    }
    assert_eq!(worker.terminate().await, 0);

    let address = format!("surrealkv://{}", history.display()).parse().unwrap();
    let store = history_worker::store::Store::open(&address).await.unwrap();
    for (room, state) in store.rooms(log.keys()).await.unwrap() {
        assert_eq!((state.count, state.last_seq), (log[&room].len() as u64, *log[&room].last().unwrap()));
    }
}
