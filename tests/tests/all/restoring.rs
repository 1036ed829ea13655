//! What was erased stays erased when an older backup is restored.

use protocol::keys::{Holder, KeyAdmin, KeyAdminAnswer};
use protocol::{RoomSlug, subject};
use sealing::Root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::backup::{Backup, STREAMS};
use tests::eventually::{SOON, eventually};
use tests::nats::Nats;
use tests::operator::{ask, holder, settled};
use tests::person::{PASSWORD, Person};
use tests::process::{Launch, built};
use tests::services::Services;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where one machine has its databases and its root keys.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn runs(&self, nats: Nats) -> Services {
        let database = |name: &str| format!("surrealkv://{}?sync=every", self.path(name).display());
        let roots = self.path("roots").to_string_lossy().into_owned();
        let settings = [
            ("BACKCHAT_AUTH_SERVICE_DATABASE", database("auth")),
            ("BACKCHAT_HISTORY_WORKER_DATABASE", database("history")),
            ("BACKCHAT_AUTH_SERVICE_ROOTS", roots.clone()),
            ("BACKCHAT_GATEWAY_ROOTS", roots),
        ];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        Services::on(nats, 1, &settings).await
    }
}

fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} can't be copied", from.display());
}

#[tokio::test]
async fn what_was_erased_since_an_older_backup_stays_erased_when_that_is_restored() {
    let old = Machine::new();
    sealing::store(&old.path("roots"), &Root::random(1).unwrap()).unwrap();
    let mut services = old.runs(Nats::start().await).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let (room, gone) = (ben.creates("Restored").await, ben.creates("Gone").await);
    ann.joins(&room).await;
    for (person, room, text) in
        [(&ann, &room, "her words"), (&ben, &room, "his words"), (&ben, &gone, "words of a room")]
    {
        let mut socket = person.connects(room).await;
        socket.caught_up().await;
        socket.say(text).await;
    }

    // A backup of everything.
    let client = services.nats.client().await;
    let mut backups = Vec::new();
    for stream in STREAMS {
        backups.push(Backup::of(&client, stream).await);
    }
    let new = Machine::new();
    // Not of the history: a restored log is another life of it, from which the worker makes the history anew.
    assert_eq!(services.auth.terminate().await, 0);
    copied(&old.path("auth"), &new.path("auth"));
    services.auth.start().await;

    // Then she and a room are erased, the root key is replaced, and the old one destroyed.
    let broker = services.nats.connect().await;
    for holder in [holder(&broker, &ann.name).await, Holder::Room(RoomSlug::parse(&gone).unwrap())] {
        let erased = ask(&broker, &KeyAdmin::Erase { holder }).await;
        assert_eq!(erased, Ok(KeyAdminAnswer::Erased { keys: 1 }));
    }
    sealing::store(&old.path("roots"), &Root::random(2).unwrap()).unwrap();
    assert_eq!(ask(&broker, &KeyAdmin::Rotate).await, Ok(KeyAdminAnswer::Started));
    eventually("all is erased and wrapped anew", PATIENCE, || settled(&broker, 2)).await;
    std::fs::remove_file(old.path("roots").join("root-1")).unwrap();
    copied(&old.path("roots"), &new.path("roots"));
    let keys = Backup::of(&client, subject::KEYS_STREAM).await;

    // With the keys of the old backup nothing can be opened, and the services say so.
    let elsewhere = Nats::start().await;
    for backup in &backups {
        backup.restore(&elsewhere.client().await).await;
    }
    let launch = Launch::new(&built("gateway"), new.folder.path())
        .set("BACKCHAT_GATEWAY_NATS_URL", elsewhere.url())
        .set("BACKCHAT_GATEWAY_LISTEN", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_OPERATIONS", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_ROOTS", new.path("roots").to_string_lossy());
    let refused = launch.to_the_end(PATIENCE).await;
    assert_eq!(refused.code, 2, "{}", refused.output);
    assert!(refused.output.contains("root key 1 is missing"), "{}", refused.output);

    // An empty machine gets the old backup with the keys of now.
    let elsewhere = Nats::start().await;
    for (stream, backup) in STREAMS.iter().zip(&backups) {
        let backup = if *stream == subject::KEYS_STREAM { &keys } else { backup };
        backup.restore(&elsewhere.client().await).await;
    }
    let restored = new.runs(elsewhere).await;
    let ben = ben.through(&restored.address(0));
    let html = ben.get(&format!("/room/{room}/")).await.body;
    assert!(html.contains("his words") && !html.contains("her words"), "{html}");
    let mut socket = ben.connects(&room).await;
    socket.caught_up().await;
    socket.say("it goes on").await;
    // What the erasures did beside destroying keys is done again.
    eventually("she has no account", SOON, || async {
        let stranger = Person::stranger(&restored.address(0));
        (stranger.log_in(&ann.name, PASSWORD, "/").await.status != 303).then_some(())
    })
    .await;
    eventually("the room of the backup knows that she was erased", SOON, || async {
        ben.opens(&room).await.rows.iter().any(|row| row.kind == "user_erased").then_some(())
    })
    .await;
    eventually("the erased room is gone again", SOON, || async {
        (ben.get(&format!("/room/{gone}/")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(restored.gateways[0].metric("unopened_total").await, Some(0), "it is no alarm");
}
