use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use protocol::query::{HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::Shard;
use protocol::{MessageId, UserId};
use tokio::time::Instant;

use super::nats::Nats;
use super::worker::{Worker, ask, created, eventually, message, post, room, whole};

const SHARD: Shard = Shard(0);

async fn put(broker: &Broker, subject: String, payload: impl Into<Bytes>) -> u64 {
    broker.publish(subject, &MessageId::new().to_string(), payload.into()).await.unwrap().seq
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_no_events_are_set_aside_and_the_next_good_one_is_there_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let tea = room("tea_x7qa");
    let worker = Worker::start(&nats, &folder.path().join("history"));
    worker.ready().await;

    let mut shown = vec![post(&broker, SHARD, &tea, &created()).await];
    let null = format!(
        r#"{{"v":1,"type":"message","id":"{}","author":"{}","box":"AA"}}"#,
        MessageId::new().short(),
        UserId::new().short()
    );
    let bad: [Bytes; 6] = [
        "{".into(),
        Bytes::new(),
        vec![b'a'; 900 * 1024].into(),
        r#"{"type":"poll","v":99}"#.into(),
        null.into(),
        vec![0xFF, 0x00].into(),
    ];
    for payload in bad {
        // It has its place in the room, where something stands that can't be shown.
        shown.push(put(&broker, SHARD.log(&tea), payload).await);
        shown.push(post(&broker, SHARD, &tea, &message("between")).await);
    }
    put(&broker, SHARD.log(&room("never_made")), message("nobody made this room").encode()).await;
    put(&broker, format!("{}.deeper", SHARD.log(&tea)), message("a subject of no room").encode()).await;
    let twice = post(&broker, SHARD, &tea, &created()).await;
    let sent = Instant::now();
    let last = post(&broker, SHARD, &tea, &message("after all")).await;
    shown.push(last);
    let newest = PageQuery { room: tea.clone(), before: u64::MAX, limit: 1, at_least: last };
    eventually("the last good message is in the history", async || {
        let answer = ask(&broker, SHARD, &HistoryQuery::Page(newest.clone())).await;
        matches!(answer, Ok(HistoryAnswer::Page(page)) if page.rows[0].seq == last).then_some(())
    })
    .await;
    assert!(sent.elapsed() < Duration::from_secs(5));
    assert_eq!(whole(&broker, SHARD, &tea, last).await, shown);

    let (status, health) = worker.get("/readyz").await;
    assert_eq!(status, 200);
    let sentence = format!("9 events set aside, the last one: seq {twice}: its room was created before");
    assert!(health.contains(&sentence), "{health}");
    let (_, metrics) = worker.get("/metrics").await;
    for (reason, count) in
        [("not_an_event", 3), ("too_large", 1), ("version", 1), ("fields", 1), ("no_room", 1)]
    {
        let line = format!("backchat_history_worker_set_aside_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }

    // The warning outlives the process.
    assert_eq!(worker.terminate().await, 0);
    let worker = Worker::start(&nats, &folder.path().join("history"));
    eventually("the warning is there again", async || {
        worker.get("/readyz").await.1.contains(&sentence).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stored_twice_in_the_log_is_once_in_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let tea = room("tea_x7qa");
    let worker = Worker::start(&nats, &folder.path().join("history"));
    let (first, second) = (message("once"), message("again"));
    let mut expected = Vec::new();
    for event in [&created(), &first, &second] {
        expected.push(post(&broker, SHARD, &tea, event).await);
    }
    // Seen by the worker before the copies come, so that they are known from the database.
    whole(&broker, SHARD, &tea, expected[2]).await;
    post(&broker, SHARD, &tea, &first).await;
    post(&broker, SHARD, &tea, &second).await;
    expected.push(post(&broker, SHARD, &tea, &message("new")).await);
    assert_eq!(whole(&broker, SHARD, &tea, *expected.last().unwrap()).await, expected);
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("duplicate_events_total 2"), "{metrics}");
}
