//! Rooms whose beginning the log has lost, which a snapshot gives back.

use std::path::Path;
use std::time::Duration;

use broker::Broker;
use history_worker::projection::{Part, RoomState};
use history_worker::snapshot::Line;
use history_worker::store::Store;
use protocol::query::{AskReplay, HistoryAnswer, HistoryQuery, PageQuery, Replay, SeedPiece, Seeding};
use protocol::subject::Shard;
use protocol::view::{SealedRow, What};
use protocol::{RoomSlug, UserId};
use tokio::time::sleep;

use super::nats::Nats;
use super::replay::{backchat, replayed};
use super::server::{Chat, caught_up};
use super::verify::{lived_in, meddled_with, verified};
use super::worker::{
    Worker, ask, created, deleted, edited, eventually, message, page, post, reacted, room, target, whole,
};

const SHARD: Shard = Shard(0);

/// The room's log loses its beginning, as an age limit takes it.
async fn ages(broker: &Broker, room: &RoomSlug, upto: u64) {
    let (stream, log) = (SHARD.stream(), SHARD.log(room));
    loop {
        let records = broker.read_after(&stream, &log, 0, 500).await.unwrap().records;
        let old: Vec<_> = records.iter().map(|record| record.seq).filter(|seq| *seq <= upto).collect();
        if old.is_empty() {
            return;
        }
        for seq in old {
            broker.erase(&stream, seq).await.unwrap();
        }
    }
}

/// The state that a gateway writes beside a new room.
async fn is_known(broker: &Broker, room: &RoomSlug) {
    broker.publish(SHARD.room(room), &format!("state {room}"), "{}".into()).await.unwrap();
}

/// All rows of a room as they are now.
async fn rows(broker: &Broker, room: &RoomSlug) -> Vec<SealedRow> {
    caught_up(broker).await;
    let at_least = broker.last_confirmed(&SHARD.stream(), &SHARD.log(room)).await.unwrap().unwrap().seq;
    let (mut all, mut before) = (Vec::new(), u64::MAX);
    loop {
        let query = PageQuery { room: room.clone(), before, limit: 100, at_least };
        let found = page(broker, SHARD, &query).await;
        before = found.rows.first().map_or(0, |row| row.seq);
        all.splice(0..0, found.rows);
        if found.prev == 0 {
            return all;
        }
    }
}

async fn is_proved(broker: &Broker) {
    let right = eventually("all is compared", async || {
        // A worker that has just begun may not answer yet.
        matches!(ask(broker, SHARD, &HistoryQuery::Status).await, Ok(HistoryAnswer::Status(_))).then_some(())
    });
    right.await;
    let right = verified(broker).await;
    assert_eq!(right.different, 0, "{right:?}");
}

/// What happens in a room after its snapshot: to what is in that, and anew.
async fn goes_on(broker: &Broker, room: &RoomSlug, old: &[(protocol::SealedEvent, u64)]) -> u64 {
    let targets: Vec<_> = old.iter().map(|(event, seq)| target(event, *seq)).collect();
    post(broker, SHARD, room, &edited(targets[1], "better of late")).await;
    post(broker, SHARD, room, &reacted(UserId::new(), targets[2], "👍", true)).await;
    post(broker, SHARD, room, &deleted(targets[3], "old-3")).await;
    let said = message("new");
    let new = target(&said, post(broker, SHARD, room, &said).await);
    post(broker, SHARD, room, &reacted(UserId::new(), new, "👍", true)).await;
    post(broker, SHARD, room, &message("newest")).await
}

async fn meddle(nats: &Nats, worker: Worker, database: &Path, statements: &str) -> Worker {
    assert_eq!(worker.terminate().await, 0);
    meddled_with(database, statements).await;
    let worker = Worker::start(nats, database);
    worker.ready().await;
    worker
}

const DAMAGE: &str = "DELETE event_5 WHERE id[0] = 'old' AND id[2] IN [2, 4, 40, 700];
     UPDATE event_5 SET author = rand::uuid() WHERE id[0] = 'old' AND id[2] IN [6, 650];
     DELETE reaction_5 WHERE id[0] = 'old';";

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_gives_back_what_the_log_has_lost_while_people_write() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let mut worker = Worker::start(&nats, &database);
    let (old, quiet) = (room("old"), room("quiet"));
    post(&broker, SHARD, &old, &created()).await;
    is_known(&broker, &old).await;
    let mut said = Vec::new();
    for number in 0..700 {
        let event = message(&format!("old-{number}"));
        let seq = post(&broker, SHARD, &old, &event).await;
        said.push((event, seq));
    }
    let (_, in_quiet) = lived_in(&broker, &quiet).await;
    lived_in(&broker, &room("young")).await;
    let chat = Chat::begin(&broker, "tea");
    caught_up(&broker).await;
    let place = folder.path().join("snapshot");
    let (code, told) = backchat(&nats, &format!("history snapshot {}", place.display()));
    assert_eq!(code, 0, "{told}");
    let last = goes_on(&broker, &old, &said).await;
    whole(&broker, SHARD, &old, last).await;
    ages(&broker, &old, said[650].1).await;
    ages(&broker, &quiet, in_quiet).await;
    is_proved(&broker).await;
    let expected = [rows(&broker, &old).await, rows(&broker, &quiet).await];
    assert_eq!(expected[0].len(), 1 + 700 + 2);
    // The message that was deleted is there as such before, since the history knew it, and after, since the snapshot did.
    assert_eq!(expected[0][4].what, What::Erased);

    let with_snapshot = |words: &str| format!("history replay {words}--snapshot {}", place.display());
    for (words, damage) in
        [("old ", DAMAGE), ("", DAMAGE), ("", "DELETE room_5:['old']; DELETE event_5 WHERE id[0] = 'quiet';")]
    {
        worker = meddle(&nats, worker, &database, damage).await;
        assert!(verified(&broker).await.different > 0, "{damage}");
        let (code, told) = backchat(&nats, format!("history replay {words}").trim_end());
        assert_eq!(code, 1, "without a snapshot they stay as they are: {told}");
        assert!(told.contains("\"lost_rooms\":[\"old\""), "{told}");
        let (code, told) = backchat(&nats, &with_snapshot(words));
        assert_eq!(code, 0, "{told}");
        let given = if words.is_empty() { 2 } else { 1 };
        assert!(told.contains(&format!("\"given_back\":{given}")), "{told}");
        let found = [rows(&broker, &old).await, rows(&broker, &quiet).await];
        assert!(found == expected, "{words}: {damage}: {told}");
        is_proved(&broker).await;
    }
    // What is written afterwards goes on behind the rows that are read now.
    let change = edited(target(&said[0].0, said[0].1), "on and on");
    post(&broker, SHARD, &old, &change).await;
    let next = post(&broker, SHARD, &old, &message("and on it goes")).await;
    assert_eq!(whole(&broker, SHARD, &old, next).await.last(), Some(&next));
    chat.end(&broker).await;
    is_proved(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_a_hole_before_the_log_or_of_another_installation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    let old = room("old");
    post(&broker, SHARD, &old, &created()).await;
    is_known(&broker, &old).await;
    let said = message("old");
    let deleted_one = target(&said, post(&broker, SHARD, &old, &said).await);
    caught_up(&broker).await;
    let place = folder.path().join("snapshot");
    let (code, told) = backchat(&nats, &format!("history snapshot {}", place.display()));
    assert_eq!(code, 0, "{told}");
    let deletion = post(&broker, SHARD, &old, &deleted(deleted_one, "old")).await;
    post(&broker, SHARD, &old, &message("new")).await;
    let before = rows(&broker, &old).await;
    // That it was deleted is in neither.
    ages(&broker, &old, deletion).await;
    let with_snapshot = format!("history replay old --snapshot {}", place.display());
    for words in [&with_snapshot, &with_snapshot.replace(" old ", " ")] {
        let (code, told) = backchat(&nats, words);
        assert!(code == 2 && told.contains("what lies between is in neither"), "{code}: {told}");
        assert!(told.contains("nothing was changed"), "{told}");
    }
    assert_eq!(rows(&broker, &old).await, before);
    let (code, told) =
        backchat(&nats, &format!("history replay --snapshot {}", folder.path().join("nats").display()));
    assert!(code == 2 && told.contains("no finished backup"), "{code}: {told}");
    assert_eq!(worker.terminate().await, 0);

    let nats = Nats::start(&folder.path().join("elsewhere"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("other"));
    let first = post(&broker, SHARD, &old, &created()).await;
    for _ in 0..5 {
        post(&broker, SHARD, &old, &message("of another")).await;
    }
    caught_up(&broker).await;
    ages(&broker, &old, first).await;
    let (code, told) = backchat(&nats, &with_snapshot);
    assert!(code == 2 && told.contains("of another installation"), "{code}: {told}");
    assert_eq!(worker.terminate().await, 0);
}

/// A worker that dies while the rows are given, or while the room is made of them, loses nothing: the same is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_a_snapshot_gives_back_goes_on_or_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let mut worker = Worker::start(&nats, &database);
    let old = room("old");
    post(&broker, SHARD, &old, &created()).await;
    let mut last = 0;
    for number in 0..4_000 {
        last = post(&broker, SHARD, &old, &message(&format!("old-{number}"))).await;
    }
    caught_up(&broker).await;
    let place = folder.path().join("snapshot");
    let (code, told) = backchat(&nats, &format!("history snapshot {}", place.display()));
    assert_eq!(code, 0, "{told}");
    for number in 0..1_500 {
        post(&broker, SHARD, &old, &message(&format!("new-{number}"))).await;
    }
    ages(&broker, &old, last - 10).await;
    let expected = rows(&broker, &old).await;
    worker = meddle(&nats, worker, &database, DAMAGE).await;
    let words = format!("history replay --snapshot {}", place.display());
    for pause_ms in [150, 400, 800, 1_500] {
        let (nats_url, words) = (nats.url(), words.clone());
        let asking = tokio::task::spawn_blocking(move || super::replay::backchat_at(&nats_url, &words));
        sleep(Duration::from_millis(pause_ms)).await;
        worker.kill();
        worker = Worker::start(&nats, &database);
        worker.ready().await;
        let (code, told) = asking.await.unwrap();
        assert!(code == 0 || code == 2, "{code}: {told}");
        assert!(verified(&broker).await.different == 0 || code == 2, "{told}");
    }
    let (code, told) = backchat(&nats, &words);
    assert_eq!(code, 0, "{told}");
    assert!(rows(&broker, &old).await == expected);
    is_proved(&broker).await;
    assert_eq!(worker.terminate().await, 0);
}

/// What was begun to be given and not ended is not used, and goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_by_half_is_never_read_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let (old, part) = (room("old"), Part::whole());
    let first = post(&broker, SHARD, &old, &created()).await;
    post(&broker, SHARD, &old, &message("said")).await;
    let before = rows(&broker, &old).await;
    ages(&broker, &old, first).await;
    let asked = async |asked: AskReplay| ask(&broker, SHARD, &HistoryQuery::Replay(asked)).await.unwrap();
    let Ok(HistoryAnswer::Status(status)) = ask(&broker, SHARD, &HistoryQuery::Status).await else {
        panic!()
    };
    let (stream, applied) = (status.stream, status.applied);
    let seeding = Seeding { shard: 0, shards: 1, stream, applied, applied_at: None };
    let seed = AskReplay::Seed(seeding);
    let HistoryAnswer::Seeding { generation } = asked(seed.clone()).await else { panic!() };
    let line = Line::Room { room: old.clone(), state: RoomState::new(UserId::new()) };
    let piece = SeedPiece { generation, lines: vec![serde_json::to_value(line).unwrap()] };
    for _ in 0..2 {
        // An answer may be lost.
        assert_eq!(asked(AskReplay::Rows(piece.clone())).await, HistoryAnswer::Seeding { generation });
    }
    let stranger = SeedPiece { generation: generation + 1, ..piece };
    for refused in [
        AskReplay::Rows(stranger),
        AskReplay::BeginWith { what: Replay::Shard, generation: generation + 1 },
        AskReplay::Rows(SeedPiece { generation, lines: vec![serde_json::json!({ "row": {} })] }),
    ] {
        let answer = asked(refused).await;
        assert!(matches!(answer, HistoryAnswer::Refused { .. }), "{answer:?}");
    }
    let left = replayed(&broker, Replay::Shard).await;
    assert_eq!((left.rooms, left.left), (0, 1), "{left:?}");
    assert_eq!(rows(&broker, &old).await, before);
    assert_eq!(worker.terminate().await, 0);

    // As if an hour had passed.
    meddled_with(&database, "UPDATE meta:['seeding', 0] SET touched_ms -= 3600000").await;
    let address = format!("surrealkv://{}", database.display()).parse().unwrap();
    eventually("what was given is gone", async || {
        let worker = Worker::start(&nats, &database);
        worker.ready().await;
        assert_eq!(rows(&broker, &old).await, before);
        assert_eq!(worker.terminate().await, 0);
        let store = Store::open(&address).await.unwrap();
        let left = store.seeds_after(part, None).await.unwrap();
        let is_gone = left.is_empty() && store.seeding(part).await.unwrap().is_none();
        store.close().await;
        is_gone.then_some(())
    })
    .await;
}
