//! Replicas that have not yet what was stored a moment ago, and answer reads all the same.

use broker::{Follower, Layout, setup};
use bytes::Bytes;
use protocol::subject::Shard;
use std::time::Duration;
use tests::cluster::Cluster;
use tokio::time::{Instant, sleep, timeout};

const MESSAGES: u64 = 400;
/// Well below the period after which a follower looks by itself.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_a_bell_rang_for_is_read_from_whichever_replica_has_it() {
    let servers = Cluster::start(3).await;
    let broker = servers.connect().await;
    setup::create(&broker, Layout { shards: 1, replicas: Some(3), raise: false })
        .await
        .expect("the streams are made");
    let shard = Shard(0);
    let started = Follower::start(&broker, &shard.stream(), &shard.log_all(), &shard.live_all(), 0).await;
    let mut follower = started.expect("the stream is there");
    let (subject, mut slowest) = ("chat.log.0.lagging_room1".to_owned(), Duration::ZERO);
    for number in 1..=MESSAGES {
        let (publishing, following) = (broker.clone(), subject.clone());
        let id = format!("lagging-{number}");
        let stored =
            tokio::spawn(async move { publishing.publish(following, &id, Bytes::from_static(b"{}")).await });
        let began = Instant::now();
        let heard = async {
            while follower
                .next()
                .await
                .expect("the stream is read")
                .last()
                .is_none_or(|last| last.seq < number)
            {}
        };
        timeout(Duration::from_secs(20), heard).await.expect("it is read at last");
        slowest = slowest.max(began.elapsed());
        stored.await.expect("no panic").expect("it is stored");
        sleep(Duration::from_millis(2)).await;
    }
    assert!(slowest < SOON, "the slowest took {slowest:?}");
}
