//! What is deleted is gone from the log and from the database, whatever happens on the way.

use std::path::Path;
use std::time::Duration;

use archive::{Archive, names};
use broker::Broker;
use history_worker::edition::Edition;
use history_worker::store::Store;
use protocol::query::{AskSetAside, HistoryAnswer, HistoryQuery};
use protocol::subject::Shard;
use protocol::view::What;
use protocol::{Event, MessageId, RoomSlug, Target, UserId};

use super::boxes::boxed;
use super::nats::Nats;
use super::snapshot::taken;
use super::worker::{Worker, ask, created, deleted, edited, eventually, message, post, room, target, whole};

const SHARD: Shard = Shard(0);
const NEEDLE: &str = "needle-in-the-hay";

/// The sequences at which the stream holds the needle.
async fn needles(broker: &Broker) -> Vec<u64> {
    let stream = SHARD.stream();
    let batch = broker.read_after(&stream, &SHARD.log_all(), 0, 1_000).await.unwrap();
    assert!(!batch.more);
    let with_needle = batch.records.iter().filter(|record| has_needle(&record.payload));
    with_needle.map(|record| record.seq).collect()
}

/// The database has boxes as bytes, the log as text.
fn has_needle(bytes: &[u8]) -> bool {
    let in_log = boxed(MessageId::new(), NEEDLE).sealed.to_text();
    // Its first letters, which do not depend on what follows the needle.
    let in_log = &in_log.as_bytes()[..20];
    [NEEDLE.as_bytes(), in_log]
        .iter()
        .any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
}

async fn without_needles(broker: &Broker) {
    let gone = async || needles(broker).await.is_empty().then_some(());
    eventually("the deleted texts are gone from the log", gone).await;
}

fn files_with_needle(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_needle(&path));
        } else if has_needle(&std::fs::read(&path).unwrap()) {
            found.push(path);
        }
    }
    found
}

/// A message with the needle that is edited, sent once more as a copy, and deleted, between others.
async fn post_and_delete(broker: &Broker, room: &RoomSlug) -> (u64, u64) {
    let event = message(&format!("{NEEDLE} 1"));
    let target = target(&event, post(broker, SHARD, room, &event).await);
    post(broker, SHARD, room, &message("hay")).await;
    post(broker, SHARD, room, &edited(target, &format!("{NEEDLE} 2"))).await;
    post(broker, SHARD, room, &event).await;
    post(broker, SHARD, room, &edited(target, &format!("{NEEDLE} 3"))).await;
    (target.seq, post(broker, SHARD, room, &deleted(target, &format!("{NEEDLE} 3"))).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_is_in_no_place_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (data, history) = (folder.path().join("nats"), folder.path().join("history"));
    let nats = Nats::start(&data);
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &history);
    let tea = room("tea_x7qa");
    post(&broker, SHARD, &tea, &created()).await;
    let (seq, head) = post_and_delete(&broker, &tea).await;
    without_needles(&broker).await;
    assert_eq!(files_with_needle(&data), Vec::<std::path::PathBuf>::new(), "the broker overwrites");
    let rows = whole(&broker, SHARD, &tea, head).await;
    assert_eq!(rows.len(), 3, "created, erased, hay");
    // The worker counts when the broker has answered for the last of them, which a reader of the log may see before.
    eventually("the worker counts what it erased", async || {
        let (_, metrics) = worker.get("/metrics").await;
        metrics.contains("backchat_history_worker_erased_entries_total 4\n").then_some(())
    })
    .await;
    assert_eq!(worker.terminate().await, 0);

    let store = open(&history).await;
    let kept = store.rows(Edition { room: &tea, generation: 0 }, 1..100).await.unwrap();
    assert_eq!((kept[1].row.seq, &kept[1].row.what), (seq, &What::Erased));
    let texts = kept.iter().filter_map(|kept| serde_json::to_vec(&kept.row).ok());
    assert!(texts.into_iter().all(|text| !has_needle(&text)));

    // A database made anew from what is left has the same messages.
    let again = Worker::start(&nats, &folder.path().join("again"));
    assert_eq!(whole(&broker, SHARD, &tea, head).await, [rows[0], rows[2]]);
    assert!(!again.get("/readyz").await.1.contains("warning"));
}

async fn open(history: &Path) -> Store {
    let address = format!("surrealkv://{}", history.display()).parse().unwrap();
    Store::open(&address).await.unwrap()
}

/// The broker refuses to erase until the worker, which has written the deletion, is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_commit_and_the_erasing_erases_after_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let (data, history) = (folder.path().join("nats"), folder.path().join("history"));
    let mut nats = Nats::start_refusing(&data, "$JS.API.STREAM.MSG.DELETE.>");
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &history);
    let tea = room("tea_x7qa");
    post(&broker, SHARD, &tea, &created()).await;
    let (_, head) = post_and_delete(&broker, &tea).await;
    assert_eq!(whole(&broker, SHARD, &tea, head).await.len(), 3, "the history goes on");
    eventually("the worker says that it can't erase", async || {
        let (status, health) = worker.get("/readyz").await;
        (status == 200 && health.contains("texts of deleted messages are still in the log")).then_some(())
    })
    .await;
    assert_eq!(needles(&broker).await.len(), 4);
    worker.kill();
    nats.kill();

    let nats = Nats::start(&data);
    let broker = nats.connect().await;
    assert_eq!(needles(&broker).await.len(), 4);
    let worker = Worker::start(&nats, &history);
    without_needles(&broker).await;
    worker.ready().await;
    assert_eq!(worker.terminate().await, 0);
    let part = history_worker::projection::Part::whole();
    assert!(open(&history).await.to_erase(part).await.unwrap().is_empty());
}

/// After an older copy of the log was brought back, other entries may stand at the sequences that were to be erased.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_erased_at_the_sequence_of_a_deleted_message() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &history);
    let tea = room("tea_x7qa");
    post(&broker, SHARD, &tea, &created()).await;
    let (bystander, event) = (message("bystander"), message(NEEDLE));
    let seq = post(&broker, SHARD, &tea, &bystander).await;
    let own = target(&event, post(&broker, SHARD, &tea, &event).await);
    // A sequence that is another's, as a damaged event might have it.
    post(&broker, SHARD, &tea, &deleted(protocol::Target { seq, ..own }, NEEDLE)).await;
    without_needles(&broker).await;
    assert!(broker.get(&SHARD.stream(), seq).await.unwrap().is_some());
    assert_eq!(worker.terminate().await, 0);
}

/// Stores what a later version may have written: the text is in it, and whose it is.
async fn post_unreadable(broker: &Broker, subject: String, author: UserId, target: Option<Target>) -> u64 {
    let target = target.map(
        |target| serde_json::json!({ "id": target.id.short(), "author": target.author.short(), "seq": target.seq }),
    );
    let id = MessageId::new();
    let entry = serde_json::json!({
        "v": 99, "type": "poll", "id": id.short(), "author": author.short(), "target": target, "text": NEEDLE,
    });
    broker.publish(subject, &id.to_string(), entry.to_string().into()).await.unwrap().seq
}

async fn set_aside(broker: &Broker) -> Vec<u64> {
    let list = HistoryQuery::SetAside(AskSetAside::List { after: 0 });
    match ask(broker, SHARD, &list).await {
        Ok(HistoryAnswer::SetAside { entries, .. }) => entries.iter().map(|entry| entry.seq).collect(),
        // The worker may be starting.
        _ => Vec::new(),
    }
}

/// The lines of a snapshot that is taken now.
async fn snapshot_lines(broker: &Broker, place: &Path) -> Vec<serde_json::Value> {
    taken(broker, place, Duration::ZERO).await;
    let opened = Archive::at(place.to_str().unwrap()).unwrap().open().await.unwrap();
    let mut lines = opened.lines(&names::history(SHARD)).await.unwrap();
    let mut all = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        all.push(line);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_of_what_was_erased_is_in_no_place_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (data, history) = (folder.path().join("nats"), folder.path().join("history"));
    let nats = Nats::start(&data);
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &history);
    let (tea, gone) = (room("tea_x7qa"), room("gone_x7qa"));
    for room in [&tea, &gone] {
        post(&broker, SHARD, room, &created()).await;
    }
    let (her, bystander) = (UserId::new(), UserId::new());
    let (log, other_log) = (SHARD.log(&tea), SHARD.log(&gone));
    let said = message(NEEDLE);
    let deleted_one = target(&said, post(&broker, SHARD, &tea, &said).await);
    post_unreadable(&broker, log.clone(), bystander, Some(deleted_one)).await;
    post_unreadable(&broker, log.clone(), her, None).await;
    post_unreadable(&broker, SHARD.log(&room("never_made")), her, None).await;
    post_unreadable(&broker, other_log.clone(), bystander, None).await;
    post_unreadable(&broker, format!("{other_log}.deeper"), bystander, None).await;
    let kept = post_unreadable(&broker, log.clone(), bystander, None).await;
    eventually("all are set aside", async || (set_aside(&broker).await.len() == 6).then_some(())).await;

    post(&broker, SHARD, &tea, &deleted(deleted_one, NEEDLE)).await;
    post(&broker, SHARD, &tea, &Event::UserErased { id: MessageId::new(), author: her }).await;
    post(&broker, SHARD, &gone, &Event::RoomErased { id: MessageId::new(), author: bystander }).await;
    let left = async || (set_aside(&broker).await == [kept]).then_some(());
    eventually("what was erased is not set aside any more", left).await;
    // What comes late is not kept either.
    post_unreadable(&broker, log.clone(), her, None).await;
    post_unreadable(&broker, other_log, bystander, None).await;
    let last = post(&broker, SHARD, &tea, &message("hay")).await;
    whole(&broker, SHARD, &tea, last).await;
    assert_eq!(set_aside(&broker).await, [kept]);

    let lines = snapshot_lines(&broker, &folder.path().join("snapshot")).await;
    let asides: Vec<_> = lines.iter().filter(|line| line["aside"].is_object()).collect();
    assert_eq!(asides.iter().map(|line| &line["aside"]["entry"]["seq"]).collect::<Vec<_>>(), [kept]);
    let others = lines.iter().filter(|line| !line["aside"].is_object());
    assert!(others.into_iter().all(|line| !has_needle(line.to_string().as_bytes())), "{lines:?}");
    let of_gone = lines.iter().filter(|line| line.to_string().contains(gone.as_str()));
    assert!(of_gone.count() <= 2, "a room's line, and perhaps that it ends: {lines:?}");

    // A history that is made anew has nothing of it either, though the log has what was set aside.
    assert_eq!(worker.terminate().await, 0);
    let again = Worker::start(&nats, &folder.path().join("again"));
    whole(&broker, SHARD, &tea, last).await;
    eventually("what was erased is not set aside any more", left).await;
    assert_eq!(again.terminate().await, 0);
}

/// As an older worker may have left it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_set_aside_of_what_was_erased_goes_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &history);
    let tea = room("tea_x7qa");
    post(&broker, SHARD, &tea, &created()).await;
    let her = UserId::new();
    let kept = post_unreadable(&broker, SHARD.log(&tea), UserId::new(), None).await;
    let last = post(&broker, SHARD, &tea, &Event::UserErased { id: MessageId::new(), author: her }).await;
    whole(&broker, SHARD, &tea, last).await;
    assert_eq!(worker.terminate().await, 0);
    let store = open(&history).await;
    let part = history_worker::projection::Part::whole();
    let mut aside = store.kept_asides_behind(part, 0).await.unwrap().remove(0);
    aside.entry.seq = last + 1;
    let payload = format!(r#"{{"v":99,"author":"{}"}}"#, her.short());
    aside.payload = data_encoding::BASE64.encode(payload.as_bytes());
    store.load_aside(part, &aside).await.unwrap();
    store.close().await;
    let worker = Worker::start(&nats, &history);
    let left = async || (set_aside(&broker).await == [kept]).then_some(());
    eventually("only what nobody erased is set aside", left).await;
    assert_eq!(worker.terminate().await, 0);
}
