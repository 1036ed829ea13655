//! Root keys in daily life: a new one takes over while people talk and services die, and what is erased stays unreadable.

use broker::Broker;
use protocol::frame::{Close, EventFrame, ResetReason};
use protocol::keys::{Erasure, Holder, KeyAdmin, KeyAdminAnswer, KeyName, KeyState};
use protocol::{RoomSlug, subject};
use sealing::{Root, RootSource, Roots};
use std::time::Duration;
use tests::eventually::eventually;
use tests::files::files_with;
use tests::heard::{Heard, bodies};
use tests::operator::{all_keys, ask, holder, settled, stores_a_key};
use tests::person::Person;
use tests::process::{Launch, built};
use tests::random::Random;
use tests::services::Services;
use tokio::time::sleep;

/// Keys beside those of the people in a test, so that a rotation takes long enough to be killed.
const MORE_KEYS: usize = 3_000;
/// Longest wait for a rotation to end.
const ROTATION: Duration = Duration::from_secs(60);

/// Services with a root key of their own.
struct Scene {
    services: Services,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn start(gateways: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sealing::store(folder.path(), &Root::random(1).unwrap()).unwrap();
        let roots = folder.path().to_string_lossy().into_owned();
        let settings = [("BACKCHAT_GATEWAY_ROOTS", &*roots), ("BACKCHAT_AUTH_SERVICE_ROOTS", &roots)];
        Self { services: Services::with(gateways, &settings).await, folder }
    }

    fn roots(&self) -> Roots {
        Roots::read(&RootSource::Folder(self.folder.path().to_owned())).unwrap()
    }

    fn newest(&self) -> u16 {
        self.roots().newest().version()
    }
}

#[tokio::test]
async fn a_rotation_under_load_survives_kills_and_then_the_old_root_key_opens_nothing() {
    let mut scene = Scene::start(1).await;
    let ann = Person::arrives(&scene.services.address(0), "Ann").await;
    let room = ann.creates("Rotated").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("under the first").await;
    let broker = scene.services.nats.connect().await;
    let old = scene.roots();
    for _ in 0..MORE_KEYS {
        stores_a_key(&broker, &old).await;
    }
    let before = all_keys(&broker).await;
    sealing::store(scene.folder.path(), &Root::random(2).unwrap()).unwrap();
    assert!(matches!(ask(&broker, &KeyAdmin::Rotate).await, Ok(KeyAdminAnswer::Started)));

    let mut random = Random::seeded(7);
    let mut said = vec!["under the first".to_owned()];
    for round in 0..6 {
        sleep(Duration::from_millis(random.between(0, 120))).await;
        scene.services.auth.kill();
        said.push(format!("round {round}"));
        socket.say(&said[said.len() - 1]).await;
        // Whoever comes back finishes what was begun, unasked.
        scene.services.auth.start().await;
    }
    let ended = eventually("everything is under the second root key", ROTATION, || settled(&broker, 2)).await;
    assert_eq!(ended.roots, [1, 2]);
    assert_eq!(ended.under[0].keys, before.len() as u64, "none is lost, none is there twice");
    for (subject, state) in &before {
        let KeyState::Wrapped { key } = state else { panic!("{subject} was a key") };
        let opened = scene.roots().unwrap(subject, key);
        assert!(opened.is_ok(), "an old copy opens as long as the old root key is there");
    }
    // The old root key is destroyed.
    std::fs::remove_file(scene.folder.path().join("root-1")).unwrap();
    let now = scene.roots();
    assert!(before.iter().all(|(subject, state)| match state {
        KeyState::Wrapped { key } => now.unwrap(subject, key).is_err(),
        KeyState::Erased { .. } => false,
    }));
    scene.services.auth.kill();
    scene.services.auth.start().await;
    let fresh = scene.services.add_gateway().await;
    let address = scene.services.address(fresh);
    let view = ann.through(&address).opens(&room).await;
    assert_eq!(view.messages(), said);
    let ben = Person::arrives(&address, "Ben").await;
    ben.joins(&room).await;
    socket.say("to Ben").await;
    assert!(ben.opens(&room).await.messages().contains(&"to Ben".to_owned()));

    let alone = tempfile::tempdir().unwrap();
    sealing::store(alone.path(), old.newest()).unwrap();
    let launch = Launch::new(&built("gateway"), alone.path())
        .set("BACKCHAT_GATEWAY_NATS_URL", scene.services.nats.url())
        .set("BACKCHAT_GATEWAY_LISTEN", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_OPERATIONS", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_ROOTS", alone.path().to_string_lossy());
    let ended = launch.to_the_end(Duration::from_secs(60)).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("root key 2 is missing"), "{}", ended.output);
}

#[tokio::test]
async fn an_erased_person_is_read_by_nobody_and_the_others_are() {
    let mut scene = Scene::start(2).await;
    let ann = Person::arrives(&scene.services.address(0), "Ann").await;
    let ben = Person::arrives(&scene.services.address(1), "Ben").await;
    let room = ann.creates("Erased").await;
    ben.joins(&room).await;
    let mut anns = ann.connects(&room).await;
    let mut bens = ben.connects(&room).await;
    anns.caught_up().await;
    bens.caught_up().await;
    anns.say("hers").await;
    bens.say("his").await;
    assert_eq!(bens.messages(2).await, ["hers", "his"]);
    let broker = scene.services.nats.connect().await;
    let log = protocol::subject::Shard(0).log(&RoomSlug::parse(&room).unwrap());
    let created = broker.read_after("CHAT_0", &log, 0, 1).await.unwrap();
    let created = protocol::SealedEvent::decode(&created.records[0].payload).unwrap();
    let holder = Holder::User(created.author());
    let key = KeyName { holder: holder.clone(), generation: 1 }.subject();
    let record = broker.last(subject::KEYS_STREAM, &key).await.unwrap().unwrap();
    let wrapped = String::from_utf8(record.payload.to_vec()).unwrap();

    let erased = ask(&broker, &KeyAdmin::Erase { holder: holder.clone() }).await.unwrap();
    assert_eq!(erased, KeyAdminAnswer::Erased { keys: 1 });
    bens.until(|heard| matches!(heard, Heard::Reset { reason: ResetReason::Erased }).then_some(())).await;
    let html = ben.get(&format!("/room/{room}/")).await.body;
    assert!(!html.contains("hers") && html.contains("data-kind=\"erased\""), "{html}");
    assert_eq!(ben.opens(&room).await.messages(), ["his"]);
    let store = scene.services.nats.folder().to_owned();
    assert!(
        files_with(&store, &[&wrapped[8..wrapped.len() - 2]]).is_empty(),
        "the broker's files have her key"
    );
    // Once more changes nothing, and a service that starts finds nothing left to do.
    let again = ask(&broker, &KeyAdmin::Erase { holder }).await.unwrap();
    assert_eq!(again, KeyAdminAnswer::Erased { keys: 0 });
    scene.services.auth.kill();
    scene.services.auth.start().await;
    let fresh = scene.services.add_gateway().await;
    let through = ben.through(&scene.services.address(fresh));
    let mut socket = through.connects(&room).await;
    socket.caught_up().await;
    let history = socket.whole_history(50).await;
    assert_eq!(bodies(&history), ["his"]);
    socket.say("goes on").await;
    assert_eq!(scene.services.gateways[fresh].metric("unopened_total").await, Some(0), "it is no alarm");
    let closed = ann.connects(&room).await.closed().await;
    assert_eq!(closed.code, Close::SessionEnded.code(), "she can say nothing any more");
}

/// What is done in one round of kills.
#[derive(Clone, Copy)]
enum Struck {
    Rotation,
    Erasure(usize),
}

/// Rounds of kills: half of them while a root key is replaced, half while a person is erased.
const ROUNDS: usize = 50;

#[tokio::test]
async fn a_kill_at_any_instant_of_a_rotation_or_an_erasure_leaves_nothing_half_done() {
    let mut scene = Scene::start(1).await;
    let address = scene.services.address(0);
    let ben = Person::arrives(&address, "Ben").await;
    let room = ben.creates("Struck").await;
    let mut socket = ben.connects(&room).await;
    socket.caught_up().await;
    let broker = scene.services.nats.connect().await;
    let mut people = Vec::new();
    for number in 0..ROUNDS / 2 {
        let person = Person::arrives(&address, &format!("Person {number}")).await;
        person.joins(&room).await;
        let mut hers = person.connects(&room).await;
        hers.caught_up().await;
        hers.say(&format!("text {number}")).await;
        people.push(holder(&broker, &person.name).await);
    }
    for _ in 0..100 {
        stores_a_key(&broker, &scene.roots()).await;
    }

    let mut random = Random::seeded(4);
    let mut destroyed = Vec::new();
    for round in 0..ROUNDS {
        let struck = if round % 2 == 0 { Struck::Rotation } else { Struck::Erasure(round / 2) };
        let (question, longest_ms) = match struck {
            Struck::Rotation => {
                let next = scene.newest() + 1;
                sealing::store(scene.folder.path(), &Root::random(next).unwrap()).unwrap();
                (KeyAdmin::Rotate, 400)
            }
            Struck::Erasure(number) => {
                let key = KeyName { holder: people[number].clone(), generation: 1 }.subject();
                let record = broker.last(subject::KEYS_STREAM, &key).await.unwrap().unwrap();
                destroyed.push(String::from_utf8(record.payload.to_vec()).unwrap());
                (KeyAdmin::Erase { holder: people[number].clone() }, 60)
            }
        };
        let (asking, asked) = (broker.clone(), question.clone());
        // It may be killed before it answers.
        let answer = tokio::spawn(async move { ask(&asking, &asked).await.is_ok() });
        sleep(Duration::from_millis(random.between(0, longest_ms))).await;
        scene.services.auth.kill();
        socket.say(&format!("round {round}")).await;
        scene.services.auth.start().await;
        answer.abort();
        eventually("what was begun is finished", ROTATION, || async {
            let status = settled(&broker, scene.newest()).await;
            let erased = match struck {
                Struck::Rotation => true,
                Struck::Erasure(number) => is_erased(&broker, &people[number]).await,
            };
            if status.is_some() && !erased {
                // The request died with the service.
                let _ = ask(&broker, &question).await;
            }
            status.filter(|_| erased)
        })
        .await;
        let newest = scene.newest();
        for older in scene.roots().versions().into_iter().filter(|version| *version < newest) {
            std::fs::remove_file(scene.folder.path().join(format!("root-{older}"))).unwrap();
        }
        // Whoever is not erased is read with the newest root key alone.
        let roots = scene.roots();
        for (subject, state) in all_keys(&broker).await {
            if let KeyState::Wrapped { key } = state {
                assert!(roots.unwrap(&subject, &key).is_ok(), "round {round}: {subject} is closed");
            }
        }
    }
    let store = scene.services.nats.folder().to_owned();
    for wrapped in &destroyed {
        assert!(
            files_with(&store, &[&wrapped[8..wrapped.len() - 2]]).is_empty(),
            "the broker's files have an erased key"
        );
    }
    let fresh = scene.services.add_gateway().await;
    let mut socket = ben.through(&scene.services.address(fresh)).connects(&room).await;
    socket.caught_up().await;
    let rounds: Vec<_> = (0..ROUNDS).map(|round| format!("round {round}")).collect();
    assert_eq!(bodies(&socket.whole_history(100).await), rounds);
    let mut told = 0;
    let mut before = u64::MAX >> 1;
    loop {
        let (rows, more) = socket.rows(before, 100).await;
        told += rows.iter().filter(|row| matches!(row, EventFrame::UserErased(_))).count();
        match rows.first() {
            Some(first) if more => before = tests::heard::Seen::from(first.clone()).seq,
            _ => break,
        }
    }
    assert_eq!(told, people.len(), "each is told once");
}

async fn is_erased(broker: &Broker, holder: &Holder) -> bool {
    let written = broker.last_confirmed(subject::KEYS_STREAM, &holder.erasure_subject()).await.unwrap();
    written.and_then(|record| Erasure::decode(&record.payload)).is_some_and(|erasure| erasure.done)
}
