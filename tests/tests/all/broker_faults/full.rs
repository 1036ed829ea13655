//! A log that takes no more: nobody is shown what is not stored, and everybody is told why.

use super::Scene;
use protocol::frame::Refusal;
use serde_json::json;
use std::time::Duration;
use tests::nats::Draft;
use tests::services::Services;
use tests::small_disk::SmallDisk;
use tests::straight::api;

/// What the broker may keep.
const STORE_BYTES: u64 = 8 << 20;
const REFUSED: &str = "published_total{outcome=\"storage_full\"}";

/// Takes everything that the broker may keep for a stream that is no part of the chat.
async fn take_all_storage(broker: &broker::Broker) {
    let ballast = json!({ "name": "BALLAST", "subjects": ["ballast"], "storage": "file" });
    api(broker, "STREAM.CREATE.BALLAST", &ballast).await.unwrap();
    for bytes in [512 * 1024, 64] {
        let piece = bytes::Bytes::from(vec![b'x'; bytes]);
        for number in 0.. {
            let id = format!("{bytes}-{number}");
            match broker.publish("ballast".into(), &id, piece.clone()).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, broker::Error::StorageFull);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_full_store_refuses_by_name_shows_nothing_and_goes_on_when_there_is_room() {
    let nats = Draft { store_bytes_max: Some(STORE_BYTES), ..Draft::default() }.start().await;
    let services = Services::on(nats, 1, &[]).await;
    let scene = Scene::at(&services, "Full").await;
    let broker = services.nats.connect().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    let (_, cursor) = socket.caught_up().await;
    let mut page = scene.ann.connects_as_page(&scene.room, &cursor).await;
    page.caught_up().await;
    socket.say("before").await;
    assert_eq!(page.row().await.text, "before");

    take_all_storage(&broker).await;
    let id = socket.send("no room for me").await;
    let refused = socket.refused().await;
    assert_eq!((refused.id, refused.code), (Some(id), Refusal::StorageFull));
    assert!(refused.retry_after_ms.is_some(), "it may be sent again, under the same id");
    let on_page = page.send("nor for me").await;
    let refused = page.refused().await;
    assert_eq!((refused.id, refused.code.as_str()), (on_page.to_string(), "storage_full"));
    assert_eq!(services.gateways[0].metric(REFUSED).await, Some(2));
    assert_eq!(scene.ann.opens(&scene.room).await.messages(), ["before"]);

    api(&broker, "STREAM.DELETE.BALLAST", &json!({})).await.unwrap();
    socket.send_as(id, "no room for me").await;
    socket.acknowledged(id).await;
    // The next that both see: nothing was shown of what was refused.
    assert_eq!(socket.messages(2).await, ["before", "no room for me"]);
    assert_eq!(page.row().await.text, "no room for me");
    assert_eq!(scene.ann.opens(&scene.room).await.messages(), ["before", "no room for me"]);
}

#[tokio::test]
async fn a_full_disk_confirms_nothing_and_what_waited_is_stored_once_after_the_brokers_restart() {
    let Some(disk) = SmallDisk::of(64) else {
        println!("not tried: this machine lets nobody mount a small disk");
        return;
    };
    let nats = Draft { store: Some(disk.path()), ..Draft::default() }.start().await;
    let deadline = ("BACKCHAT_GATEWAY_PUBLISH_DEADLINE_MS", "2000");
    let mut services = Services::on(nats, 1, &[deadline]).await;
    let scene = Scene::at(&services, "Disk").await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    socket.say("before").await;
    disk.fill();
    // Some bytes of a page may be left; then no answer comes for good.
    let mut stored = vec!["before".to_owned()];
    let waiting = loop {
        let body = format!("{} {:x<4000}", stored.len(), "");
        let body: String = body.chars().take(3_990).collect();
        let id = socket.send(&body).await;
        let outcome = socket.until(|heard| match heard {
            tests::heard::Heard::Ack { id: of, .. } if *of == id => Some(None),
            tests::heard::Heard::Refused(refused) if refused.id == Some(id) => Some(Some(refused.code)),
            _ => None,
        });
        match outcome.await {
            None => stored.push(body),
            Some(code) => {
                assert_eq!(code, Refusal::NotConfirmed);
                break (id, body);
            }
        }
        assert!(stored.len() < 1_000, "a full disk takes everything");
    };
    disk.free();
    services.nats.kill();
    services.nats.restart().await;
    services.gateways[0].ready().await;
    let (id, body) = waiting;
    socket.send_as(id, &body).await;
    tokio::time::timeout(Duration::from_secs(20), socket.acknowledged(id)).await.unwrap();
    stored.push(body);
    let seen = socket.messages(stored.len()).await;
    assert_eq!(seen, stored);
    let history = socket.whole_history(100).await;
    assert_eq!(tests::heard::bodies(&history), stored);
}
