//! What services count, as an operator's Prometheus reads it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::eventually::{SOON, becomes, eventually};
use tests::http::Ask;
use tests::person::Person;
use tests::services::{Service, Services};
use tokio::time::sleep;

async fn scraped(service: &Service) -> String {
    Ask::get("/metrics").send(&service.operations()).await.body
}

#[tokio::test]
async fn what_people_feel_is_measured() {
    let services = Services::with(1, &[("BACKCHAT_GATEWAY_HEAD_CHECK_INTERVAL_MS", "500")]).await;
    let gateway = &services.gateways[0];
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Felt").await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = ann.connects(&room).await;
        socket.caught_up().await;
        sockets.push(socket);
    }
    // It is counted a moment after the socket hears it.
    becomes("each way in is measured", SOON, Some(3), || gateway.metric("connect_seconds_count")).await;
    assert_eq!(gateway.metric("seen_seconds_count").await, Some(0), "nothing was stored since they came");
    sockets[0].say("once for all of them").await;
    for socket in &mut sockets {
        assert_eq!(socket.message().await, "once for all of them");
    }
    becomes("it is seen once, however many members there are", SOON, Some(1), || {
        gateway.metric("seen_seconds_count")
    })
    .await;
    assert_eq!(gateway.metric("seen_seconds_bucket{le=\"15.0\"}").await, Some(1), "it is no time of 1970");
    ann.opens(&room).await;
    assert!(gateway.metric("request_seconds_count{page=\"room\"}").await >= Some(1));
    assert!(gateway.metric("pages_total").await >= Some(1));
    assert!(gateway.metric("sockets_max").await >= Some(1));
    eventually("the room is compared with its log", SOON, || async {
        gateway.metric("heads_checked_timestamp_seconds").await.filter(|at| *at > 0)
    })
    .await;
    assert_eq!(gateway.metric("heads_behind_total").await, Some(0), "nothing was lost on its way");
}

#[tokio::test]
async fn a_message_that_waits_for_the_one_before_it_is_late_too() {
    let mut services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Late").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    services.nats.pause().await;
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(socket.send(&format!("message {n}")).await);
    }
    sleep(Duration::from_millis(1_500)).await;
    services.nats.resume();
    for id in sent {
        socket.acknowledged(id).await;
    }
    let gateway = &services.gateways[0];
    assert_eq!(gateway.metric("publish_seconds_count").await, Some(5));
    assert_eq!(gateway.metric("publish_seconds_bucket{le=\"1.0\"}").await, Some(0));
}

#[tokio::test]
async fn a_room_that_can_not_come_to_its_end_is_not_called_compared() {
    let services = Services::with(2, &[("BACKCHAT_GATEWAY_HEAD_CHECK_INTERVAL_MS", "200")]).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let (room, other) = (ann.creates("Stuck").await, ben.creates("Other").await);
    ben.joins(&room).await;
    // The first gateway has all keys; the second has none of Ben's, and can't get any more.
    ben.connects(&other).await.say("so that his key is known").await;
    let mut elsewhere = ann.through(&services.address(1)).connects(&room).await;
    elsewhere.caught_up().await;
    let checked_at = async || {
        services.gateways[1]
            .metric("heads_checked_timestamp_seconds")
            .await
            .expect("it is known from the start")
    };
    let before = checked_at().await;
    assert!(before > 0);
    let client = services.nats.client().await;
    let lost = format!("$JS.API.STREAM.DELETE.{}", protocol::subject::KEYS_STREAM);
    client.request(lost, "".into()).await.unwrap();
    ben.connects(&room).await.say("nobody there can open it").await;
    let stored = now_s();
    let passes = async |seconds| sleep(Duration::from_secs(seconds)).await;
    passes(4).await;
    let at = checked_at().await;
    assert!(at <= stored, "{at} is after {stored}, when something was stored that is unseen");
    assert!(services.gateways[1].log().contains("keys can't be had yet"), "this is not what was to be tried");

    drop(elsewhere);
    eventually("without the room nothing is unseen", SOON, || async {
        (checked_at().await > stored).then_some(())
    })
    .await;
}

fn now_s() -> u64 {
    u64::try_from(protocol::Timestamp::now().as_millis() / 1_000).unwrap()
}

#[tokio::test]
async fn a_service_says_what_works_and_no_lag_before_it_knows_one() {
    let mut services = Services::start(1).await;
    let working = |service: &Service| {
        let operations = service.operations();
        async move {
            let text = Ask::get("/metrics").send(&operations).await.body;
            let says = |end: &str| text.lines().any(|line| line.ends_with(end));
            (says("_ready 1"), says("_dependency_up{dependency=\"broker\"} 1"))
        }
    };
    becomes("the gateway works", SOON, (true, true), || working(&services.gateways[0])).await;
    services.nats.kill();
    becomes("the gateway has no broker", SOON, (false, false), || working(&services.gateways[0])).await;
    services.worker.kill();
    services.worker.start_without_waiting();
    let told = eventually("the worker is asked before it has reached anything", SOON, || async {
        Ask::get("/metrics").try_send(&services.worker.operations()).await.ok()
    });
    let told = told.await.body;
    assert!(told.contains("backchat_history_worker_ready 0"), "{told}");
    assert!(told.contains("backchat_history_worker_build_info{version="), "{told}");
    for unknown in ["lag_seconds", "lag_events", "snapshot_timestamp", "set_aside_now"] {
        assert!(!told.contains(unknown), "{unknown} is not known yet: {told}");
    }
    services.nats.restart().await;
    services.worker.ready().await;
    eventually("the lag is known", SOON, || async {
        let told = scraped(&services.worker).await;
        let known = ["lag_seconds 0", "shard_lag_seconds{shard=\"0\"} 0", "set_aside_now{shard=\"0\"} 0"];
        known.iter().all(|end| told.contains(&format!("backchat_history_worker_{end}"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_series_is_in_the_reference() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    ann.connects(&ann.creates("Counted").await).await.caught_up().await;
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/metrics.md");
    let reference = fs::read_to_string(reference).unwrap();
    let documented = |name: &str| reference.contains(&format!("| `{name}` |"));
    for service in [&services.gateways[0], &services.worker, &services.search, &services.auth] {
        let text = scraped(service).await;
        let names = text.lines().filter(|line| !line.starts_with('#'));
        let names: BTreeSet<_> = names.filter_map(|line| line.split(['{', ' ']).next()).collect();
        assert!(names.len() > 10, "{text}");
        for name in names {
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(documented(name) || bare.is_some_and(documented), "{name} is not in the reference");
        }
    }
}
