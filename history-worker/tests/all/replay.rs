//! A history that is made anew from the log, beside the one that is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Broker;
use history_worker::edition::Edition;
use history_worker::projection::Part;
use history_worker::store::Store;
use protocol::query::{
    AskReplay, AskSetAside, HistoryAnswer, HistoryQuery, PageQuery, Replay, Replaying, Verified,
};
use protocol::subject::Shard;
use protocol::view::SealedRow;
use protocol::{Event, MessageId, RoomSlug, UserId};

use super::nats::Nats;
use super::verify::{MEDDLING, lived_in, meddled_with, verified};
use super::worker::{
    Worker, ask, created, deleted, edited, eventually, message, page, post, reacted, room, target, whole,
};

const SHARD: Shard = Shard(0);
const KILLS: usize = 6;
/// Longest wait until all is made anew, on a machine that is busy with other tests.
const ENDED: Duration = Duration::from_secs(90);

async fn replay(broker: &Broker, asked: AskReplay) -> Option<Replaying> {
    match ask(broker, SHARD, &HistoryQuery::Replay(asked)).await {
        Ok(HistoryAnswer::Replay { last }) => last,
        // The worker may have been killed, or starts.
        Ok(HistoryAnswer::Behind { .. }) | Err(_) => None,
        other => panic!("{other:?}"),
    }
}

/// Makes it anew, and waits for the end.
pub async fn replayed(broker: &Broker, what: Replay) -> Replaying {
    let begun = eventually("it begins", async || replay(broker, AskReplay::Begin(what.clone())).await).await;
    assert_eq!(begun.what, what);
    ended(broker).await
}

async fn ended(broker: &Broker) -> Replaying {
    tests::eventually::eventually("all is made anew", ENDED, || async {
        replay(broker, AskReplay::Status).await.filter(|replay| replay.ended_at.is_some())
    })
    .await
}

async fn rows(broker: &Broker, room: &RoomSlug, at_least: u64) -> Vec<SealedRow> {
    let query = PageQuery { room: room.clone(), before: u64::MAX, limit: 100, at_least };
    page(broker, SHARD, &query).await.rows
}

/// Every fault that verifying finds is mended, and the rows that nobody reads any more are deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_was_meddled_with_is_as_the_log_says_when_it_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let names = ["r_author", "r_doubled", "r_missing", "r_number", "r_reaction", "r_stale", "r_unknown"];
    let (mut last, mut before) = (0, Vec::new());
    for name in names {
        last = lived_in(&broker, &room(name)).await.0;
    }
    for name in names {
        before.push(rows(&broker, &room(name), last).await);
    }
    assert_eq!(worker.terminate().await, 0);
    meddled_with(&database, &format!("{MEDDLING} DELETE room_5:['r_unknown'];")).await;

    let worker = Worker::start(&nats, &database);
    worker.ready().await;
    assert!(verified(&broker).await.different >= names.len() as u64);
    // One room after the other, and the one that the history does not know at last, with all.
    for name in &names[..names.len() - 1] {
        assert!(verified(&broker).await.differences.iter().any(|found| found.room == room(name)), "{name}");
        let one = replayed(&broker, Replay::Room(room(name))).await;
        assert_eq!((one.rooms, one.left), (1, 0), "{name}: {one:?}");
        let wrong = verified(&broker).await;
        assert!(
            wrong.different > 0 && wrong.differences.iter().all(|found| found.room != room(name)),
            "{wrong:?}"
        );
    }
    let all = replayed(&broker, Replay::Shard).await;
    assert_eq!((all.rooms, all.left, all.entries > 0), (names.len() as u64, 0, true), "{all:?}");
    let right = verified(&broker).await;
    assert_eq!((right.different, right.rooms), (0, names.len() as u64), "{right:?}");
    for (name, before) in names.iter().zip(before) {
        // The message that was deleted is in the log no more.
        let shown: Vec<_> =
            before.into_iter().filter(|row| row.what != protocol::view::What::Erased).collect();
        assert_eq!(rows(&broker, &room(name), last).await, shown, "{name}");
    }
    // What is written afterwards goes on behind the rows that are read now.
    let said = message("and on it goes");
    let seq = post(&broker, SHARD, &room("r_missing"), &said).await;
    let change = post(&broker, SHARD, &room("r_missing"), &edited(target(&said, seq), "on and on")).await;
    assert_eq!(whole(&broker, SHARD, &room("r_missing"), change).await.last(), Some(&seq));
    assert_eq!(verified(&broker).await.different, 0);
    assert_eq!(worker.terminate().await, 0);
}

/// Says, edits, deletes and reacts in three rooms until it is told to stop; gives the last sequence.
async fn chat(broker: Broker, stop: Arc<AtomicBool>) -> u64 {
    let rooms = ["tea", "chai", "coffee"].map(room);
    for room in &rooms {
        post(&broker, SHARD, room, &created()).await;
    }
    let (mut last, mut targets) = (0, Vec::new());
    for n in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // The first are written as fast as can be, so that there is something to be made anew.
        if n > 3_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let at = n % 3;
        let room = &rooms[at];
        let event = match (n % 11, targets.get(n / 2)) {
            (5, Some((of, target))) if *of == at => edited(*target, "better"),
            (7, Some((of, target))) if *of == at => reacted(UserId::new(), *target, "👍", true),
            (9, Some((of, target))) if *of == at => deleted(*target, "whatever"),
            _ => message(&format!("m-{n}")),
        };
        last = post(&broker, SHARD, room, &event).await;
        if matches!(event, Event::Message { .. }) {
            targets.push((at, target(&event, last)));
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_makes_everything_anew_goes_on_and_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let stop = Arc::new(AtomicBool::new(false));
    let mut worker = Worker::start(&nats, &database);
    let chatting = tokio::spawn(chat(broker.clone(), Arc::clone(&stop)));
    eventually("3,000 events are applied", async || match ask(&broker, SHARD, &HistoryQuery::Status).await {
        Ok(HistoryAnswer::Status(status)) => (status.events > 3_000).then_some(()),
        _ => None,
    })
    .await;
    eventually("it begins", async || replay(&broker, AskReplay::Begin(Replay::Shard)).await).await;
    let mut seen = 0;
    for _ in 0..KILLS {
        let further = eventually("it goes on", async || {
            let now = replay(&broker, AskReplay::Status).await?;
            (now.entries > seen || now.ended_at.is_some()).then_some(now)
        })
        .await;
        worker.kill();
        worker = Worker::start(&nats, &database);
        assert!(further.ended_at.is_none() || seen > 0, "it was killed under way: {further:?}");
        seen = further.entries;
    }
    let all = ended(&broker).await;
    assert_eq!((all.rooms, all.left), (3, 0), "{all:?}");
    stop.store(true, Ordering::Relaxed);
    let last = chatting.await.unwrap();
    // The last deletions go from the log while it is compared.
    let found = rows(&broker, &room("tea"), last).await;
    assert_eq!(found.len(), 100);
    let right = eventually("it is as the log says", async || {
        let Verified { rooms, different, differences, .. } = verified(&broker).await;
        assert_eq!((rooms, different), (3, 0), "{differences:?}");
        Some(rooms)
    })
    .await;
    assert_eq!(right, 3);
    assert_eq!(worker.terminate().await, 0);
}

/// What the log has lost is not taken from the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_beginning_is_not_in_the_log_any_more_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    let (old, new) = (room("old"), room("new"));
    for _ in 0..2 {
        lived_in(&broker, &old).await;
    }
    let (last, _) = lived_in(&broker, &new).await;
    let before = rows(&broker, &old, last).await;
    for seq in 1..=10 {
        // As an age limit takes the oldest entries.
        broker.erase(&SHARD.stream(), seq).await.unwrap();
    }
    let all = replayed(&broker, Replay::Shard).await;
    assert_eq!((all.rooms, all.left), (1, 1), "{all:?}");
    assert_eq!(all.left_rooms[0].room, old);
    assert!(all.left_rooms[0].reason.contains("the log has lost its beginning"), "{all:?}");
    assert_eq!(rows(&broker, &old, last).await, before);
    let nowhere = replayed(&broker, Replay::Room(room("nowhere"))).await;
    assert_eq!((nowhere.rooms, nowhere.left_rooms[0].reason.as_str()), (0, "the log has nothing of it"));
    assert_eq!(worker.terminate().await, 0);
}

/// An older worker could not read an event, and a newer one can: it makes the room anew by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_worker_could_not_read_gets_its_place_when_a_newer_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let (mut last, mut meddling) = (0, String::new());
    for name in ["tea", "chai"] {
        post(&broker, SHARD, &room(name), &created()).await;
        let missed = message("missed");
        let seq = post(&broker, SHARD, &room(name), &missed).await;
        last = post(&broker, SHARD, &room(name), &message("last")).await;
        meddling.push_str(&format!(
            "UPDATE event_5:['{name}', 0, 2] SET kind = 'unreadable', sealed = NONE, by = NONE;
             CREATE aside_5:[0, {seq}] SET subject = '{}', code = 'kind', reason = 'an unknown kind', at_ms = 1, bytes = 9,
                 payload = encoding::base64::decode('{}');",
            SHARD.log(&room(name)),
            data_encoding::BASE64_NOPAD.encode(&missed.encode()),
        ));
    }
    let expected = [rows(&broker, &room("tea"), last).await, rows(&broker, &room("chai"), last).await];
    assert_eq!(worker.terminate().await, 0);
    meddled_with(&database, &meddling).await;
    let worker = Worker::start(&nats, &database);
    eventually("both rooms are as the log has them", async || {
        let found = [rows(&broker, &room("tea"), last).await, rows(&broker, &room("chai"), last).await];
        (found == expected).then_some(())
    })
    .await;
    let asides = ask(&broker, SHARD, &HistoryQuery::SetAside(AskSetAside::List { after: 0 })).await.unwrap();
    assert!(matches!(&asides, HistoryAnswer::SetAside { entries, .. } if entries.is_empty()), "{asides:?}");
    assert_eq!(verified(&broker).await.different, 0);
    assert_eq!(worker.terminate().await, 0);
}

/// What was set aside, an operator tries again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_gets_its_place_when_it_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let tea = room("tea");
    post(&broker, SHARD, &tea, &created()).await;
    let first = post(&broker, SHARD, &tea, &message("first")).await;
    let missed = post(&broker, SHARD, &tea, &message("missed")).await;
    let bad = broker.publish(SHARD.log(&tea), &MessageId::new().to_string(), "{".into()).await.unwrap().seq;
    let last = post(&broker, SHARD, &tea, &message("last")).await;
    let expected = rows(&broker, &tea, last).await;
    assert_eq!(worker.terminate().await, 0);
    meddled_with(
        &database,
        &format!(
            "UPDATE event_5:['tea', 0, 3] SET kind = 'unreadable', sealed = NONE, by = NONE;
             DELETE sent_5 WHERE number = 3;
             LET $aside = object::remove((SELECT * FROM ONLY aside_5:[0, {bad}]), 'id');
             CREATE aside_5:[0, {missed}] CONTENT $aside;"
        ),
    )
    .await;
    let worker = Worker::start(&nats, &database);
    let retry = async |seq| {
        eventually("an answer", async || {
            ask(&broker, SHARD, &HistoryQuery::SetAside(AskSetAside::Retry { seq })).await.ok()
        })
        .await
    };
    match retry(bad).await {
        HistoryAnswer::Refused { reason } => assert!(reason.contains("still can't be read"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let HistoryAnswer::SetAside { entries, .. } = retry(missed).await else { panic!("no answer") };
    assert_eq!(entries[0].seq, missed);
    ended(&broker).await;
    assert_eq!(rows(&broker, &tea, last).await, expected);
    assert_eq!(whole(&broker, SHARD, &tea, last).await, [1, first, missed, bad, last]);
    let HistoryAnswer::SetAside { entries, .. } =
        ask(&broker, SHARD, &HistoryQuery::SetAside(AskSetAside::List { after: 0 })).await.unwrap()
    else {
        panic!("no answer")
    };
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [bad]);
    assert_eq!(verified(&broker).await.different, 0);
    assert_eq!(worker.terminate().await, 0);
}

/// What an operator types, to its end.
pub fn backchat(nats: &Nats, words: &str) -> (i32, String) {
    tokio::task::block_in_place(|| backchat_at(&nats.url(), words))
}

pub fn backchat_at(nats_url: &str, words: &str) -> (i32, String) {
    let mut command = std::process::Command::new(tests::process::built("backchat"));
    let ended = command.args(words.split(' ')).env("BACKCHAT_NATS_URL", nats_url).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// The same with what an operator types.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_what_was_set_aside_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let tea = room("tea");
    post(&broker, SHARD, &tea, &created()).await;
    let missed = post(&broker, SHARD, &tea, &message("missed")).await;
    let bad = broker.publish(SHARD.log(&tea), &MessageId::new().to_string(), "{".into()).await.unwrap().seq;
    let last = post(&broker, SHARD, &tea, &message("last")).await;
    let expected = rows(&broker, &tea, last).await;
    assert_eq!(worker.terminate().await, 0);
    // The worker tries by itself what it could not read, and nothing else.
    let statements = format!(
        "UPDATE event_5:['tea', 0, 2] SET kind = 'unreadable', sealed = NONE, by = NONE;
         DELETE sent_5 WHERE number = 2;
         LET $aside = object::remove((SELECT * FROM ONLY aside_5:[0, {bad}]), 'id');
         CREATE aside_5:[0, {missed}] CONTENT object::extend($aside, {{ code: 'no_room' }});"
    );
    meddled_with(&database, &statements).await;
    let worker = Worker::start(&nats, &database);
    worker.ready().await;
    let (code, said) = backchat(&nats, &format!("history set-aside retry 0.{missed}"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("0.{missed} has its place in the history now")), "{said}");
    assert_eq!(rows(&broker, &tea, last).await, expected);
    let (code, said) = backchat(&nats, &format!("history set-aside retry 0.{bad}"));
    assert!(code == 2 && said.contains("it still can't be read: not an event"), "{code}: {said}");
    let (code, said) = backchat(&nats, "history set-aside list");
    assert!(
        code == 0 && said.contains(&format!("0.{bad}")) && !said.contains(&format!("0.{missed}\"")),
        "{said}"
    );
    assert_eq!(verified(&broker).await.different, 0);
    assert_eq!(worker.terminate().await, 0);
}

/// What was read before is deleted when nobody can be reading it.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_before_go() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let tea = room("tea");
    let (last, _) = lived_in(&broker, &tea).await;
    rows(&broker, &tea, last).await;
    replayed(&broker, Replay::Room(tea.clone())).await;
    assert_eq!(worker.terminate().await, 0);
    // As if a minute had passed.
    meddled_with(&database, "UPDATE stale_5 SET since_ms = since_ms - 60000").await;
    let (address, part) = (format!("surrealkv://{}", database.display()), Part::whole());
    eventually("the rows of before are deleted", async || {
        let worker = Worker::start(&nats, &database);
        worker.ready().await;
        assert_eq!(verified(&broker).await.different, 0);
        assert_eq!(worker.terminate().await, 0);
        let store = Store::open(&address.parse().unwrap()).await.unwrap();
        let left = store.rows(Edition { room: &tea, generation: 0 }, 1..100).await.unwrap();
        let is_done = left.is_empty() && store.stale(part).await.unwrap().is_empty();
        store.close().await;
        is_done.then_some(())
    })
    .await;
}
