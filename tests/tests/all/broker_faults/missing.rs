//! A broker that lacks a stream: nobody makes it, and the one who starts a service is told what to do.

use super::{Scene, ready};
use std::time::Duration;
use tests::eventually::{SOON, becomes};
use tests::services::Services;
use tests::straight::api;

#[tokio::test]
async fn a_missing_log_is_named_and_not_made_anew() {
    let mut services = Services::start(1).await;
    Scene::at(&services, "Before").await;
    let broker = services.nats.connect().await;
    services.gateways[0].kill();
    services.worker.kill();
    api(&broker, "STREAM.DELETE.CHAT_0", &serde_json::json!({})).await.unwrap();
    services.gateways[0].start_without_waiting();
    services.worker.start_without_waiting();
    for (name, service) in [("gateway", &mut services.gateways[0]), ("history worker", &mut services.worker)]
    {
        let code = service.ended(Duration::from_secs(60)).await;
        assert_eq!(code, 2, "the {name} can't start as it is");
        let log = service.log();
        let said = log.lines().last().unwrap_or_default();
        assert!(said.contains("without its stream CHAT_0") && said.contains("restore"), "{name}: {said}");
    }
    let asked = api(&broker, "STREAM.INFO.CHAT_0", &serde_json::json!({})).await;
    assert!(asked.is_err_and(|why| why.contains("stream not found")), "nobody made it");
}

#[tokio::test]
async fn a_gateway_that_lacks_a_shard_is_ready_for_the_others_and_one_that_lacks_all_is_not() {
    let services = Services::with(1, &[("BACKCHAT_SETUP_SHARDS", "2")]).await;
    let broker = services.nats.connect().await;
    let ready = || ready(&services.gateways[0]);
    assert_eq!(ready().await, (200, "ok".to_owned()));
    for (lost, status, says) in [("CHAT_1", 200, "warning"), ("CHAT_0", 503, "failed")] {
        api(&broker, &format!("STREAM.DELETE.{lost}"), &serde_json::json!({})).await.unwrap();
        becomes(&format!("{lost} is missed"), SOON, (status, says.to_owned()), ready).await;
    }
}
