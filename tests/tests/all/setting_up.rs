//! The set-up step on brokers that are not new: what is lost is named and not made anew, what was cut short goes on, and copies are added.

use broker::{Broker, Error, Layout, setup, stream_names};
use bytes::Bytes;
use protocol::subject::{INSTALLATION_STREAM, KEYS_STREAM, PROFILES_STREAM, SESSIONS_STREAM, Shard};
use serde_json::json;
use std::time::Duration;
use tests::cluster::Cluster;
use tests::eventually::eventually;
use tests::nats::Nats;
use tests::straight::api;

const SOON: Duration = Duration::from_secs(60);
const SUBJECT: &str = "chat.log.0.tea_x7qa";

fn layout(shards: u16) -> Layout {
    Layout { shards, replicas: None, raise: false }
}

fn raising(shards: u16) -> Layout {
    Layout { raise: true, ..layout(shards) }
}

async fn say(broker: &Broker, n: usize) -> Result<u64, Error> {
    broker
        .publish(SUBJECT.into(), &format!("m-{n}"), Bytes::from_static(b"{}"))
        .await
        .map(|stored| stored.seq)
}

async fn lose(broker: &Broker, stream: &str) {
    api(broker, &format!("STREAM.DELETE.{stream}"), &json!({})).await.expect("it was there");
}

/// That the set-up step refuses, naming what is lost, and makes none of these streams.
async fn is_refused(broker: &Broker, layout: Layout, lost: &str, unmade: &[&str]) {
    match setup::create(broker, layout).await {
        Err(Error::Setup(why)) => {
            assert!(why.contains(&format!("stream {lost}")) && why.contains("backchat restore"), "{why}");
        }
        other => panic!("{lost} is lost: {other:?}"),
    }
    for stream in unmade {
        assert!(broker.stream(stream).await.is_err(), "{stream} was made");
    }
}

#[tokio::test]
async fn a_stream_that_is_lost_is_not_made_anew() {
    let nats = Nats::start().await;
    let broker = nats.connect().await;
    setup::create(&broker, layout(4)).await.unwrap();
    for lost in ["CHAT_3", PROFILES_STREAM, KEYS_STREAM] {
        lose(&broker, lost).await;
        is_refused(&broker, layout(4), lost, &[lost]).await;
        is_refused(&broker, raising(5), lost, &[lost, "CHAT_4"]).await;
    }
}

#[tokio::test]
async fn an_installation_that_is_lost_is_not_made_anew() {
    let nats = Nats::start().await;
    let broker = nats.connect().await;
    setup::create(&broker, layout(1)).await.unwrap();
    setup::create(&broker, raising(2)).await.unwrap();
    say(&broker, 0).await.unwrap();
    lose(&broker, INSTALLATION_STREAM).await;
    for layout in [layout(2), raising(3)] {
        is_refused(&broker, layout, INSTALLATION_STREAM, &[INSTALLATION_STREAM, "CHAT_2"]).await;
    }
}

#[tokio::test]
async fn sessions_that_are_lost_are_made_anew_since_no_backup_has_them() {
    let nats = Nats::start().await;
    let broker = nats.connect().await;
    let installation = setup::create(&broker, layout(1)).await.unwrap();
    lose(&broker, SESSIONS_STREAM).await;
    let Err(Error::Setup(why)) = broker.installation().await else { panic!("nobody starts without it") };
    assert!(why.contains("`backchat-setup` makes it anew"), "{why}");
    assert_eq!(setup::create(&broker, layout(1)).await, Ok(installation));
    assert!(broker.stream(SESSIONS_STREAM).await.is_ok());
}

#[tokio::test]
async fn what_was_cut_short_goes_on() {
    let nats = Nats::start().await;
    let broker = nats.connect().await;
    setup::create(&broker, layout(2)).await.unwrap();
    // As a first set-up leaves it that was killed, once before and once after it made the installation's stream.
    lose(&broker, "CHAT_1").await;
    lose(&broker, INSTALLATION_STREAM).await;
    setup::create(&broker, layout(2)).await.expect("nothing was in any stream");
    api(&broker, &format!("STREAM.PURGE.{INSTALLATION_STREAM}"), &json!({})).await.unwrap();
    lose(&broker, INSTALLATION_STREAM).await;
    let made = setup::create(&broker, layout(2)).await.expect("nothing was in any stream");
    // As a raise leaves it that was killed.
    let mut config = api(&broker, "STREAM.INFO.CHAT_1", &json!({})).await.unwrap()["config"].clone();
    config["name"] = json!("CHAT_2");
    config["subjects"] = json!(Shard(2).subjects());
    config["republish"] = json!({ "src": Shard(2).log_all(), "dest": Shard(2).live_all() });
    api(&broker, "STREAM.CREATE.CHAT_2", &config).await.unwrap();
    assert_eq!(setup::create(&broker, layout(2)).await, Ok(made.clone()));
    assert_eq!(setup::create(&broker, raising(4)).await, Ok(made.raised(4)));
}

/// Waits until every stream is on three servers, and none of them lags.
async fn are_on_three(broker: &Broker, shards: u16) {
    for stream in stream_names(shards) {
        eventually(&format!("{stream} is on three servers"), SOON, || async {
            let report = broker.report(&stream, shards).await.ok()?;
            let current = report.followers.iter().filter(|follower| follower.is_current).count();
            (report.replicas == 3 && current == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn copies_are_added_while_people_chat_and_new_shards_have_as_many() {
    const MESSAGES: usize = 200;
    let mut servers = Cluster::start(3).await;
    let broker = servers.connect().await;
    let made = setup::create(&broker, layout(1)).await.unwrap();
    let wanted = Layout { replicas: Some(3), ..layout(1) };
    let talking = async {
        let mut stored = Vec::new();
        for n in 0..MESSAGES {
            stored.push(eventually("it is stored", SOON, || async { say(&broker, n).await.ok() }).await);
        }
        stored
    };
    let (stored, copied) = tokio::join!(talking, setup::create(&broker, wanted));
    assert_eq!(copied, Ok(made.clone()));
    are_on_three(&broker, 1).await;

    let Err(Error::Setup(plan)) = setup::create(&broker, layout(2)).await else {
        panic!("there is one shard")
    };
    assert!(plan.contains("CHAT_1, on 3 server(s) each"), "{plan}");
    assert_eq!(setup::create(&broker, raising(2)).await, Ok(made.raised(2)));
    are_on_three(&broker, 2).await;
    for layout in [layout(2), raising(3)] {
        let fewer = setup::create(&broker, Layout { replicas: Some(1), ..layout }).await;
        let Err(Error::Setup(why)) = fewer else { panic!("copies are not taken away: {fewer:?}") };
        assert!(why.contains("kept on 3 servers, not 1"), "{why}");
    }

    let leader = servers.leader_of("CHAT_0").await;
    servers.kill(leader);
    for (n, seq) in stored.into_iter().enumerate() {
        let read =
            eventually("another has it", SOON, || async { broker.get("CHAT_0", seq).await.ok() }).await;
        assert_eq!(read.map(|record| record.subject).as_deref(), Some(SUBJECT), "message {n}");
    }
}
