//! A gateway that takes too little too late from the broker: what it did not get is read from the log, and its sockets stay.

use super::Scene;
use tests::nats::Draft;
use tests::services::Services;
use tests::straight::flood;

/// Twice what one subscription of a gateway holds …
const MESSAGES: usize = 16_000;
/// … and together more than the system keeps for a connection that nobody reads.
const BODY_CHARS: usize = 800;

/// Floods a room of a gateway that stands still; gives what the gateway's log says then.
async fn flooded(settings: &str) -> String {
    let nats = Draft { settings: settings.into(), ..Draft::default() }.start().await;
    let mut services = Services::on(nats, 1, &[]).await;
    let scene = Scene::at(&services, "Flood").await;
    let broker = services.nats.connect().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    services.gateways[0].pause().await;
    flood(&broker, &scene.room, scene.id, (MESSAGES, BODY_CHARS)).await;
    services.gateways[0].resume();
    let mut last: Option<u64> = None;
    for number in 0..MESSAGES {
        let event = socket.event().await;
        let body = event.body.unwrap_or_default();
        assert!(body.starts_with(&format!("{number} ")), "{body} instead of {number}");
        assert!(last.is_none_or(|last| last == event.prev), "no hole before {number}");
        last = Some(event.seq);
    }
    socket.is_alive().await;
    let gateway = &services.gateways[0];
    let repaired = gateway.metric("repaired_total").await.unwrap();
    assert!(repaired > 1_000, "most came from the log: {repaired}");
    assert_eq!(gateway.metric("sockets_closed_total").await, Some(0));
    gateway.log()
}

#[tokio::test]
async fn what_overflows_a_subscription_is_repaired_and_no_socket_closes() {
    let log = flooded("write_deadline: \"60s\"\n").await;
    assert!(log.contains("a subscription overflowed"), "{log}");
}

#[tokio::test]
async fn a_connection_that_the_broker_closes_as_too_slow_is_repaired_and_no_socket_closes() {
    let log = flooded("max_pending: 1MB\n").await;
    assert_eq!(log.matches("connected to the broker").count(), 2, "{log}");
}
