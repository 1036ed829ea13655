//! A stream that was restored on several servers: another life than before, and the same one whoever leads it.

use broker::{Broker, Layout, setup};
use protocol::subject::INSTALLATION_STREAM as STREAM;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::cluster::Cluster;
use tests::eventually::eventually;

/// Longest wait for an answer, and for another leader.
const PATIENCE: Duration = Duration::from_secs(60);

async fn api(broker: &Broker, what: &str) -> Value {
    let answer = broker.ask(format!("$JS.API.STREAM.{what}.{STREAM}"), &json!({}), PATIENCE).await;
    answer.expect("the broker answers")
}

/// Takes a backup, loses the stream, and makes it anew of that.
async fn lost_and_restored(broker: &Broker) {
    let mut backup = broker.back_up(STREAM).await.expect("a backup begins");
    let mut pieces = Vec::new();
    while let Some(piece) = backup.next().await.expect("a piece comes") {
        pieces.push(piece);
    }
    assert_eq!(api(broker, "DELETE").await["success"], true);
    let restore = broker.restore(&backup.description, None).await.expect("a restore begins");
    for piece in pieces {
        restore.push(piece).await.expect("a piece is taken");
    }
    restore.finish().await.expect("the stream is made");
}

#[tokio::test]
async fn whoever_leads_a_restored_stream_it_is_the_same_one() {
    let servers = Cluster::start(3).await;
    let broker = servers.connect().await;
    let layout = Layout { shards: 1, replicas: Some(3), raise: false };
    let installation = setup::create(&broker, layout).await.expect("the streams are made");
    let before = broker.stream(STREAM).await.expect("it is there");
    lost_and_restored(&broker).await;

    let restored = broker.stream(STREAM).await.expect("it is there again");
    assert_ne!(restored.identity, before.identity, "what came after the backup may be missing");
    assert_eq!(restored.last_seq, before.last_seq);
    let mut have_led = BTreeSet::new();
    while have_led.len() < servers.count() {
        let leader = servers.leader_of(STREAM).await;
        assert_eq!(
            broker.stream(STREAM).await.expect("it has a leader").identity,
            restored.identity,
            "by {leader}"
        );
        have_led.insert(leader);
        assert_eq!(api(&broker, "LEADER.STEPDOWN").await["success"], true);
        eventually("another leads", PATIENCE, || async {
            (servers.leader_of(STREAM).await != leader).then_some(())
        })
        .await;
    }
    assert_eq!(setup::create(&broker, layout).await, Ok(installation), "set-up changes nothing");
    assert_eq!(broker.stream(STREAM).await.expect("it is there").identity, restored.identity);
}
