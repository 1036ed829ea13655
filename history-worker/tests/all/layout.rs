//! A database that an older backchat has filled, in another layout.

use std::path::Path;

use broker::Broker;
use protocol::RoomSlug;
use protocol::subject::Shard;

use super::nats::Nats;
use super::verify::{lived_in, meddled_with, verified};
use super::worker::{Worker, eventually, message, post, room, whole};

const SHARD: Shard = Shard(0);

/// What such a backchat may have left: of its tables only the rooms are ever read.
async fn older(database: &Path, rooms: &[&RoomSlug]) {
    let rooms: String = rooms.iter().map(|room| format!("CREATE room:['{room}'] SET count = 7;")).collect();
    let statements = format!(
        "DEFINE TABLE meta SCHEMALESS; DEFINE TABLE room SCHEMALESS; DEFINE TABLE event SCHEMALESS;
         CREATE meta:schema SET version = 4; CREATE event:['tea', 1] SET what = 'nobody knows'; {rooms}"
    );
    meddled_with(database, &statements).await;
}

async fn two_rooms(broker: &Broker) -> (RoomSlug, RoomSlug, u64) {
    let (tea, chai) = (room("tea"), room("chai"));
    lived_in(broker, &tea).await;
    let (last, _) = lived_in(broker, &chai).await;
    (tea, chai, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_a_newer_layout_are_made_from_the_log_and_then_read() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let (tea, chai, last) = two_rooms(&broker).await;
    older(&database, &[&tea, &chai]).await;
    let worker = Worker::start(&nats, &database);
    worker.ready().await;
    let rows = whole(&broker, SHARD, &tea, last).await;
    // The message that was deleted may be gone from the log when it is read.
    assert!([31, 32].contains(&rows.len()), "{rows:?}");
    let said = post(&broker, SHARD, &chai, &message("and on it goes")).await;
    assert_eq!(whole(&broker, SHARD, &chai, said).await.last(), Some(&said));
    assert_eq!(verified(&broker).await.different, 0);
    assert_eq!(worker.terminate().await, 0);
    // It is the one that is read from the start now.
    let worker = Worker::start(&nats, &database);
    worker.ready().await;
    assert_eq!(whole(&broker, SHARD, &chai, said).await.last(), Some(&said));
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_history_that_the_log_can_not_give_back_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let (tea, chai, _) = two_rooms(&broker).await;
    older(&database, &[&tea, &room("of_old"), &chai]).await;
    let worker = Worker::start(&nats, &database);
    eventually("it says why the older one stays", async || {
        let (status, health) = worker.get("/readyz").await;
        let why = "the log has lost the beginning of rooms such as of_old";
        (status == 503 && health.contains(why)).then_some(())
    })
    .await;
    assert_eq!(worker.terminate().await, 0);
    meddled_with(
        &database,
        "LET $version = meta:schema.version; IF $version != 4 { THROW 'it was replaced' };
         LET $rooms = (SELECT VALUE id FROM room); IF array::len($rooms) != 3 { THROW 'rooms are gone' };",
    )
    .await;
}
