//! Whether the history is what the log says: it is, until somebody meddles with it.

use broker::Broker;
use protocol::query::{Difference, HistoryAnswer, HistoryQuery, PageQuery, Verified, Verify};
use protocol::subject::Shard;
use protocol::{RoomSlug, UserId};
use std::path::Path;
use std::time::Duration;
use surrealdb::Surreal;
use surrealdb::engine::any::{self, Any};

use super::nats::Nats;
use super::worker::{
    Worker, ask, created, deleted, edited, eventually, message, page, post, reacted, room, target,
};

const SHARD: Shard = Shard(0);
/// Rooms that are meddled with, each in its own way.
const ROOMS: [&str; 7] =
    ["r_author", "r_doubled", "r_missing", "r_number", "r_reaction", "r_right", "r_stale"];

/// A room with everything that can happen: its newest sequence, and the sequence of the message that is edited and reacted to.
pub async fn lived_in(broker: &Broker, room: &RoomSlug) -> (u64, u64) {
    post(broker, SHARD, room, &created()).await;
    // The state that a gateway writes beside it.
    broker.publish(SHARD.room(room), &format!("state {room}"), "{}".into()).await.unwrap();
    let mut targets = Vec::new();
    for number in 0..30 {
        let said = message(&format!("{room}-{number}"));
        let seq = post(broker, SHARD, room, &said).await;
        targets.push(target(&said, seq));
    }
    post(broker, SHARD, room, &edited(targets[10], "better")).await;
    post(broker, SHARD, room, &reacted(UserId::new(), targets[10], "👍", true)).await;
    post(broker, SHARD, room, &reacted(UserId::new(), targets[10], "👍", true)).await;
    post(broker, SHARD, room, &edited(targets[20], "soon gone")).await;
    post(broker, SHARD, room, &deleted(targets[20], &format!("{room}-20"))).await;
    (post(broker, SHARD, room, &message("the last")).await, targets[10].seq)
}

/// Compares everything, as an operator's program does.
pub async fn verified(broker: &Broker) -> Verified {
    let mut all = Verified::default();
    let mut next = Some(Verify::Rooms { after: None });
    while let Some(what) = next {
        // On a machine that is busy with other tests a part may take long, and a database not answer in time.
        let asked = HistoryQuery::Verify(what);
        let part = eventually("a part is compared", async || {
            match broker.ask(SHARD.history_queries(), &asked, Duration::from_secs(20)).await {
                Ok(HistoryAnswer::Verified(part)) => Some(part),
                Ok(HistoryAnswer::Refused { reason }) if reason.contains("can't be read now") => None,
                other => panic!("{other:?}"),
            }
        })
        .await;
        next = part.next.clone();
        all.add(part);
    }
    all
}

/// A fault in each of the rooms that are named after one.
pub const MEDDLING: &str = "UPDATE event_5:['r_author', 0, 5] SET author = rand::uuid();
     DELETE event_5:['r_missing', 0, 7];
     UPDATE event_5:['r_stale', 0, 12] SET sealed = event_5:['r_stale', 0, 3].sealed, edited_ms = NONE;
     UPDATE sent_5 SET number = 3 WHERE id[0] = 'r_number' AND number = 4;
     DELETE reaction_5:['r_reaction', 0, 12, NONE]..['r_reaction', 13];
     LET $row = (SELECT * FROM ONLY event_5:['r_doubled', 0, 9]);
     CREATE event_5:['r_doubled', 0, 33] CONTENT object::remove($row, 'id');";

pub async fn meddled_with(database: &Path, statements: &str) {
    let client: Surreal<Any> = any::connect(format!("surrealkv://{}", database.display())).await.unwrap();
    client.use_ns("backchat").use_db("history").await.unwrap();
    client.query(statements).await.unwrap().check().unwrap();
}

fn found_in<'a>(verified: &'a Verified, name: &str) -> Vec<&'a Difference> {
    verified.differences.iter().filter(|difference| difference.room == room(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_meddled_with_is_named_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let database = folder.path().join("history");
    let worker = Worker::start(&nats, &database);
    let (mut last, mut seqs) = (0, Vec::new());
    for name in ROOMS {
        let (newest, touched) = lived_in(&broker, &room(name)).await;
        (last, seqs) = (newest, [seqs, vec![touched]].concat());
    }
    let newest = PageQuery { room: room(ROOMS[6]), before: u64::MAX, limit: 1, at_least: last };
    page(&broker, SHARD, &newest).await;
    // What was deleted goes from the log; the history is right before and after.
    let right = eventually("the deleted texts are gone from the log", async || {
        let right = verified(&broker).await;
        assert_eq!((right.different, right.older), (0, 0), "{right:?}");
        for edited in &seqs {
            // The deleted message is ten behind the one that was edited.
            if broker.get(&SHARD.stream(), edited + 10).await.unwrap().is_some() {
                return None;
            }
        }
        Some(right)
    })
    .await;
    assert_eq!((right.rooms, right.rows), (ROOMS.len() as u64, 32 * ROOMS.len() as u64));
    assert_eq!(worker.terminate().await, 0);

    meddled_with(&database, MEDDLING).await;
    let address = format!("surrealkv://{}", database.display());
    let worker = Worker::start_set(&nats, &address, &[("VERIFY_EVERY_H", "1")]);
    worker.ready().await;
    let wrong = verified(&broker).await;
    let found = format!("verify_different {}\n", wrong.different);
    eventually("the worker finds the same by itself", async || {
        worker.get("/metrics").await.1.contains(&found).then_some(())
    })
    .await;
    let (status, health) = worker.get("/readyz").await;
    let sentence = format!("the history differed from the log in {} places", wrong.different);
    assert!(status == 200 && health.contains(&sentence), "{health}");
    let Ok(HistoryAnswer::Status(status)) = ask(&broker, SHARD, &HistoryQuery::Status).await else {
        panic!("no status")
    };
    let last = status.last_verify.unwrap();
    assert_eq!((last.different, last.rooms), (wrong.different, ROOMS.len() as u64));
    assert_eq!(last.different_rooms, ROOMS.len() as u64 - 1);
    assert_eq!(found_in(&wrong, "r_right"), Vec::<&Difference>::new(), "what was left alone is right");
    let fields = |name: &str| {
        let found = found_in(&wrong, name);
        found.iter().map(|difference| (difference.seq, difference.field.as_str())).collect::<Vec<_>>()
    };
    let row = |at: usize, number: u64| seqs[at] - 12 + number;
    assert_eq!(fields("r_author"), [(row(0, 5), "author"), (row(0, 5), "place")]);
    assert_eq!(fields("r_doubled"), [(row(1, 9), "row"), (row(1, 9), "place")]);
    assert_eq!(fields("r_missing"), [(row(2, 7), "row"), (0, "rows")]);
    assert_eq!(fields("r_number"), [(row(3, 4), "place")]);
    assert_eq!(fields("r_reaction"), [(seqs[4], "reactions")]);
    assert_eq!(fields("r_stale"), [(seqs[6], "edited"), (seqs[6], "text")]);
    let one = HistoryQuery::Verify(Verify::Room(room("r_stale")));
    let Ok(HistoryAnswer::Verified(one)) = ask(&broker, SHARD, &one).await else { panic!("no answer") };
    assert_eq!(one.differences.iter().collect::<Vec<_>>(), found_in(&wrong, "r_stale"));
    assert_eq!(worker.terminate().await, 0);

    // Another worker knows what this one found, and goes on where a round of it was.
    let under_way = r#"{"turn":0,"last":null,"found":{"rooms":100,"rows":1000,"older":0,"different":7,"different_rooms":1,
        "differences":[],"next":{"rooms":{"after":"r_reaction"}}},"at":"2026-11-25T09:14:37.123Z"}"#;
    let round = format!("UPSERT meta:['verifying', 0, 'rounds'] SET turn += 1, state = '{under_way}';");
    meddled_with(&database, &format!("{round} DELETE room_5:['r_right'];")).await;
    let worker = Worker::start(&nats, &database);
    worker.ready().await;
    eventually("it is told what was found before", async || {
        let (metrics, readiness) = (worker.get("/metrics").await.1, worker.get("/readyz").await.1);
        let is_told = readiness.contains(&sentence) && readiness.contains("last snapshot never");
        (is_told && metrics.contains(&found)).then_some(())
    })
    .await;
    assert_eq!(worker.terminate().await, 0);
    let worker = Worker::start_set(&nats, &address, &[("VERIFY_EVERY_H", "1")]);
    worker.ready().await;
    eventually("the round ends", async || {
        let Ok(HistoryAnswer::Status(status)) = ask(&broker, SHARD, &HistoryQuery::Status).await else {
            return None;
        };
        // Rooms before the place are not compared again; of those behind it one was deleted, and found in the log.
        status.last_verify.filter(|last| (102..=103).contains(&last.rooms) && last.different > 7)
    })
    .await;
    // A room of which the history knows nothing has no row there, and the log has 31.
    let without_state = verified(&broker).await;
    let missing = found_in(&without_state, "r_right").len();
    assert!(missing >= 31 || without_state.different >= 31, "{missing}, {}", without_state.different);
    assert_eq!(worker.terminate().await, 0);
}
