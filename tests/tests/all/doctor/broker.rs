//! Brokers of services that run apart: streams, users and their rights, certificates, and none at all.

use super::Said;
use broker::{Credentials, Expect, USERS, authorization};
use protocol::subject::INSTALLATION_STREAM;
use serde_json::{Value, json};
use std::time::Duration;
use tests::cluster::Cluster;
use tests::eventually::eventually;
use tests::nats::{self, Draft, Nats};
use tests::process::{Launch, built};
use tests::services::Servers;
use tests::topology::authority::Authority;
use time::OffsetDateTime;

const SETUP: Duration = Duration::from_secs(60);
/// Everybody's at the brokers of these tests.
const PASSWORD: &str = "a-password-that-nobody-sees";

/// Runs the set-up step with these variables besides.
async fn set_up(url: &str, settings: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(&built("backchat-setup"), folder.path()).set("BACKCHAT_SETUP_NATS_URL", url);
    let launch = settings.iter().fold(launch, |launch, (name, value)| launch.set(name, value));
    let ended = launch.to_the_end(SETUP).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
}

async fn set_up_broker() -> Nats {
    let nats = Nats::start().await;
    set_up(&nats.url(), &[]).await;
    nats
}

/// A request of the broker's own API.
async fn asked(client: &async_nats::Client, subject: &str, body: &str) -> Value {
    let answer = client.request(subject.to_owned(), body.to_owned().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test]
async fn a_stream_that_was_altered_is_found_and_the_remedy_mends_it() {
    let nats = set_up_broker().await;
    let client = nats.client().await;
    let asked = async |subject: &str, body: &str| asked(&client, subject, body).await;
    let url = nats.url();
    let arguments = [("--nats-url", url.as_str())];
    let before = asked("$JS.API.STREAM.LIST", "").await;
    let said = Said::of_pieces(&arguments).await;
    said.all_is_well().praises("all 5 streams are there");
    said.says("warning", "lets everybody do everything", "backchat-setup permissions");
    let after = asked("$JS.API.STREAM.LIST", "").await;
    for (before, after) in
        before["streams"].as_array().unwrap().iter().zip(after["streams"].as_array().unwrap())
    {
        assert_eq!(
            (&before["config"], &before["state"]),
            (&after["config"], &after["state"]),
            "it changes nothing"
        );
    }

    let mut config = asked("$JS.API.STREAM.INFO.CHAT_0", "").await["config"].clone();
    (config["max_age"], config["discard"]) = (json!(3_600_000_000_000_u64), json!("old"));
    let altered = asked("$JS.API.STREAM.UPDATE.CHAT_0", &config.to_string()).await;
    assert!(altered["error"].is_null(), "{altered}");
    let said = Said::of_pieces(&arguments).await;
    said.says("fault", "CHAT_0 has max_age 3600000000000, and should have 0", "$JS.API.STREAM.UPDATE.CHAT_0")
        .says("fault", "CHAT_0 has discard \"old\", and should have \"new\"", "nats request")
        .says_nothing_else(2);
    let typed: Vec<_> = said.remedy("CHAT_0 has max_age").split('\'').collect();
    let mended = asked(typed[1], typed[3]).await;
    assert!(mended["error"].is_null(), "{mended}");
    Said::of_pieces(&arguments).await.all_is_well();

    asked("$JS.API.STREAM.DELETE.PROFILES", "").await;
    let said = Said::of_pieces(&arguments).await;
    said.says("fault", "the stream PROFILES is missing", "from a backup").says_nothing_else(1);
    asked("$JS.API.STREAM.DELETE.SESSIONS", "").await;
    let said = Said::of_pieces(&arguments).await;
    said.says("fault", "the stream SESSIONS is missing", "backchat-setup --shards 1").says_nothing_else(2);
}

#[tokio::test]
async fn streams_on_one_of_several_servers_are_found_and_the_remedy_mends_it() {
    let servers = Cluster::start(3).await;
    let urls = servers.urls();
    set_up(&urls, &[]).await;
    let arguments = [("--nats-url", &*urls)];
    let said = Said::of_pieces(&arguments).await;
    said.all_is_well().praises(" is nats-0").praises(" is nats-1").praises(" is nats-2");
    said.says("warning", "each stream is on one of them", "--shards 1 --replicas 3");

    let typed = said.remedy("each stream is on one of them");
    let launch = Launch::new(&built("backchat-setup"), servers.server(0).folder());
    let launch = typed.split(' ').skip(1).fold(launch, Launch::argument);
    let ended = launch.set("BACKCHAT_SETUP_NATS_URL", &urls).to_the_end(SETUP).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    eventually("each stream is on three servers", SETUP, || async {
        let said = Said::of_pieces(&arguments).await;
        said.of("good").iter().any(|good| good.contains("each stream is on 3 servers")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_nearly_full_is_found() {
    let nats = set_up_broker().await;
    let client = nats.client().await;
    let mut config = asked(&client, "$JS.API.STREAM.INFO.SESSIONS", "").await["config"].clone();
    config["max_bytes"] = json!(10_000);
    asked(&client, "$JS.API.STREAM.UPDATE.SESSIONS", &config.to_string()).await;
    let broker = nats.connect().await;
    let url = nats.url();
    let arguments = [("--nats-url", url.as_str())];
    broker.put("chat.session.test.1".into(), Expect::LastSequence(0), None, vec![b'x'; 7_500]).await.unwrap();
    Said::of_pieces(&arguments).await.says("warning", "SESSIONS is 7", "--max-bytes=-1").says_nothing_else(0);
    broker.put("chat.session.test.2".into(), Expect::LastSequence(0), None, vec![b'x'; 1_500]).await.unwrap();
    Said::of_pieces(&arguments).await.says("fault", "SESSIONS is 9", "--max-bytes=-1").says_nothing_else(1);
}

#[tokio::test]
async fn users_and_their_rights_are_tried_and_passwords_kept() {
    // The gateway's rights are not whole.
    let settings = authorization(|_| format!("{PASSWORD:?}"));
    let settings = settings.replacen("\"chat.log.>\", ", "", 1).replacen("\"chat.live.>\", ", "", 1);
    let nats = Draft { settings, ..Draft::default() }.start().await;
    let url = nats.url();
    let setup = [("BACKCHAT_SETUP_NATS_USER", "setup"), ("BACKCHAT_SETUP_NATS_PASSWORD", PASSWORD)];
    set_up(&url, &setup).await;
    let as_user = async |user: &str, password: &str| {
        let arguments = [("--nats-url", &*url), ("--nats-user", user), ("--nats-password", password)];
        Said::of_pieces(&arguments).await
    };
    let said = as_user("setup", "another-password").await;
    said.says("fault", "refuses this user and password", "BACKCHAT_NATS_PASSWORD").says_nothing_else(1);
    said.keeps_secret("another-password");
    let in_url = url.replace("nats://", "nats://setup:another-password@");
    let said = Said::of_pieces(&[("--nats-url", &in_url)]).await;
    said.says("fault", "nats://setup:(secret)@", "BACKCHAT_NATS_USER").keeps_secret("another-password");
    as_user("setup", PASSWORD).await.all_is_well().keeps_secret(PASSWORD);

    let credentials = Credentials {
        user: Some("setup".to_owned()),
        password: Some(PASSWORD.to_owned()),
        ..Credentials::of_nobody(url.clone(), "tests")
    };
    let broker = nats::connect(credentials).await;
    for user in USERS.into_iter().filter(|user| !["gateway", "setup"].contains(user)) {
        let said = as_user(user, PASSWORD).await;
        said.all_is_well().praises(&format!("{user} may do its work"));
    }
    let said = as_user("gateway", PASSWORD).await;
    said.says("fault", "gateway may not hear chat.live.>", "backchat-setup permissions")
        .says("fault", "gateway may not publish on chat.log.0.nobody", "backchat-setup permissions")
        .says_nothing_else(2);
    for stream in ["CHAT_0", "PROFILES", "SESSIONS", "KEYS"] {
        assert_eq!(broker.stream(stream).await.unwrap().last_seq, 0, "nothing was stored in {stream}");
    }
    assert_eq!(broker.stream(INSTALLATION_STREAM).await.unwrap().last_seq, 1);
}

#[tokio::test]
async fn a_broker_that_is_away_empty_silent_or_none_is_told_apart() {
    let mut nats = Nats::start().await;
    let url = nats.url();
    let arguments = [("--nats-url", url.as_str())];
    let said = Said::of_pieces(&arguments).await;
    said.says("fault", "holds no backchat installation", "backchat-setup").says_nothing_else(1);
    nats.pause().await;
    Said::of_pieces(&arguments)
        .await
        .says("fault", "it does not greet", "BACKCHAT_NATS_URL")
        .says_nothing_else(1);
    nats.resume();
    nats.kill();
    let said = Said::of_pieces(&arguments).await;
    said.says("fault", &format!("no NATS server is reached at {}", nats.address()), "start the NATS server");
    said.says_nothing_else(1);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_or_is_nobodys_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::made_in(folder.path());
    let day = time::Duration::days(1);
    for (name, left, kind, found) in [
        ("fresh", 90, "good", "good for 89 more days"),
        ("ending", 10, "warning", "good for 9 more days"),
        ("ended", -1, "fault", "certificate expired"),
    ] {
        let pair = authority.signs_until(name, OffsetDateTime::now_utc() + day * left);
        let settings = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", pair.certificate, pair.key);
        let nats = Draft { settings, ..Draft::default() }.start().await;
        let url = nats.url().replace("nats://", "tls://");
        let ca = authority.file().to_string_lossy().into_owned();
        let said = Said::of_pieces(&[("--nats-url", &url), ("--nats-ca", &ca)]).await;
        if kind == "good" {
            said.praises(found);
            let unknown = Said::of_pieces(&[("--nats-url", &url)]).await;
            unknown.says("fault", "the certificate of 127.0.0.1 is not good", "BACKCHAT_NATS_CA");
        } else {
            said.says(kind, found, "renew it");
        }
    }
}
