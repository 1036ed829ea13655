//! What is deleted is gone from the log and from the database, whatever happens on the way.

use std::path::Path;

use broker::Broker;
use history_worker::edition::Edition;
use history_worker::store::Store;
use protocol::subject::Shard;
use protocol::view::What;
use protocol::{MessageId, RoomSlug};

use super::boxes::boxed;
use super::nats::Nats;
use super::worker::{Worker, created, deleted, edited, eventually, message, post, room, target, whole};

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
