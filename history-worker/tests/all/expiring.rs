//! What has expired is gone from pages at once, and then from log and database, whatever happens on the way.

use std::path::Path;
use std::time::Duration;

use broker::Broker;
use protocol::query::{AskReplay, HistoryQuery, Replay, Verified};
use protocol::subject::Shard;
use protocol::{Event, KeepDays, MessageId, RoomSlug, SealedEvent, Target, Timestamp, UserId};
use surrealdb::Surreal;
use surrealdb::engine::any::{self, Any};

use super::nats::Nats;
use super::replay::replayed;
use super::verify::verified;
use super::worker::{
    Worker, ask, created, deleted, edited, eventually, message, post, reacted, room, target, whole,
};

const SHARD: Shard = Shard(0);
/// By then nobody reads rows any more that were not shown half a minute ago, and a worker that looks often has deleted them.
const DELETED: Duration = Duration::from_secs(45);

/// That everything up to it is gone.
pub fn expired(target: Target) -> SealedEvent {
    let (id, author, keep) = (MessageId::new(), UserId::new(), KeepDays::new(7).unwrap());
    Event::Expired { id, author, target, of: Timestamp::now(), keep }
}

/// Messages of which one is edited, one is reacted to, one was sent twice and one is deleted.
async fn talk(broker: &Broker, room: &RoomSlug, count: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for number in 0..count {
        let said = message(&format!("message {number}"));
        targets.push(target(&said, post(broker, SHARD, room, &said).await));
        if number == 3 {
            post(broker, SHARD, room, &said).await;
        }
    }
    post(broker, SHARD, room, &edited(targets[0], "better")).await;
    post(broker, SHARD, room, &reacted(UserId::new(), targets[1], "👍", true)).await;
    post(broker, SHARD, room, &deleted(targets[2], "message 2")).await;
    for target in &targets {
        let state = SHARD.message(room, target.seq);
        broker.publish(state, &format!("state {}", target.seq), "{\"edits\":[]}".into()).await.unwrap();
    }
    targets
}

/// The sequences of a subject's entries.
async fn logged(broker: &Broker, subject: &str) -> Vec<u64> {
    let batch = broker.read_after(&SHARD.stream(), subject, 0, 2_000).await.unwrap();
    assert!(!batch.more);
    batch.records.iter().map(|record| record.seq).collect()
}

async fn is_proved(broker: &Broker) {
    let right: Verified = verified(broker).await;
    assert_eq!(right.different, 0, "{right:?}");
}

/// How many rows the tables of rooms have.
async fn rows(database: &Path) -> [i64; 5] {
    let client: Surreal<Any> = any::connect(format!("surrealkv://{}", database.display())).await.unwrap();
    client.use_ns("backchat").use_db("history").await.unwrap();
    let mut counts = [0; 5];
    for (table, count) in ["event", "sent", "reaction", "change", "text"].iter().zip(&mut counts) {
        let statement = format!("SELECT VALUE count FROM (SELECT count() FROM {table}_5 GROUP ALL)");
        let found: Vec<i64> = client.query(statement).await.unwrap().take(0).unwrap();
        *count = found.first().copied().unwrap_or(0);
    }
    counts
}

/// Everything up to each of some messages, told twice, killed at any moment, made anew meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_leaves_log_and_database_whenever_the_worker_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let (history, tea) = (folder.path().join("history"), room("tea_x7qa"));
    let first = post(&broker, SHARD, &tea, &created()).await;
    let mut told = Vec::new();
    for round in 0..12_u64 {
        let worker = Worker::start(&nats, &history);
        let targets = talk(&broker, &tea, 40).await;
        let target = targets[30];
        told.push(post(&broker, SHARD, &tea, &expired(target)).await);
        told.push(post(&broker, SHARD, &tea, &expired(target)).await);
        // Too late: the text of this one is that of a message which is gone.
        let late = post(&broker, SHARD, &tea, &edited(targets[20], "too late")).await;
        let shown: Vec<u64> = targets[31..].iter().map(|target| target.seq).collect();
        if round % 3 == 0 {
            assert_eq!(whole(&broker, SHARD, &tea, late).await, shown, "round {round}");
            is_proved(&broker).await;
            let anew = HistoryQuery::Replay(AskReplay::Begin(Replay::Shard));
            ask(&broker, SHARD, &anew).await.unwrap();
        } else {
            tokio::time::sleep(Duration::from_millis(round * 23)).await;
        }
        worker.kill();
    }
    let worker = Worker::start(&nats, &history);
    let head = post(&broker, SHARD, &tea, &message("the last")).await;
    let shown = whole(&broker, SHARD, &tea, head).await;
    assert_eq!(shown.len(), 10, "nine of the last round, and one: {shown:?}");
    eventually("the log has lost what has expired", async || {
        let left = logged(&broker, &SHARD.log(&tea)).await;
        let wanted = [&[first][..], &shown[..9], &told[told.len() - 2..], &[head]].concat();
        // What changed a message of the last round is young itself, but for the edits, which bring its text.
        let others = left.iter().filter(|seq| !wanted.contains(seq)).count();
        (others == 2 && wanted.iter().all(|seq| left.contains(seq))).then_some(())
    })
    .await;
    let states = logged(&broker, &SHARD.messages(&tea)).await;
    assert_eq!(states.len(), 9, "{states:?}");
    is_proved(&broker).await;
    let replaying = replayed(&broker, Replay::Shard).await;
    assert_eq!((replaying.left, replaying.rooms), (0, 1));
    assert_eq!(whole(&broker, SHARD, &tea, head).await, shown);
    is_proved(&broker).await;

    // A database made from what is left has the same.
    let again = Worker::start(&nats, &folder.path().join("again"));
    assert_eq!(worker.terminate().await, 0);
    assert_eq!(whole(&broker, SHARD, &tea, head).await, shown);
    is_proved(&broker).await;
    assert_eq!(again.terminate().await, 0);
}

/// The rows themselves go half a minute later, when nobody reads them any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_loses_what_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let (history, tea, chai) = (folder.path().join("history"), room("tea_x7qa"), room("chai_x7qa"));
    // It looks more often where a day is shorter.
    let settings = [("RETENTION_DAY_S", "60")];
    let worker = Worker::start_set(&nats, &format!("surrealkv://{}", history.display()), &settings);
    for room in [&tea, &chai] {
        post(&broker, SHARD, room, &created()).await;
    }
    talk(&broker, &chai, 10).await;
    let targets = talk(&broker, &tea, 1_200).await;
    let head = post(&broker, SHARD, &tea, &expired(targets[1_100])).await;
    let shown = whole(&broker, SHARD, &tea, head).await;
    assert_eq!(shown.len(), 99);
    tokio::time::sleep(DELETED).await;
    is_proved(&broker).await;
    assert_eq!(worker.terminate().await, 0);
    // Of chai all: 11 rows, 1 reaction, 3 changes, an edit's text and a copy's. Of tea what is left, what was changed of late, and that
    // it has expired.
    assert_eq!(rows(&history).await, [99 + 11, 99 + 11, 1, 3 + 4, 2]);
}
