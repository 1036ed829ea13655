//! Snapshots of a history that goes on, and histories made of them.

use std::path::Path;
use std::time::Duration;

use archive::{Archive, names};
use broker::Broker;
use protocol::query::{AskPiece, HistoryAnswer, HistoryQuery, SnapshotPiece};
use protocol::subject::Shard;
use tokio::time::sleep;

use super::nats::Nats;
use super::replay::replayed;
use super::server::{Chat, caught_up};
use super::surreal::Surreal;
use super::verify::{lived_in, verified};
use super::worker::{Worker, ask, eventually, room};

const SHARD: Shard = Shard(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// Begins a snapshot; gives where its pieces are asked for.
async fn begun(broker: &Broker) -> Result<String, String> {
    match ask(broker, SHARD, &HistoryQuery::Snapshot).await {
        Ok(HistoryAnswer::Snapshot { pieces, .. }) => Ok(pieces),
        Ok(HistoryAnswer::Refused { reason }) => Err(reason),
        other => panic!("{other:?}"),
    }
}

async fn piece(broker: &Broker, pieces: &str, piece: u64) -> SnapshotPiece {
    let answer = broker.ask_for_bytes(pieces.to_owned(), &AskPiece { piece }, PATIENCE).await.unwrap();
    SnapshotPiece::decode(&answer).unwrap()
}

/// Takes a snapshot, slowly.
pub async fn taken(broker: &Broker, place: &Path, pause: Duration) {
    let backup = Archive::at(place.to_str().unwrap()).unwrap().create(1).await.unwrap();
    let mut file = backup.file(&names::history(SHARD));
    let pieces = begun(broker).await.unwrap();
    for number in 0.. {
        match piece(broker, &pieces, number).await {
            SnapshotPiece::Lines(lines) => {
                // An answer that was lost is asked for again.
                assert_eq!(piece(broker, &pieces, number).await, SnapshotPiece::Lines(lines.clone()));
                file.write(lines.into()).await.unwrap();
            }
            SnapshotPiece::End => break,
            SnapshotPiece::Failed(why) => panic!("{why}"),
        }
        sleep(pause).await;
    }
    file.finish().await.unwrap();
    backup.finish().await.unwrap();
}

/// The history of one moment is the whole of what was applied up to then, on a server as well as in the process, whatever happens to
/// its rooms meanwhile; the worker of the history that is made of it goes on from there.
async fn a_snapshot_of(from: &str, to: &str, nats: &Nats, broker: &Broker, folder: &Path) {
    let worker = Worker::start_with(nats, from);
    worker.ready().await;
    let (last, _) = lived_in(broker, &room("lived_in")).await;
    assert!(last > 0);
    let chat = Chat::begin(broker, "tea");
    sleep(Duration::from_secs(4)).await;
    taken(broker, &folder.join("first"), Duration::from_millis(300)).await;
    // A room that is made anew while a snapshot is taken lies in it as it was.
    let anew = replayed(broker, protocol::query::Replay::Shard);
    let slow = folder.join("slow");
    tokio::join!(anew, taken(broker, &slow, Duration::from_millis(700)));
    caught_up(broker).await;
    assert_eq!(worker.terminate().await, 0);

    Worker::restores(nats, to, &slow).await.unwrap();
    let refused = Worker::restores(nats, to, &slow).await.unwrap_err();
    assert!(refused.contains("holds a history"), "{refused}");
    let worker = Worker::start_with(nats, to);
    worker.ready().await;
    // What came after the snapshot is applied from the log, and all of it is right.
    chat.end(broker).await;
    let right = verified(broker).await;
    assert_eq!((right.different, right.rooms), (0, 2), "{right:?}");
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_inside_the_process_is_kept_and_restored_while_people_write() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let [from, to] =
        ["history", "other"].map(|name| format!("surrealkv://{}", folder.path().join(name).display()));
    a_snapshot_of(&from, &to, &nats, &broker, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_on_a_server_is_kept_and_restored_while_people_write() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let server = Surreal::start(&folder.path().join("surreal")).await;
    let (from, to) = (server.address("history"), server.address("more"));
    a_snapshot_of(&from, &to, &nats, &broker, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_shard_one_snapshot_is_taken_at_a_time_and_one_that_nobody_goes_on_with_ends() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    worker.ready().await;
    assert!(matches!(
        ask(&broker, SHARD, &HistoryQuery::Snapshot).await,
        Ok(HistoryAnswer::Behind { applied: 0 })
    ));
    lived_in(&broker, &room("lived_in")).await;
    caught_up(&broker).await;
    let pieces = begun(&broker).await.unwrap();
    assert_eq!(begun(&broker).await, Err("a snapshot of this shard is being taken already".to_owned()));
    let first = piece(&broker, &pieces, 0).await;
    assert!(matches!(first, SnapshotPiece::Lines(_)));
    assert!(matches!(piece(&broker, &pieces, 7).await, SnapshotPiece::Failed(_)));
    assert_eq!(piece(&broker, &pieces, 0).await, first);
    assert_eq!(piece(&broker, &pieces, 1).await, SnapshotPiece::End);
    // An answer may be lost.
    assert_eq!(piece(&broker, &pieces, 1).await, SnapshotPiece::End);
    assert!(matches!(piece(&broker, &pieces, 2).await, SnapshotPiece::Failed(_)));
    let pieces = eventually("another one may begin", async || begun(&broker).await.ok()).await;
    // A worker that dies takes it with it.
    worker.kill();
    let asked = broker.ask_for_bytes(pieces, &AskPiece { piece: 0 }, PATIENCE).await;
    assert!(matches!(asked, Err(broker::Error::NobodyThere(_))), "{asked:?}");
}
