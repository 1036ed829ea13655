//! A history on a SurrealDB server, which several workers share, and everything that such a server can do to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Broker;
use history_worker::projection::Part;
use history_worker::store::Store;
use protocol::RoomSlug;
use protocol::query::{HistoryAnswer, HistoryQuery, PageQuery, Replay};
use protocol::subject::{Shard, Shards};
use tests::proxy::Proxy;
use tests::small_disk::SmallDisk;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::nats::Nats;
use super::replay::replayed;
use super::surreal::Surreal;
use super::verify::{lived_in, verified};
use super::worker::{Worker, ask, created, edited, eventually, message, post, room, target, whole};

const SHARD: Shard = Shard(0);
/// Another worker applies the log at latest so long after the one that did it has gone, or has stood still.
const TAKE_OVER: Duration = Duration::from_secs(15);

/// Two people who write and edit in a room until they are told to stop.
pub struct Chat {
    room: RoomSlug,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<u64>>,
}

impl Chat {
    pub fn begin(broker: &Broker, name: &str) -> Self {
        let (broker, room, stop) = (broker.clone(), room(name), Arc::new(AtomicBool::new(false)));
        let (of, stopped) = (room.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut rows = vec![post(&broker, SHARD, &of, &created()).await];
            while !stopped.load(Ordering::Relaxed) {
                let said = message("something to say");
                let seq = post(&broker, SHARD, &of, &said).await;
                rows.push(seq);
                post(&broker, SHARD, &of, &edited(target(&said, seq), "something else")).await;
                sleep(Duration::from_millis(5)).await;
            }
            rows
        });
        Self { room, stop, task }
    }

    /// Ends it, and looks whether the history has all of it, each event once.
    pub async fn end(self, broker: &Broker) {
        self.stop.store(true, Ordering::Relaxed);
        let rows = self.task.await.unwrap();
        let (count, last) = (rows.len(), *rows.last().unwrap());
        assert!(count > 100, "only {count} messages");
        applied(broker, last).await;
        let found = whole(broker, SHARD, &self.room, last).await;
        assert!(found == rows, "{} rows for {count} messages", found.len());
        let verified = eventually("it can be compared", async || {
            let query = HistoryQuery::Verify(protocol::query::Verify::Room(self.room.clone()));
            match ask(broker, SHARD, &query).await {
                Ok(HistoryAnswer::Verified(verified)) if verified.next.is_none() => Some(verified),
                _ => None,
            }
        })
        .await;
        assert_eq!((verified.rows, verified.different), (count as u64, 0), "{verified:?}");
    }
}

/// Waits until the history has come to a sequence; gives the time that this took.
async fn applied(broker: &Broker, seq: u64) -> Duration {
    let began = Instant::now();
    let query = PageQuery { room: room("nowhere"), before: u64::MAX, limit: 1, at_least: seq };
    eventually("the history comes so far", async || {
        let answer = ask(broker, SHARD, &HistoryQuery::Page(query.clone())).await;
        matches!(answer, Ok(HistoryAnswer::Page(_))).then_some(())
    })
    .await;
    began.elapsed()
}

/// What is stored now, in the history.
pub async fn caught_up(broker: &Broker) -> Duration {
    let head = broker.stream(&SHARD.stream()).await.unwrap().last_seq;
    applied(broker, head).await
}

/// Waits until the database says that the log is applied so far; gives the time that this took.
async fn checkpoint_at(store: &Store, seq: u64) -> Duration {
    let (began, part) = (Instant::now(), Part::whole());
    eventually("the checkpoint comes so far", async || {
        let now = store.checkpoint(part).await.unwrap();
        now.is_some_and(|now| now.applied >= seq).then_some(())
    })
    .await;
    began.elapsed()
}

/// What a worker counts, without labels.
async fn counted(worker: &Worker, name: &str) -> Option<u64> {
    let (_, metrics) = worker.get("/metrics").await;
    let start = format!("backchat_history_worker_{name} ");
    metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

/// How many events a worker has applied.
async fn count(worker: &Worker) -> u64 {
    counted(worker, "applied_events_total").await.unwrap_or(0)
}

/// A network that can be hurt between workers and a server, and the history's address behind it.
async fn network_before(server: &Surreal) -> (Proxy, String) {
    let direct = format!("127.0.0.1:{}", server.port());
    let network = Proxy::to(&direct).await;
    let address = server.address("history").replace(&direct, network.address());
    (network, address)
}

/// Which of two workers applies the log now.
async fn active(workers: &[Worker; 2]) -> usize {
    eventually("one of them applies the log", async || {
        let before = [count(&workers[0]).await, count(&workers[1]).await];
        sleep(Duration::from_millis(300)).await;
        let after = [count(&workers[0]).await, count(&workers[1]).await];
        match [after[0] > before[0], after[1] > before[1]] {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_one_applies_and_the_other_takes_over_when_it_is_killed_or_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let address = server.address("history");
    let start = || Worker::start_with(&nats, &address);
    let store = Store::open(&address.parse().unwrap()).await.unwrap();
    let mut workers = [start(), start()];
    for worker in &workers {
        worker.ready().await;
    }
    let chat = Chat::begin(&broker, "tea");
    for round in 0..4 {
        let active = active(&workers).await;
        if round % 2 == 0 {
            std::mem::replace(&mut workers[active], start()).kill();
        } else {
            workers[active].pause();
        }
        let took = checkpoint_at(&store, broker.stream(&SHARD.stream()).await.unwrap().last_seq).await;
        assert!(took < TAKE_OVER, "round {round}: {took:?}");
        // Either of them answers questions; one that stands still lets its asker wait.
        caught_up(&broker).await;
        if round % 2 == 1 {
            // What it had in hand is what another has applied meanwhile.
            workers[active].resume();
        }
    }
    chat.end(&broker).await;
    for worker in workers {
        assert_eq!(worker.terminate().await, 0);
    }
}

/// Under which generation the rows of the room are that are read.
async fn generation(store: &Store) -> u64 {
    store.rooms([&room("tea")]).await.unwrap()[&room("tea")].generation
}

/// In a quiet shard several workers are as far as each other: none of them may write behind what another has made anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_makes_anew_another_one_goes_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let address = server.address("history");
    let workers = [Worker::start_with(&nats, &address), Worker::start_with(&nats, &address)];
    for worker in &workers {
        worker.ready().await;
    }
    let store = Store::open(&address.parse().unwrap()).await.unwrap();
    let (mut last, _) = lived_in(&broker, &room("tea")).await;
    for round in 0..5 {
        applied(&broker, last).await;
        // So long that whoever stands by thinks that nobody applies the log.
        sleep(Duration::from_millis(4_500)).await;
        let ended = replayed(&broker, Replay::Shard).await;
        assert_eq!((ended.rooms, ended.left), (1, 0));
        let made = generation(&store).await;
        for text in ["at once", "and again"] {
            last = post(&broker, SHARD, &room("tea"), &message(text)).await;
        }
        applied(&broker, last).await;
        assert_eq!(
            generation(&store).await,
            made,
            "round {round}: somebody wrote behind what was read before"
        );
        let verified = verified(&broker).await;
        assert_eq!(verified.different, 0, "round {round}: {verified:?}");
    }
    for worker in workers {
        assert_eq!(worker.terminate().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_or_stands_still_is_named_and_waited_for_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let store = folder.path().join("surreal");
    let mut server = Surreal::start(&store).await;
    let worker = Worker::start_with(&nats, &server.address("history"));
    worker.ready().await;
    let chat = Chat::begin(&broker, "tea");
    caught_up(&broker).await;
    for _ in 0..2 {
        server.kill();
        eventually("the worker says that the database is away", async || {
            let (status, health) = worker.get("/readyz").await;
            (status == 503 && health.contains("database")).then_some(())
        })
        .await;
        server = Surreal::start_on(&store, server.port());
        caught_up(&broker).await;
        worker.ready().await;
        // Longer than the worker's token is good for.
        sleep(Duration::from_secs(2)).await;
    }
    server.pause();
    eventually("the worker says that the database does not answer", async || {
        let (status, health) = worker.get("/readyz").await;
        (status == 503 && health.contains("did not answer in time")).then_some(())
    })
    .await;
    server.resume();
    caught_up(&broker).await;
    worker.ready().await;
    chat.end(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

/// As when the server's machine dies, or a firewall forgets: nothing is closed, nothing is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_silent_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let (network, address) = network_before(&server).await;
    let worker = Worker::start_with(&nats, &address);
    worker.ready().await;
    let chat = Chat::begin(&broker, "tea");
    caught_up(&broker).await;
    network.black_hole();
    sleep(Duration::from_millis(500)).await;
    // What was connected stays silent for ever.
    network.mend();
    let took = caught_up(&broker).await;
    assert!(took < TAKE_OVER, "{took:?}");
    network.cut_off();
    sleep(Duration::from_secs(1)).await;
    network.mend();
    let took = caught_up(&broker).await;
    assert!(took < TAKE_OVER, "{took:?}");
    chat.end(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

/// A page of 50 messages of the room in which people chat, as it is now.
async fn whole_page(broker: &Broker) -> Option<()> {
    let query = PageQuery { room: room("tea"), before: u64::MAX, limit: 50, at_least: 0 };
    match ask(broker, SHARD, &HistoryQuery::Page(query)).await {
        Ok(HistoryAnswer::Page(page)) => (page.rows.len() == 50).then_some(()),
        _ => None,
    }
}

/// It answers everything, but late; then so late that nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_slow_server_the_history_is_late_and_says_so_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let (network, address) = network_before(&server).await;
    let worker = Worker::start_with(&nats, &address);
    worker.ready().await;
    let chat = Chat::begin(&broker, "tea");
    caught_up(&broker).await;
    network.slow(Duration::from_millis(400));
    eventually("it is counted how far the history is behind", async || {
        (counted(&worker, "lag_events").await? > 20 && counted(&worker, "lag_seconds").await? >= 1)
            .then_some(())
    })
    .await;
    let (status, health) = worker.get("/readyz").await;
    assert_eq!(status, 200, "it works, if slowly: {health}");
    // What is there is served; whoever needs more is told how far it is, and reads the log.
    eventually("a page is served", async || whole_page(&broker).await).await;
    let head = broker.stream(&SHARD.stream()).await.unwrap().last_seq;
    let newest =
        HistoryQuery::Page(PageQuery { room: room("tea"), before: u64::MAX, limit: 50, at_least: head });
    let answer = ask(&broker, SHARD, &newest).await.unwrap();
    assert!(matches!(answer, HistoryAnswer::Behind { applied } if applied < head), "{answer:?}");

    network.slow(Duration::from_secs(15));
    eventually("the worker says that the database does not answer in time", async || {
        let (status, health) = worker.get("/readyz").await;
        (status == 503 && health.contains("did not answer in time")).then_some(())
    })
    .await;
    network.mend();
    // A connection whose answers are still on their way is one of before.
    caught_up(&broker).await;
    worker.ready().await;
    eventually("nothing is behind any more", async || {
        (counted(&worker, "lag_seconds").await? == 0).then_some(())
    })
    .await;
    chat.end(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_worker_itself_is_named_and_what_came_meanwhile_is_applied_when_there_is_room_again()
 {
    // A machine that lets nobody mount anything can't have such a disk.
    let Some(disk) = SmallDisk::of(128) else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &disk.path().join("history"));
    worker.ready().await;
    let chat = Chat::begin(&broker, "tea");
    eventually("there is a whole page", async || whole_page(&broker).await).await;
    disk.fill();
    eventually("the worker says that the database fails", async || {
        let (status, health) = worker.get("/readyz").await;
        (status == 503 && health.contains("database")).then_some(())
    })
    .await;
    // What is there is served all the same.
    assert_eq!(whole_page(&broker).await, Some(()));
    sleep(Duration::from_secs(2)).await;
    disk.free();
    caught_up(&broker).await;
    worker.ready().await;
    chat.end(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_server_is_named_and_what_came_meanwhile_is_applied_when_there_is_room_again() {
    // A machine that lets nobody mount anything can't have such a disk.
    let Some(disk) = SmallDisk::of(256) else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let store = disk.path().join("surreal");
    let mut server = Surreal::start(&store).await;
    let worker = Worker::start_with(&nats, &server.address("history"));
    worker.ready().await;
    let chat = Chat::begin(&broker, "tea");
    caught_up(&broker).await;
    disk.fill();
    eventually("the worker says that the database fails", async || {
        let (status, health) = worker.get("/readyz").await;
        (status == 503 && health.contains("database")).then_some(())
    })
    .await;
    disk.free();
    // A database whose log could not be written may need to be started again.
    server.kill();
    server = Surreal::start_on(&store, server.port());
    server.ready().await;
    caught_up(&broker).await;
    worker.ready().await;
    chat.end(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_must_mend_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let address = server.address("history");
    let wrong = address.replace("worker:worker", "worker:hunter2");
    let (code, said) = Worker::start_with(&nats, &wrong).exit().await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("refuses this user and password") && !said.contains("hunter2"), "{said}");
    let other = format!("1={address}");
    let (code, said) = Worker::start_with(&nats, &other).exit().await;
    assert!(code == 2 && said.contains("no database is named for shard 0"), "{said}");

    // A newer backchat gives the database another layout while this worker runs.
    let worker = Worker::start_with(&nats, &address);
    worker.ready().await;
    let (last, _) = lived_in(&broker, &room("tea")).await;
    applied(&broker, last).await;
    assert_eq!(verified(&broker).await.different, 0);
    server.asked("USE NS chat DB history; UPDATE meta:schema SET version += 1;").await;
    post(&broker, SHARD, &room("tea"), &message("after that")).await;
    let (code, said) = worker.exit().await;
    assert!(code != 0 && said.contains("has another layout now, of a newer backchat"), "{code}: {said}");
    let (code, said) = Worker::start_with(&nats, &address).exit().await;
    assert!(code == 2 && said.contains("use a newer backchat"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_spread_over_databases() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(4).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let databases = format!("0-1={},2-3={}", server.address("history"), server.address("more"));
    let worker = Worker::start_with(&nats, &databases);
    worker.ready().await;
    let mut rooms = Vec::new();
    for n in 0..12 {
        let room = room(&format!("room_{n}"));
        let shard = Shards::at_first(4).of(&room).unwrap();
        let created = post(&broker, shard, &room, &created()).await;
        let said = post(&broker, shard, &room, &message("hello")).await;
        rooms.push((shard, room, [created, said]));
    }
    for (shard, room, sequences) in &rooms {
        assert_eq!(whole(&broker, *shard, room, sequences[1]).await, sequences);
    }
    assert_eq!(worker.terminate().await, 0);
    for (database, shards) in [("history", 0..2), ("more", 2..4)] {
        let address = server.address(database).parse().unwrap();
        let store = Store::open(&address).await.unwrap();
        let held: Vec<_> = store.rooms_after(None).await.unwrap().into_iter().map(|(room, _)| room).collect();
        let mut expected: Vec<_> = rooms
            .iter()
            .filter(|(shard, ..)| shards.contains(&shard.0))
            .map(|(_, room, _)| room.clone())
            .collect();
        expected.sort();
        assert_eq!(held, expected, "{database}");
        assert!(!held.is_empty(), "{database}");
    }
}
