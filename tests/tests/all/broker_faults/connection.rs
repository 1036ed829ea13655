//! The way between a gateway and the broker, lost and mended.

use super::{Scene, ready};
use protocol::frame::Refusal;
use std::time::Duration;
use tests::eventually::{SOON, becomes};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::services::Services;

#[tokio::test]
async fn a_gateway_cut_off_from_the_broker_says_so_keeps_its_sockets_and_goes_on_when_it_is_mended() {
    let mut services = Services::with(1, &[("BACKCHAT_GATEWAY_PUBLISH_DEADLINE_MS", "2000")]).await;
    let line = Proxy::to(&services.nats.address()).await;
    let far = services.add_gateway_at(&format!("nats://{}", line.address())).await;
    let scene = Scene::at(&services, "Cut off").await;
    let ben = Person::arrives(&services.address(far), "Ben").await;
    ben.joins(&scene.room).await;
    let mut anns = scene.ann.connects(&scene.room).await;
    let mut bens = ben.connects(&scene.room).await;
    anns.caught_up().await;
    bens.caught_up().await;
    let ready = || ready(&services.gateways[far]);
    assert_eq!(ready().await, (200, "ok".to_owned()));

    line.cut_off();
    becomes("the gateway says that its broker is away", SOON, (503, "failed".to_owned()), ready).await;
    let id = bens.send("said meanwhile").await;
    let refused = bens.refused().await;
    assert_eq!((refused.id, refused.code), (Some(id), Refusal::NotConfirmed));
    assert!(refused.retry_after_ms.is_some(), "the client is told to try again");
    let outcome = "published_total{outcome=\"not_confirmed\"}";
    assert_eq!(services.gateways[far].metric(outcome).await, Some(1));
    anns.say("missed live").await;

    line.mend();
    assert_eq!(bens.message().await, "missed live", "the same socket hears what it missed");
    becomes("the gateway is ready again", SOON, (200, "ok".to_owned()), ready).await;
    bens.send_as(id, "said meanwhile").await;
    bens.acknowledged(id).await;
    assert_eq!(bens.message().await, "said meanwhile");
    assert_eq!(anns.messages(2).await, ["missed live", "said meanwhile"]);
    tokio::time::timeout(Duration::from_secs(5), bens.is_alive()).await.unwrap();
}
