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
/// Pause after what passes.
const AGAIN: Duration = Duration::from_millis(50);

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
    let (subject, mut late) = ("chat.log.0.lagging_room1".to_owned(), 0);
    for number in 1..=MESSAGES {
        let (publishing, following) = (broker.clone(), subject.clone());
        let id = format!("lagging-{number}");
        let stored = tokio::spawn(async move {
            publishing.publish(following, &id, Bytes::from_static(b"{}")).await.expect("it is stored");
            Instant::now()
        });
        let heard = async {
            loop {
                match follower.next().await {
                    Ok(records) if records.last().is_some_and(|last| last.seq >= number) => return,
                    Ok(_) => {}
                    // A replica that has not heard of the new stream yet: whoever follows calls again.
                    Err(error) if error.is_passing() => sleep(AGAIN).await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        timeout(Duration::from_secs(20), heard).await.expect("it is read at last");
        let heard_at = Instant::now();
        // What a busy machine needs to store it says nothing of who follows.
        if heard_at.saturating_duration_since(stored.await.expect("no panic")) > SOON {
            late += 1;
        }
        sleep(Duration::from_millis(2)).await;
    }
    // A server may stand still once where others are tested too; a follower that waits for its period does so again and again.
    assert!(late <= 1, "{late} of {MESSAGES} were read more than {SOON:?} after they were stored");
}
