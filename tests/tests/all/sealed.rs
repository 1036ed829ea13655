//! Texts are sealed at rest: whoever has only the disks reads none, whoever tampers with them is noticed, and the root keys are
//! asked for with a sentence.

use broker::Broker;
use bytes::Bytes;
use protocol::frame::EventFrame;
use protocol::subject::Shard;
use protocol::{MessageId, RoomSlug};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::backchat::{Backchat, START, STOP};
use tests::backup::Backup;
use tests::eventually::{SOON, eventually};
use tests::files::files_with;
use tests::heard::bodies;
use tests::nats::Nats;
use tests::person::{Person, unique};
use tests::ports;
use tests::process::{Launch, Program, built};
use tests::room_page::RoomPage;
use tests::services::Services;
use tests::stored::worker_history;

/// Longest wait for a refusal to start.
const REFUSAL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_needle_is_in_no_file_and_on_every_page() {
    let mut backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Haystack").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let needles = [unique(), unique(), unique()].map(|random| format!("needle-{random}"));
    let [first, second, third] = &needles;
    let id = socket.send(first).await;
    socket.acknowledged(id).await;
    let change = socket.edit(id, second).await;
    socket.acknowledged(change).await;
    let reaction = socket.react(id, "🦩", true).await;
    socket.acknowledged(reaction).await;
    socket.say(third).await;
    let stored = worker_history(&backchat.broker().await, &room).await;
    assert_eq!(bodies(&stored), [second.as_str(), third], "the projection has it all");
    let restored = restored_elsewhere(&backchat).await;
    assert_eq!(backchat.terminate().await, 0);

    let sought: Vec<&str> = needles.iter().map(String::as_str).chain(["🦩"]).collect();
    assert_eq!(files_with(&backchat.data(), &sought), Vec::<PathBuf>::new());
    for needle in &sought {
        assert!(!backchat.log().contains(needle), "a log has {needle}");
    }
    // The search finds what is there in the clear.
    let broker_files = files_with(&backchat.data().join("broker"), &[&id.short()]);
    assert!(!broker_files.is_empty(), "the broker's files have the message's id");
    assert!(!files_with(&backchat.data().join("auth"), &["Ann"]).is_empty(), "a name is in the accounts");
    // A backup of every stream, unpacked by another broker, and an export of each database.
    assert_eq!(files_with(restored.folder(), &sought), Vec::<PathBuf>::new());
    assert!(!files_with(restored.folder(), &[&id.short()]).is_empty(), "the backups have the message's id");
    for (database, known) in [("history", id.to_string()), ("auth", ann.name.clone())] {
        let exported = exported(&backchat, database).await;
        assert!(exported.contains(&known), "the export of {database} has {known}: {exported}");
        for needle in &sought {
            let spelled = [needle.as_bytes(), data_encoding::HEXUPPER.encode(needle.as_bytes()).as_bytes()]
                .map(|spelled| exported.as_bytes().windows(spelled.len()).any(|part| part == spelled));
            assert_eq!(spelled, [false, false], "the export of {database} has {needle}");
        }
    }

    for made_anew in [false, true] {
        if made_anew {
            assert_eq!(backchat.terminate().await, 0);
            std::fs::remove_dir_all(backchat.data().join("history")).unwrap();
        }
        backchat.start_again().await;
        assert_eq!(ann.opens(&room).await.messages(), [second.as_str(), third]);
        assert!(ann.get(&format!("/room/{room}/")).await.body.contains("🦩"));
        let mut socket = ann.connects(&room).await;
        socket.caught_up().await;
        assert_eq!(bodies(&socket.whole_history(50).await), [second.as_str(), third]);
        let stored = worker_history(&backchat.broker().await, &room).await;
        assert_eq!(bodies(&stored), [second.as_str(), third], "made anew: {made_anew}");
    }
    assert_eq!(backchat.terminate().await, 0);
    assert_eq!(files_with(&backchat.data(), &sought), Vec::<PathBuf>::new());
}

/// A broker of its own with what a backup of every stream has.
async fn restored_elsewhere(backchat: &Backchat) -> Nats {
    let elsewhere = Nats::start().await;
    let (from, to) = (backchat.client().await, elsewhere.client().await);
    for stream in tests::backup::STREAMS {
        Backup::of(&from, stream).await.restore(&to).await;
    }
    elsewhere
}

/// What SurrealDB exports of one of the databases of a backchat that does not run.
async fn exported(backchat: &Backchat, database: &str) -> String {
    let folder = backchat.data().join(database);
    let export = Launch::new(&built("examples/export"), &backchat.data())
        .argument(folder.to_string_lossy())
        .argument("backchat")
        .argument(database);
    let ended = export.to_the_end(REFUSAL).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    std::fs::remove_file(&export.log).unwrap();
    ended.output
}

/// The events of a room's log as they are stored.
async fn entries(broker: &Broker, room: &str) -> Vec<Value> {
    let log = Shard(0).log(&RoomSlug::parse(room).unwrap());
    let batch = broker.read_after(&Shard(0).stream(), &log, 0, 1_000).await.unwrap();
    batch.records.iter().map(|record| serde_json::from_slice(&record.payload).unwrap()).collect()
}

/// Puts something into a room's log, as somebody can who has the broker.
async fn forge(broker: &Broker, room: &str, event: &Value) {
    let log = Shard(0).log(&RoomSlug::parse(room).unwrap());
    let payload = Bytes::from(serde_json::to_vec(event).unwrap());
    broker.publish(log, &MessageId::new().to_string(), payload).await.unwrap();
}

#[tokio::test]
async fn a_box_that_was_moved_or_altered_is_an_alarm_and_no_text() {
    let services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let (room, other) = (ann.creates("Forged").await, ann.creates("Elsewhere").await);
    ben.joins(&room).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("the first").await;
    let second = socket.say("the second").await;
    assert_eq!(socket.messages(2).await, ["the first", "the second"]);
    let page = RoomPage::open(&ben, &room).await;
    page.shows(&["the first", "the second"]).await;

    let broker = services.nats.connect().await;
    let log = entries(&broker, &room).await;
    let said: Vec<&Value> = log.iter().filter(|event| event["type"] == "message").collect();
    let bens = log.iter().find(|event| event["type"] == "joined" && event["author"] != said[0]["author"]);
    let bens = bens.unwrap()["author"].clone();
    let changed = |field: &str, value: Value| {
        let mut event = said[0].clone();
        event["id"] = json!(MessageId::new().short());
        event[field] = value;
        event
    };
    let mut altered: Vec<char> = said[0]["box"].as_str().unwrap().chars().collect();
    let middle = altered.len() / 2;
    altered[middle] = if altered[middle] == 'A' { 'B' } else { 'A' };
    let other_generation = format!("AQAB_wA{}", &said[0]["box"].as_str().unwrap()[7..]);
    let forgeries = [
        changed("v", json!(1)),
        changed("author", bens),
        changed("box", json!(altered.iter().collect::<String>())),
        changed("box", json!(other_generation)),
        {
            let target = json!({ "id": said[1]["id"], "author": said[1]["author"], "seq": second });
            let mut edit = changed("type", json!("edited"));
            edit["target"] = target;
            edit
        },
    ];
    for forgery in &forgeries {
        forge(&broker, &room, forgery).await;
        let frame = socket.frame().await;
        assert!(matches!(frame, EventFrame::Unopened(_)), "{forgery} was shown as {frame:?}");
    }
    socket.say("the third").await;
    assert_eq!(socket.message().await, "the third", "the rest is unharmed");
    let alarms = services.gateways[0].metric("unopened_total").await.unwrap();
    assert!(alarms >= forgeries.len() as u64, "{alarms}");

    // The page that was open, one that is opened now, and one from the history.
    let unopened =
        |rows: Vec<tests::room_page::Shown>| rows.iter().filter(|row| row.kind == "unopened").count();
    eventually("the open page shows five lines", SOON, || async {
        (unopened(page.rows().await) == 5).then_some(())
    })
    .await;
    page.browser.screenshot("unopened").await;
    page.shows_one("the third").await;
    worker_history(&broker, &room).await;
    let view = ann.opens(&room).await;
    assert!(view.messages().iter().any(|text| text == "the first"), "{:?}", view.messages());
    let html = ann.get(&format!("/room/{room}/")).await.body;
    assert_eq!(html.matches("data-kind=\"unopened\"").count(), 5, "{html}");
    assert!(html.contains("this message could not be opened"));
    page.close().await;

    let mut elsewhere = ann.connects(&other).await;
    elsewhere.caught_up().await;
    forge(&broker, &other, said[0]).await;
    assert!(matches!(elsewhere.frame().await, EventFrame::Unopened(_)), "it belongs to another room");
}

#[tokio::test]
async fn without_the_auth_service_people_chat_and_new_rooms_wait() {
    let mut services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Before").await;
    services.auth.kill();
    let fresh = services.add_gateway().await;
    let at_the_fresh = ann.through(&services.address(fresh));
    let mut socket = at_the_fresh.connects(&room).await;
    socket.caught_up().await;
    socket.say("still here").await;
    assert_eq!(socket.message().await, "still here");
    let refused = at_the_fresh.post("/create/", &[("name", "Meanwhile")]).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("New rooms have to wait") && refused.body.contains("Meanwhile"));
    services.auth.start().await;
    eventually("a room is made", SOON, || async {
        let made = at_the_fresh.post("/create/", &[("name", "Meanwhile")]).await;
        (made.status == 303).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_with_other_root_keys_serves_nobody_and_says_why() {
    let services = Services::start(0).await;
    let folder = tempfile::tempdir().unwrap();
    let others = folder.path().join("others");
    let path = sealing::store(&others, &sealing::Root::random(1).unwrap()).unwrap();
    let refusal = async |program: &str, roots: &Path| {
        let prefix = format!("BACKCHAT_{}", program.to_uppercase().replace('-', "_"));
        let database = format!("surrealkv://{}?sync=every", folder.path().join("database").display());
        let launch = Launch::new(&built(program), folder.path())
            .set(&format!("{prefix}_NATS_URL"), services.nats.url())
            .set(&format!("{prefix}_LISTEN"), "127.0.0.1:0")
            .set(&format!("{prefix}_OPERATIONS"), "127.0.0.1:0")
            .set(&format!("{prefix}_ROOTS"), roots.to_string_lossy());
        let launch =
            if program == "gateway" { launch } else { launch.set(&format!("{prefix}_DATABASE"), database) };
        let ended = launch.to_the_end(REFUSAL).await;
        assert_eq!(ended.code, 2, "{}", ended.output);
        ended.output
    };
    for program in ["gateway", "auth-service"] {
        let said = refusal(program, &others).await;
        assert!(said.contains("these are not the root keys of this installation"), "{said}");
        let missing = folder.path().join("missing");
        let said = refusal(program, &missing).await;
        assert!(said.contains(&*missing.to_string_lossy()) && said.contains("root-1"), "{said}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = refusal("gateway", &others).await;
    assert!(said.contains("chmod 600"), "{said}");
}

/// Starts the single-node edition, waits until it serves, stops it, and gives what it said.
async fn runs_once(launch: &Launch, port: u16) -> String {
    let mut program = Program::start(launch.clone());
    program.ready_at(&format!("127.0.0.1:{port}"), "/readyz", START).await;
    program.terminate();
    assert_eq!(program.ended(STOP).await, 0);
    program.log()
}

#[tokio::test]
async fn the_first_start_makes_a_root_key_outside_the_data_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let (port, data) = (ports::free(), folder.path().join("data"));
    let roots = folder.path().join("data-roots");
    let launch = Backchat::command_with_its_own_roots(port, &data, folder.path());
    let said = runs_once(&launch, port).await;
    let path = roots.join("root-1");
    assert_eq!(said.matches(&format!("A root key was made: {}", path.display())).count(), 1, "{said}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(files_with(&data, &[key.trim()]).is_empty(), "the data have a copy of it");
    let said = runs_once(&launch, port).await;
    assert_eq!(said.matches("A root key was made").count(), 1, "once, over both starts: {said}");

    let refused = async |launch: &Launch, words: &[&str]| {
        let ended = launch.to_the_end(REFUSAL).await;
        assert_eq!(ended.code, 2, "{}", ended.output);
        assert!(words.iter().all(|word| ended.output.contains(word)), "{words:?}: {}", ended.output);
    };
    std::fs::rename(&roots, folder.path().join("away")).unwrap();
    let (data_shown, roots_shown) = (data.to_string_lossy(), roots.to_string_lossy());
    refused(&launch, &[&*data_shown, &*roots_shown, "can't be opened"]).await;
    assert!(!roots.exists(), "no other key is made for data that are there");
    sealing::store(&roots, &sealing::Root::random(1).unwrap()).unwrap();
    refused(&launch, &["these are not the root keys of this installation"]).await;
    let inside = launch.clone().set("BACKCHAT_ROOTS", data.join("roots").to_string_lossy());
    refused(&inside, &["must not lie in the data folder"]).await;
    std::fs::remove_dir_all(&roots).unwrap();
    std::fs::rename(folder.path().join("away"), &roots).unwrap();
    runs_once(&launch, port).await;
}

#[tokio::test]
async fn no_service_leaves_a_core_file() {
    let mut services = Services::start(1).await;
    let Services { gateways, auth, worker, .. } = &mut services;
    for service in [&mut gateways[0], auth, worker] {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let numbers: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(numbers, ["0", "0"], "{}: {core}", service.name());
        assert!(!service.crashes(), "{} left a core file", service.name());
    }
}
