//! The single-node edition: running and not, its settings, its folder, its port.

use super::Said;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use tests::backchat::Backchat;
use tests::person::Person;

#[tokio::test]
async fn a_chat_that_runs_is_well_and_one_that_does_not_is_looked_at_as_far_as_it_goes() {
    let mut backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Well").await;
    ann.connects(&room).await.say("something to keep").await;
    let said = Said::by(&backchat.launch()).await;
    said.all_is_well();
    for good in [
        "every setting is known",
        "is its user's alone",
        "are left on the disk",
        "the gateway is ready",
        "the history worker is ready",
        "the search worker is ready",
        "the auth service is ready",
        "NATS server 2.",
        "all 5 streams are there",
        "the clock of the broker agrees",
        "the root keys open the data",
        "the page to log in is at",
        "cookies come through as",
        "the gateway takes forms",
        "a WebSocket comes through",
        "a WebSocket of another site is refused",
    ] {
        said.praises(good);
    }
    assert_eq!(backchat.terminate().await, 0);
    let said = Said::by(&backchat.launch()).await;
    said.all_is_well().says(
        "warning",
        "no backchat runs with the data folder",
        "start it with `backchat --data",
    );
    said.praises("is free").praises("the NATS server is");
}

#[tokio::test]
async fn what_would_keep_a_chat_from_starting_is_said_all_at_once() {
    let backchat =
        Backchat::prepared(&[("BACKCHAT_GATEWAY_PING_INTERVL_MS", "1000"), ("BACKCHAT_LISTN", "x")]);
    let _taken = TcpListener::bind(backchat.address()).unwrap();
    fs::create_dir(backchat.data()).unwrap();
    fs::set_permissions(backchat.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let launch = backchat.launch().argument("--nats-server").argument("/bin/true");
    let mut launch = launch;
    // The harness names a server first.
    let named = launch.arguments.iter().position(|argument| argument == "--nats-server").unwrap();
    launch.arguments.drain(named..named + 2);
    let said = Said::by(&launch).await;
    said.says("fault", "did you mean BACKCHAT_GATEWAY_PING_INTERVAL_MS?", "config example")
        .says("fault", "BACKCHAT_LISTN is unknown: did you mean BACKCHAT_LISTEN?", "config example")
        .says("fault", "is open to other users (mode 755)", "chmod 700")
        .says("fault", "is in use by another process", "--listen")
        .says("fault", "/bin/true is not a nats-server", "scripts/nats-server")
        .says_nothing_else(5);
    assert!(fs::read_dir(backchat.data()).unwrap().next().is_none(), "it looked, and wrote nothing");
}

#[tokio::test]
async fn root_keys_of_another_chat_are_found() {
    let backchat = Backchat::start().await;
    // Whoever comes has a key, so that something was sealed.
    Person::arrives(&backchat.address(), "Ann").await;
    let other = tempfile::tempdir().unwrap();
    sealing::store(other.path(), &sealing::Root::random(1).unwrap()).unwrap();
    let mut launch = backchat.launch();
    let roots = launch.arguments.iter().position(|argument| argument == "--roots").unwrap();
    launch.arguments[roots + 1] = other.path().to_string_lossy().into_owned();
    Said::by(&launch)
        .await
        .says("fault", "do not open the data", "backchat keys import")
        .says_nothing_else(1);
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_named() {
    let backchat = Backchat::start().await;
    tests::process::signal(backchat.broker_id().unwrap(), "STOP");
    let said = Said::by(&backchat.launch()).await;
    tests::process::signal(backchat.broker_id().unwrap(), "CONT");
    said.says("fault", "no NATS server is reached at", "start the NATS server at");
    assert_eq!(said.code, 1);
}
