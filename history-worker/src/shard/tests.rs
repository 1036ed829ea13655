use std::time::Duration;

use protocol::{Event, MessageId, SealedEvent, UserId};
use service::health::Health;
use service::metrics::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::boxes::boxed;
use crate::edition::Edition;

#[path = "../../tests/all/nats.rs"]
#[expect(dead_code, reason = "the tests of the whole worker use more of it")]
mod nats;

const PART: Part = Part::whole();

struct Running {
    task: JoinHandle<Result<(), Error>>,
    stop: CancellationToken,
    progress: watch::Receiver<Option<Progress>>,
}

fn start(broker: &Broker, store: &Store) -> Running {
    start_with(broker, store, watch::channel(Share::ALL).1)
}

fn start_with(broker: &Broker, store: &Store, share: watch::Receiver<Share>) -> Running {
    let signals = Arc::new(Signals::new(&Health::new(), &Registry::new("history-worker")));
    let (progress, seen) = watch::channel(None);
    let to_erase = Arc::new(Notify::new());
    let (broker, store) = (broker.clone(), store.clone());
    let to_replay = Arc::new(Notify::new());
    let somebody_erased = Arc::default();
    let shard = Shard {
        part: PART,
        share,
        broker,
        store,
        signals,
        traces: Traces::off(),
        progress,
        to_erase,
        somebody_erased,
        to_replay,
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(shard.run(stop.clone()));
    Running { task, stop, progress: seen }
}

impl Running {
    async fn reaches(&mut self, seq: u64) {
        let there = self.progress.wait_for(|now| now.is_some_and(|now| now.applied >= seq));
        tokio::time::timeout(Duration::from_secs(30), there).await.expect("in time").expect("it runs");
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A log with one room in it, and an empty history.
struct Scene {
    broker: Broker,
    store: Store,
    room: RoomSlug,
    author: UserId,
    /// Where the room's creation is.
    created: u64,
    _nats: nats::Nats,
    _folder: TempDir,
}

impl Scene {
    async fn with_a_room() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = nats::Nats::start(&folder.path().join("nats"));
        let broker = nats.set_up(1).await;
        let address = format!("surrealkv://{}", folder.path().join("history").display()).parse().unwrap();
        let store = Store::open(&address).await.unwrap();
        let room = RoomSlug::parse("tea_x7qa").unwrap();
        let author = UserId::new();
        let mut scene = Self { broker, store, room, author, created: 0, _nats: nats, _folder: folder };
        let name = boxed(MessageId::new(), "Tea");
        scene.created = scene.post(&Event::Created { id: MessageId::new(), author, name }).await;
        scene
    }

    async fn say(&self, text: &str) -> u64 {
        let id = MessageId::new();
        self.post(&Event::Message { id, author: self.author, body: boxed(id, text) }).await
    }

    async fn post(&self, event: &SealedEvent) -> u64 {
        let subject = PART.shard.log(&self.room);
        self.broker.publish(subject, &event.id().to_string(), event.encode().into()).await.unwrap().seq
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_of_one_database_apply_each_event_once_and_one_takes_over_from_the_other() {
    let scene = Scene::with_a_room().await;
    let Scene { broker, store, room, .. } = &scene;
    let mut log = vec![scene.created];
    let mut workers = vec![start(broker, store), start(broker, store)];
    for round in 0..4 {
        for n in 0..100 {
            log.push(scene.say(&format!("{round}-{n}")).await);
        }
        for worker in &mut workers {
            worker.reaches(*log.last().unwrap()).await;
        }
        // Either of the two: at each round another one begins.
        workers.remove(0).stop().await;
        workers.push(start(broker, store));
    }
    for worker in workers {
        worker.stop().await;
    }
    let rows = store.rows(Edition { room, generation: 0 }, 1..10_000).await.unwrap();
    assert_eq!(rows.iter().map(|kept| kept.row.seq).collect::<Vec<_>>(), log);
    let checkpoint = store.checkpoint(PART).await.unwrap().unwrap();
    assert_eq!((checkpoint.applied, checkpoint.totals.events), (*log.last().unwrap(), log.len() as u64));
}

/// One worker of two, and where it is told which of the shards are its own.
struct Sharer {
    share: watch::Sender<Share>,
    running: Running,
}

impl Sharer {
    fn start(broker: &Broker, store: &Store, share: Share) -> Self {
        let (share, own) = watch::channel(share);
        Self { share, running: start_with(broker, store, own) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_handed_over_when_it_is_given_to_another_worker_and_taken_over_when_its_own_does_nothing()
{
    let scene = Scene::with_a_room().await;
    let Scene { broker, store, .. } = &scene;
    let mut first = Sharer::start(broker, store, Share::ALL);
    let mut second = Sharer::start(broker, store, Share::NONE);
    for text in ["a", "b", "c"] {
        let seq = scene.say(text).await;
        first.running.reaches(seq).await;
        second.running.reaches(seq).await;
    }
    let applied = async || store.checkpoint(PART).await.unwrap().unwrap().applied;
    // Handed over: nobody waits until the other one stands still.
    first.share.send_replace(Share::NONE);
    second.share.send_replace(Share::ALL);
    let told = Instant::now();
    let seq = scene.say("d").await;
    second.running.reaches(seq).await;
    assert!(told.elapsed() < STAND_BY_LOOK * STAND_BY_LOOKS, "{:?}", told.elapsed());
    // The one whose it is has died, and nobody says so.
    second.running.task.abort();
    let seq = scene.say("e").await;
    first.running.reaches(seq).await;
    assert_eq!(applied().await, seq);
    first.running.stop().await;
}
