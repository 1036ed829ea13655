//! Republishing is at most once. What is lost on that way is found, and put in its place with no socket closed.

use super::Scene;
use std::time::Duration;
use tests::heard::bodies;
use tests::services::Services;
use tests::straight::{change_stream, message};
use tokio::time::Instant;

/// Whether the log shows what it stores.
async fn republish(broker: &broker::Broker, shown: bool) {
    let changed = change_stream(broker, "CHAT_0", |config, _| {
        if shown {
            config["republish"] = serde_json::json!({ "src": "chat.log.0.>", "dest": "chat.live.0.>" });
        } else if let Some(config) = config.as_object_mut() {
            config.remove("republish");
        }
    });
    changed.await.unwrap();
}

#[tokio::test]
async fn a_lost_live_message_is_put_in_its_place_when_the_next_one_shows_the_hole() {
    // Heads are looked at so rarely that only the next message can show it.
    let services = Services::with(1, &[("BACKCHAT_GATEWAY_HEAD_CHECK_INTERVAL_MS", "60000")]).await;
    let scene = Scene::at(&services, "Hole").await;
    let broker = services.nats.connect().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    message(&broker, &scene.room, scene.id, "shown").await;
    assert_eq!(socket.message().await, "shown");
    republish(&broker, false).await;
    for lost in ["lost 1", "lost 2"] {
        message(&broker, &scene.room, scene.id, lost).await;
    }
    republish(&broker, true).await;
    message(&broker, &scene.room, scene.id, "after the hole").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(socket.event().await);
    }
    assert_eq!(bodies(&seen), ["lost 1", "lost 2", "after the hole"]);
    assert_eq!((seen[1].prev, seen[2].prev), (seen[0].seq, seen[1].seq), "each names the one before it");
    let gateway = &services.gateways[0];
    assert_eq!(gateway.metric("holes_total").await, Some(1));
    assert_eq!(gateway.metric("repaired_total").await, Some(3), "the two, and the one that showed it");
    socket.is_alive().await;
}

#[tokio::test]
async fn a_quiet_rooms_last_message_is_found_within_the_time_that_is_promised() {
    let services = Services::with(1, &[("BACKCHAT_GATEWAY_HEAD_CHECK_INTERVAL_MS", "1500")]).await;
    let scene = Scene::at(&services, "Quiet").await;
    let broker = services.nats.connect().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    republish(&broker, false).await;
    message(&broker, &scene.room, scene.id, "nothing comes after me").await;
    let stored = Instant::now();
    assert_eq!(socket.message().await, "nothing comes after me");
    let took = stored.elapsed();
    assert!(took < Duration::from_millis(1_500 + 1_500), "it took {took:?}; the rest is for a busy machine");
    assert_eq!(services.gateways[0].metric("heads_behind_total").await, Some(1));
    socket.is_alive().await;
}

#[tokio::test]
async fn a_message_is_changed_by_its_id_before_it_was_shown() {
    let services = Services::with(1, &[("BACKCHAT_GATEWAY_HEAD_CHECK_INTERVAL_MS", "60000")]).await;
    let scene = Scene::at(&services, "Unseen").await;
    let broker = services.nats.connect().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    socket.say("shown").await;
    assert_eq!(socket.message().await, "shown");
    republish(&broker, false).await;
    let id = socket.send("stored, and not shown").await;
    socket.acknowledged(id).await;
    // The socket's program knows the id alone, and the gateway's ring does not have it.
    let edit = socket.edit(id, "changed").await;
    socket.acknowledged(edit).await;
    let reaction = socket.react(id, "👍", true).await;
    socket.acknowledged(reaction).await;
    let deletion = socket.delete(id).await;
    socket.acknowledged(deletion).await;
}
