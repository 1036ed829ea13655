//! What a crowd costs the broker.

use broker::{Layout, setup};
use futures_util::future::join_all;
use protocol::{UserId, state::Profile, subject};
use serde_json::Value;
use std::time::Duration;
use tests::nats::Nats;
use tokio::time::timeout;

const PEOPLE: usize = 300;

#[tokio::test]
async fn look_ups_that_come_together_are_few_requests_with_each_its_own_answer() {
    let nats = Nats::start().await;
    let (broker, watcher) = (nats.connect().await, nats.connect().await);
    setup::create(&broker, Layout { shards: 1, replicas: None, raise: false }).await.unwrap();
    let people: Vec<_> = (0..PEOPLE).map(|number| (UserId::new(), format!("Member {number}"))).collect();
    for (user, name) in &people {
        let profile = serde_json::to_vec(&Profile { name: name.clone() }).unwrap();
        broker.put(subject::profile(*user), broker::Expect::Anything, None, profile).await.unwrap();
    }
    // A request for one names its subject in its own; those for many carry them.
    let mut requests =
        watcher.hear::<Value>(format!("$JS.API.DIRECT.GET.{}", subject::PROFILES_STREAM)).await.unwrap();
    watcher.stream(subject::PROFILES_STREAM).await.unwrap();
    let look_up = async |user: UserId| {
        let found = broker.last(subject::PROFILES_STREAM, &subject::profile(user)).await.unwrap();
        found.map(|record| serde_json::from_slice::<Profile>(&record.payload).unwrap().name)
    };
    let stranger = UserId::new();
    let (found, nobody) = tokio::join!(
        join_all(people.iter().map(|(user, _)| look_up(*user))),
        join_all((0..3).map(|_| look_up(stranger)))
    );
    assert_eq!(
        found.into_iter().flatten().collect::<Vec<_>>(),
        people.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()
    );
    assert_eq!(nobody, [None, None, None]);
    let (mut count, mut asked) = (0, 0);
    while let Ok(Some(request)) = timeout(Duration::from_millis(500), requests.next()).await {
        count += 1;
        asked += request["multi_last"].as_array().map_or(0, Vec::len);
    }
    assert!(asked >= PEOPLE - 1 && count <= PEOPLE / 20, "{count} requests for {asked} of {PEOPLE} people");
}
