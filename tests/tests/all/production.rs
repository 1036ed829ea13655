//! The pieces as in production, on one machine: `cluster up`, orders to it, and TLS towards broker and database.

use crate::doctor::Said;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tests::eventually::eventually;
use tests::heavy;
use tests::http::Ask;
use tests::person::Person;
use tests::ports;
use tests::process::{Launch, Program, built};
use tests::wire;

/// Longest wait until everything runs, and until an order was carried out.
const UP: Duration = Duration::from_secs(180);

/// `cluster` with these words, for a cluster whose list and whose folder are in a folder.
fn cluster(folder: &Path, words: &str) -> Launch {
    let launch = Launch::new(&built("cluster"), folder).words(words).argument("--list");
    launch.argument(folder.join("cluster.json").to_string_lossy())
}

/// The same, with everything that a start needs.
fn up(folder: &Path, listen: &str, words: &str) -> Launch {
    let launch = cluster(folder, words).named("up").argument("--listen").argument(listen);
    launch.argument("--folder").argument(folder.join("cluster").to_string_lossy())
}

async fn runs_everything(up: &Program) {
    let said = || async { up.log().contains("The chat is at").then_some(()) };
    eventually("everything runs", UP, said).await;
}

/// The running processes by role, as the list has them.
struct List(Value);

impl List {
    async fn of(file: &Path) -> Self {
        let text =
            eventually("the list of processes is there", UP, || async { std::fs::read_to_string(file).ok() });
        Self(serde_json::from_str(&text.await).unwrap())
    }

    fn of_role(&self, role: &str) -> Vec<&Value> {
        let processes = self.0["processes"].as_array().unwrap();
        processes.iter().filter(|process| process["role"] == role).collect()
    }

    fn ids(&self) -> Vec<u64> {
        self.0["processes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|process| process["pid"].as_u64().unwrap())
            .collect()
    }
}

fn runs(id: u64) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_people_over_tls_is_scaled_rolled_and_leaves_nothing_behind() {
    let _turn = heavy::turn().await;
    let folder = tempfile::tempdir().unwrap();
    let (listen, list) = (format!("127.0.0.1:{}", ports::free()), folder.path().join("cluster.json"));
    let cluster = |words: &str| cluster(folder.path(), words);
    let mut up =
        Program::start(up(folder.path(), &listen, "up --gateways 1 --workers 1 --auth 1 --shards 2"));
    runs_everything(&up).await;

    let all = List::of(&list).await;
    for (role, count) in [("nats", 3), ("surrealdb", 1), ("gateway", 1), ("search-worker", 1), ("edge", 1)] {
        assert_eq!(all.of_role(role).len(), count, "{role}: {}", all.0);
    }
    for service in ["gateway", "history-worker", "auth-service", "search-worker"] {
        let operations = all.of_role(service)[0]["operations"].as_str().unwrap();
        assert_eq!(Ask::get("/readyz").send(operations).await.status, 200, "{service}");
    }
    let address = all.0["address"].as_str().unwrap();
    wire::trust(address, Path::new(all.0["ca"].as_str().unwrap()));
    the_doctor_is_content_but_for_what_is_planted(&all.0).await;
    let ann = Person::arrives(address, "Ann").await;
    let room = ann.creates("Over TLS").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("before").await;

    let scaled = cluster("order scale gateways=2").named("scale").to_the_end(UP).await;
    assert!(scaled.code == 0 && scaled.output.contains("there are 2 of gateway"), "{}", scaled.output);
    let before = List::of(&list).await;
    assert_eq!(before.of_role("gateway").len(), 2);
    let stopped = cluster("order stop search-worker").named("stop").to_the_end(UP).await;
    assert_eq!(stopped.code, 0, "{}", stopped.output);
    let rolled = cluster("order roll").named("roll").to_the_end(UP).await;
    assert_eq!(rolled.code, 0, "{}", rolled.output);
    assert!(rolled.output.contains("did not stop in order: none"), "{}", rolled.output);
    let after = List::of(&list).await;
    assert!(
        before.ids().iter().all(|id| !after.ids().contains(id) && !runs(*id)),
        "{} {}",
        before.0,
        after.0
    );
    assert!(after.of_role("search-worker").is_empty(), "it was stopped on purpose: {}", after.0);
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("after").await;
    let refused = cluster("order scale gateways=0").named("refused").to_the_end(UP).await;
    assert!(refused.code == 1 && refused.output.contains("from 1 to 16"), "{}", refused.output);

    let settings = std::fs::read_to_string(folder.path().join("cluster/backchat.env")).unwrap();
    let roots = settings.split("BACKCHAT_ROOTS='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(Path::new(roots).is_dir(), "{roots}");
    up.terminate();
    assert_eq!(up.ended(UP).await, 0);
    let is_gone = || async { (!Path::new(roots).exists()).then_some(()) };
    eventually("the root keys are gone", Duration::from_secs(20), is_gone).await;
    assert!(!list.exists(), "the list names processes that are gone");
    let gone = || async { after.ids().iter().all(|id| !runs(*id)).then_some(()) };
    eventually("every process has ended", Duration::from_secs(20), gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cluster_is_refused_and_an_order_that_can_not_be_done_harms_nothing() {
    let _turn = heavy::turn().await;
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listen = format!("127.0.0.1:{}", ports::free());
    let size = "up --gateways 1 --workers 1 --auth 1 --shards 1 --patience 30";
    let mut running = Program::start(up(folder.path(), &listen, size));
    runs_everything(&running).await;
    let order = async |words: &str| cluster(folder.path(), words).named("order").to_the_end(UP).await;

    let other = format!("127.0.0.1:{}", ports::free());
    for (folder, listen, why) in [
        (folder.path(), &other, "a cluster runs already"),
        (elsewhere.path(), &listen, "can't be listened on"),
    ] {
        let second = up(folder, listen, "up").named("second").to_the_end(UP).await;
        assert!(second.code == 1 && second.output.contains(why), "{}", second.output);
    }
    let all = List::of(&folder.path().join("cluster.json")).await;
    for file in [folder.path().join("cluster"), folder.path().join("cluster.json")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is open to others: {mode:o}", file.display());
    }

    // Somebody who comes to give an order and says nothing holds up no other for long.
    let _silent = UnixStream::connect(all.0["control"].as_str().unwrap()).unwrap();
    let stopped = order("order stop nats").await;
    assert_eq!(stopped.code, 0, "{}", stopped.output);
    let scaled = order("order scale gateways=2").await;
    assert!(scaled.code == 1 && scaled.output.contains("not ready: "), "{}", scaled.output);
    let started = order("order start").await;
    assert!(started.code == 0 && running.is_running(), "{}", started.output);
    assert_eq!(List::of(&folder.path().join("cluster.json")).await.of_role("gateway").len(), 2);
    running.terminate();
    assert_eq!(running.ended(UP).await, 0);
}

async fn the_doctor_is_content_but_for_what_is_planted(all: &Value) {
    let text = |pointer: &str| all.pointer(pointer).and_then(Value::as_str).unwrap();
    let (history, auth, ca) = (text("/databases/history"), text("/databases/auth"), text("/ca"));
    let arguments = [
        ("--nats-url", text("/nats/url")),
        ("--nats-user", text("/nats/user")),
        ("--nats-password", text("/nats/password")),
        ("--nats-ca", ca),
        ("--history-database", history),
        ("--auth-database", auth),
        ("--origin", text("/address")),
        ("--origin-ca", ca),
    ];
    let said = Said::of_pieces(&arguments).await;
    said.all_is_well().keeps_secret(text("/nats/password"));
    for good in [
        "the certificate of 127.0.0.1 is good for",
        "all 6 streams are there",
        "each stream is on 3 servers, has a leader, and lags nowhere",
        "the database of history has schema",
        "the database of accounts has schema",
        "the clock of the SurrealDB server agrees",
        "Secure, HttpOnly and SameSite=Lax",
        "a WebSocket comes through",
        "a WebSocket of another site is refused",
    ] {
        said.praises(good);
    }
    let wrong = history.replacen("://history:", "://history:not-", 1);
    let nowhere = auth.replacen("?ca=", "-of-somebody-else?ca=", 1);
    let said = Said::of_pieces(&[("--history-database", &wrong), ("--auth-database", &nowhere)]).await;
    said.says("fault", "refuses this user and password", "BACKCHAT_HISTORY_DATABASE")
        .says("fault", "the database of accounts", "BACKCHAT_AUTH_DATABASE")
        .says_nothing_else(2)
        .keeps_secret("history:not-");
}

#[tokio::test]
async fn a_service_that_cannot_read_whom_to_trust_says_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let broker = Launch::new(&built("backchat-setup"), folder.path())
        .set("BACKCHAT_SETUP_NATS_URL", "tls://127.0.0.1:1")
        .set("BACKCHAT_SETUP_NATS_CA", file.display());
    let ended = broker.to_the_end(UP).await;
    assert!(
        ended.code == 2 && ended.output.contains("ca.pem can't be used as authorities"),
        "{}",
        ended.output
    );
}
