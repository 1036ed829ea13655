//! The single-node edition, as its owner starts and stops it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::eventually;
use tests::person::Person;
use tests::ports;
use tests::process::{Ended, Launch};

/// Longest wait for a refusal to start.
const REFUSAL: Duration = Duration::from_secs(40);

async fn refusal(launch: Launch) -> Ended {
    let ended = launch.to_the_end(REFUSAL).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    ended
}

/// That its last word is one line that says this, without a backtrace.
fn says(ended: &Ended, words: &[&str]) {
    let line = ended.output.lines().rfind(|line| line.starts_with("backchat: "));
    let line = line.unwrap_or_else(|| panic!("no line for a person: {}", ended.output));
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    assert!(!ended.output.contains("panicked") && !ended.output.contains("backtrace"), "{}", ended.output);
}

#[tokio::test]
async fn it_says_where_it_is_once_it_serves_and_stops_in_order() {
    let mut backchat = Backchat::start().await;
    let line = format!("backchat is ready: http://{}/", backchat.address());
    eventually("it says where it is", Duration::from_secs(10), || async {
        (backchat.log().matches(&line).count() == 1).then_some(())
    })
    .await;
    let person = Person::arrives(&backchat.address(), "Guest").await;
    let room = person.creates("Stop").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say("before the stop").await;
    let broker = backchat.broker_id().expect("a broker runs");
    assert_eq!(backchat.terminate().await, 0, "{}", backchat.log());
    assert_eq!(socket.closed().await.code, 1012);
    assert!(!Path::new(&format!("/proc/{broker}")).exists(), "the broker is stopped too");
    backchat.start_again().await;
    assert_eq!(
        person.opens(&room).await.messages(),
        ["before the stop"],
        "the session and the room are still there"
    );
}

#[tokio::test]
async fn an_interrupt_stops_it_as_well() {
    let mut backchat = Backchat::start().await;
    tests::process::signal(backchat.id(), "INT");
    assert_eq!(backchat.ended(tests::backchat::STOP).await, 0);
}

#[tokio::test]
async fn a_taken_port_is_said_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports::free();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let data = folder.path().join("data");
    let ended = refusal(Backchat::command(port, &data, folder.path())).await;
    says(&ended, &[&port.to_string(), "in use"]);
    assert!(!data.exists(), "the data folder is not even made");
}

#[tokio::test]
async fn a_data_folder_has_one_owner_at_a_time() {
    let backchat = Backchat::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ended = refusal(Backchat::command(ports::free(), &backchat.data(), folder.path())).await;
    says(&ended, &["in use by another backchat", &backchat.id().to_string()]);
    Person::arrives(&backchat.address(), "Undisturbed").await;
}

#[tokio::test]
async fn a_data_folder_that_can_not_be_written_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let a_file = folder.path().join("a-file");
    std::fs::write(&a_file, "x").unwrap();
    let ended = refusal(Backchat::command(ports::free(), &a_file.join("data"), folder.path())).await;
    says(&ended, &["data folder", "a-file"]);
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "x").is_err() {
        let ended = refusal(Backchat::command(ports::free(), &closed.join("data"), folder.path())).await;
        says(&ended, &["data folder"]);
    }
}

#[tokio::test]
async fn data_of_a_newer_version_and_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("version"), "99\n").unwrap();
    let ended = refusal(Backchat::command(ports::free(), &newer, folder.path())).await;
    says(&ended, &["version 99", "newer"]);
    let foreign = folder.path().join("photos");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("holiday.jpg"), "x").unwrap();
    let ended = refusal(Backchat::command(ports::free(), &foreign, folder.path())).await;
    says(&ended, &["holiday.jpg"]);
    for folder in [newer, foreign] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "nothing was added");
    }
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let launch = Backchat::command(ports::free(), &data, folder.path())
        .set("BACKCHAT_GATEWAY_PING_INTERVALL_MS", "1000")
        .set("BACKCHAT_GATEWAY_MESSAGE_BURST", "0")
        .set("BACKCHAT_AUTH_SERVICE_TOKEN_LIFE_S", "soon")
        .set("BACKCHAT_LISTNE", "127.0.0.1:1");
    let ended = refusal(launch).await;
    for words in [
        "BACKCHAT_GATEWAY_PING_INTERVALL_MS",
        "BACKCHAT_GATEWAY_PING_INTERVAL_MS",
        "BACKCHAT_GATEWAY_MESSAGE_BURST",
        "out of range",
        "BACKCHAT_AUTH_SERVICE_TOKEN_LIFE_S",
        "BACKCHAT_LISTNE",
        "BACKCHAT_LISTEN",
    ] {
        assert!(ended.output.contains(words), "{words} is not in {}", ended.output);
    }
    assert!(!data.exists());
}

#[tokio::test]
async fn an_unfit_nats_server_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("nats-server");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let mut launch = Backchat::command(ports::free(), &data, folder.path());
    *launch.arguments.last_mut().unwrap() = old.to_string_lossy().into_owned();
    let ended = refusal(launch).await;
    says(&ended, &["2.9.10", "2.12"]);
}

#[tokio::test]
async fn after_a_kill_it_starts_again_with_everything_that_was_acknowledged() {
    let mut backchat = Backchat::without_rate_limit().await;
    let person = Person::arrives(&backchat.address(), "Phoenix").await;
    let room = person.creates("Ashes").await;
    let mut socket = person.connects(&room).await;
    let wanted: Vec<String> = (0..40).map(|n| format!("m-{n}")).collect();
    socket.say_all(wanted.clone()).await;
    backchat.kill();
    assert_eq!(socket.closed().await.code, tests::socket::GONE);
    backchat.start_again().await;
    assert_eq!(person.opens(&room).await.messages(), wanted);
    assert_eq!(person.renew().await.status, 204, "the session is as before");
    person.elsewhere().await;
}

#[tokio::test]
async fn the_data_folder_is_closed_to_other_users() {
    let backchat = Backchat::start().await;
    let mode =
        |name: &str| std::fs::metadata(backchat.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("."), 0o700);
    assert_eq!(mode("run.json"), 0o600);
    assert_eq!(mode("broker/nats.conf"), 0o600);
}
