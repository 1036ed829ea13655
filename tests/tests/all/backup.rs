//! Everything is backed up while people chat, and made anew elsewhere.

use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::{SOON, becomes, eventually};
use tests::files::files_with;
use tests::heard::bodies;
use tests::nats::Nats;
use tests::person::{PASSWORD, Person, unique};
use tests::process::{Ended, Launch, Program, built};
use tests::random::{Random, kills};
use tests::s3::S3;
use tests::services::{Service, Services};
use tokio::time::sleep;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(120);

fn command(backchat: &Backchat, words: &str) -> Launch {
    backchat.launch().named(&format!("command-{}", unique())).words(words)
}

async fn does(backchat: &Backchat, words: &str) -> Ended {
    let ended = command(backchat, words).to_the_end(END).await;
    assert_eq!(ended.code, 0, "{words}: {}", ended.output);
    ended
}

async fn refuses(backchat: &Backchat, words: &str, why: &str) {
    let ended = command(backchat, words).to_the_end(END).await;
    assert!(ended.code != 0 && ended.output.contains(why), "{words}: {} {}", ended.code, ended.output);
}

/// A chat with a room in which most things have happened, and a person who goes on writing in another.
struct Scene {
    backchat: Backchat,
    ann: Person,
    ben: Person,
    room: String,
    place: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let backchat = Backchat::without_rate_limit().await;
        let ann = Person::arrives(&backchat.address(), "Ann").await;
        let ben = Person::arrives(&backchat.address(), "Ben").await;
        let room = ann.creates("Kept").await;
        ben.joins(&room).await;
        let mut socket = ann.connects(&room).await;
        socket.caught_up().await;
        socket.say_all((0..120).map(|number| format!("needle-{number}"))).await;
        let edited = socket.send("befor it was edited").await;
        socket.acknowledged(edited).await;
        let edit = socket.edit(edited, "after it was edited").await;
        socket.acknowledged(edit).await;
        let deleted = socket.send("to be deleted").await;
        socket.acknowledged(deleted).await;
        let deletion = socket.delete(deleted).await;
        socket.acknowledged(deletion).await;
        let liked = socket.react(edited, "👍", true).await;
        socket.acknowledged(liked).await;
        Self { backchat, ann, ben, room, place: tempfile::tempdir().unwrap() }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A machine that has nothing yet.
    fn elsewhere() -> Backchat {
        Backchat::prepared(&tests::backchat::UNLIMITED)
    }
}

#[tokio::test]
async fn what_was_backed_up_while_people_chat_is_there_again_on_a_new_machine() {
    let scene = Scene::start().await;
    let busy = scene.ben.creates("Busy").await;
    let mut socket = scene.ben.connects(&busy).await;
    socket.caught_up().await;
    let writing = tokio::spawn(async move {
        let mut said = Vec::new();
        for number in 0..2_000 {
            socket.say(&format!("busy-{number}")).await;
            said.push(format!("busy-{number}"));
        }
        said
    });
    sleep(Duration::from_millis(300)).await;
    let place = scene.place("backup");
    let backed_up = does(&scene.backchat, &format!("backup {}", place.display())).await;
    assert!(!writing.is_finished(), "people wrote all the time: {}", backed_up.output);
    let said = writing.await.unwrap();

    assert_eq!(files_with(&place, &["needle-7", "after it was", "busy-3", PASSWORD]), Vec::<PathBuf>::new());
    let mut new = Scene::elsewhere();
    let restored = does(&new, &format!("restore {}", place.display())).await;
    assert!(restored.output.contains("2 accounts"), "{}", restored.output);
    new.start_again().await;

    // Nobody comes in with what the old machine gave: everybody logs in, with the password of before.
    let with_the_old_cookie = scene.ann.through(&new.address());
    assert_ne!(with_the_old_cookie.get(&format!("/room/{}/", scene.room)).await.status, 200);
    let (ann, ben) =
        (scene.ann.comes_in_at(&new.address()).await, scene.ben.comes_in_at(&new.address()).await);
    let mut old = scene.ann.connects(&scene.room).await;
    old.caught_up().await;
    let mut socket = ann.connects(&scene.room).await;
    socket.caught_up().await;
    let (was, is) = (old.whole_history(50).await, socket.whole_history(50).await);
    assert_eq!(bodies(&is), bodies(&was));
    assert!(bodies(&is).contains(&"after it was edited"));
    let html = ann.get(&format!("/room/{}/", scene.room)).await.body;
    assert!(html.contains("👍") && !html.contains("to be deleted"), "{html}");

    // Of what was written meanwhile it has the beginning, without a hole.
    let mut socket = ben.connects(&busy).await;
    socket.caught_up().await;
    let history = socket.whole_history(100).await;
    let kept: Vec<_> = bodies(&history).into_iter().filter(|body| body.starts_with("busy-")).collect();
    assert!(
        !kept.is_empty() && said.iter().zip(&kept).all(|(said, kept)| said == kept),
        "{} of {}",
        kept.len(),
        said.len()
    );
    socket.say("it goes on").await;
    does(&new, "history verify").await;
    let status = does(&new, "history status").await;
    assert!(status.output.contains("\"set_aside\":0"), "{}", status.output);
}

#[tokio::test]
async fn a_chat_in_which_nothing_was_said_yet_can_be_restored_too() {
    let backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let place = tempfile::tempdir().unwrap();
    let place = place.path().join("backup");
    does(&backchat, &format!("backup {}", place.display())).await;
    let mut new = Scene::elsewhere();
    does(&new, &format!("restore {}", place.display())).await;
    new.start_again().await;
    let ann = ann.comes_in_at(&new.address()).await;
    let room = ann.creates("First").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("the first words").await;
}

#[tokio::test]
async fn the_last_snapshot_is_seen() {
    let scene = Scene::start().await;
    does(&scene.backchat, &format!("history snapshot {}", scene.place("one").display())).await;
    let status = does(&scene.backchat, "history status").await;
    let line = status.output.lines().find(|line| line.contains("\"shard\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["last_snapshot"]["applied"].as_u64() > Some(120), "{line}");
    let names: Vec<_> =
        fs::read_dir(scene.place("one")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test]
async fn workers_hear_of_a_whole_backup_and_of_no_other_and_an_empty_shard_hides_none() {
    let apart = Apart::new();
    let mut services = apart.services(Nats::start().await).await;
    let raise = Launch::new(&built("backchat-setup"), services.nats.folder()).named("raising");
    let raise = raise.set("BACKCHAT_SETUP_NATS_URL", services.nats.url()).set("BACKCHAT_SETUP_SHARDS", 2);
    assert_eq!(raise.words("raise").to_the_end(END).await.code, 0);
    services.worker.terminate().await;
    services.worker.start().await;
    // The gateway knows of the first shard only, so the other one stays empty.
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let mut socket = ann.connects(&ann.creates("Kept").await).await;
    socket.caught_up().await;
    socket.say("something to keep").await;
    let times = async |worker: &Service| {
        let [snapshot, backup] = ["snapshot", "backup"].map(|of| format!("{of}_timestamp_seconds"));
        (worker.metric(&snapshot).await > Some(0), worker.metric(&backup).await > Some(0))
    };
    assert_eq!(times(&services.worker).await, (false, false));

    let path = |name: &str| apart.path(name).to_string_lossy().into_owned();
    apart.runs("backchat", &services.nats, &format!("history snapshot {}", path("history-alone"))).await;
    assert_eq!(times(&services.worker).await, (true, false), "the history is not all");

    services.auth.terminate().await;
    let cut = apart.launch("backchat", &services.nats, &format!("backup {}", path("cut")));
    let cut = cut.to_the_end(END).await;
    assert!(cut.code != 0 && cut.output.contains("the auth service does not answer"), "{}", cut.output);
    assert_eq!(times(&services.worker).await, (true, false), "accounts were not in it");

    services.auth.start().await;
    apart.runs("backchat", &services.nats, &format!("backup {}", path("whole"))).await;
    assert_eq!(times(&services.worker).await, (true, true));
    services.worker.terminate().await;
    services.worker.start().await;
    becomes("it is known after a restart", SOON, (true, true), || times(&services.worker)).await;
}

#[tokio::test]
async fn what_is_no_whole_backup_is_not_restored_and_what_is_there_is_not_written_over() {
    let scene = Scene::start().await;
    let place = scene.place("backup");
    let shown = place.display();
    does(&scene.backchat, &format!("backup {shown}")).await;
    refuses(&scene.backchat, &format!("backup {shown}"), "name a new folder").await;
    refuses(&scene.backchat, &format!("restore {shown}"), "it is not empty").await;
    refuses(&scene.backchat, "backup ftp://x/y", "s3://BUCKET/PREFIX").await;
    refuses(&scene.backchat, &format!("restore {}", scene.place("nothing").display()), "no finished backup")
        .await;

    let new = Scene::elsewhere();
    let stream = place.join("stream-CHAT_0.tar.s2");
    let whole = fs::read(&stream).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&stream, &changed).unwrap();
    refuses(&new, &format!("restore {shown}"), "stream-CHAT_0.tar.s2 is not what was written").await;
    fs::remove_file(&stream).unwrap();
    refuses(&new, &format!("restore {shown}"), "stream-CHAT_0.tar.s2 is missing").await;
    fs::write(&stream, &whole).unwrap();
    assert!(!new.data().exists(), "nothing was made of it");
    does(&new, &format!("restore {shown}")).await;
}

#[tokio::test]
async fn a_backup_and_a_restore_that_are_killed_leave_nothing_that_is_taken_for_a_whole_one() {
    let scene = Scene::start().await;
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::seeded(seed);
    let whole = scene.place("whole");
    does(&scene.backchat, &format!("backup {}", whole.display())).await;
    let mut new = Scene::elsewhere();
    for round in 0..kills(8) {
        let place = scene.place(&format!("cut-{round}"));
        cut(&command(&scene.backchat, &format!("backup {}", place.display())), &mut random).await;
        if !place.join("backup.json").exists() {
            let why = if place.exists() { "no finished backup" } else { "" };
            refuses(&new, &format!("restore {}", place.display()), why).await;
        }
        cut(&command(&new, &format!("restore {}", whole.display())), &mut random).await;
        if new.data().exists() {
            assert!(new.data().join("version").exists(), "round {round}");
            fs::remove_dir_all(new.data()).unwrap();
        }
    }
    does(&new, &format!("restore {}", whole.display())).await;
    new.start_again().await;
    let ann = scene.ann.comes_in_at(&new.address()).await;
    assert!(ann.get(&format!("/room/{}/", scene.room)).await.body.contains("needle-119"));
    does(&new, "history verify").await;
}

/// Begins a command and kills it at some moment.
async fn cut(launch: &Launch, random: &mut Random) {
    let mut program = Program::start(launch.clone());
    sleep(Duration::from_millis(random.between(20, 1_500))).await;
    program.kill();
}

#[tokio::test]
async fn a_lost_history_that_reaches_further_back_than_the_log_comes_back_from_its_snapshot() {
    let mut scene = Scene::start().await;
    let place = scene.place("snapshot");
    does(&scene.backchat, &format!("history snapshot {}", place.display())).await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    let after = socket.say("after the snapshot").await;
    purge(&scene.backchat, after - 20).await;
    assert_eq!(scene.backchat.terminate().await, 0);

    // Nothing is written over.
    let restore = format!("history restore {}", place.display());
    refuses(&scene.backchat, &restore, "holds a history").await;
    let history = scene.backchat.data().join("history");
    let mut random = Random::seeded(5);
    for _ in 0..4 {
        if history.exists() {
            fs::remove_dir_all(&history).unwrap();
        }
        cut(&command(&scene.backchat, &restore), &mut random).await;
        // The broker that it had started ends after it.
        let free = || async { scene.backchat.broker_id().is_none().then_some(()) };
        eventually("the data folder is free", SOON, free).await;
    }
    // The last one may have come to its end.
    let again = command(&scene.backchat, &restore).to_the_end(END).await;
    assert!(again.code == 0 || again.output.contains("holds a history"), "{}", again.output);
    scene.backchat.start_again().await;
    let mut socket = scene.ann.connects(&scene.room).await;
    socket.caught_up().await;
    let history = socket.whole_history(50).await;
    let kept = bodies(&history);
    assert_eq!(kept.iter().filter(|body| body.starts_with("needle-")).count(), 120);
    assert_eq!(kept.last(), Some(&"after the snapshot"));
    does(&scene.backchat, "history verify").await;
}

/// The log loses its beginning, as it does by age.
async fn purge(backchat: &Backchat, seq: u64) {
    let client = backchat.client().await;
    let question = json!({ "seq": seq, "filter": "chat.log.0.>" }).to_string();
    let answer = client.request("$JS.API.STREAM.PURGE.CHAT_0", question.into()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["success"], json!(true), "{answer}");
}

#[tokio::test]
async fn a_snapshot_is_not_restored_beside_another_log() {
    let mut scene = Scene::start().await;
    let place = scene.place("snapshot");
    does(&scene.backchat, &format!("history snapshot {}", place.display())).await;
    let mut other = Scene::start().await;
    let history = other.backchat.data().join("history");
    for backchat in [&mut scene.backchat, &mut other.backchat] {
        assert_eq!(backchat.terminate().await, 0);
    }
    fs::remove_dir_all(&history).unwrap();
    let restore = format!("history restore {}", place.display());
    refuses(&other.backchat, &restore, "nothing was changed").await;
    assert!(!history.exists(), "the log of another chat does not continue it");
}

#[tokio::test]
async fn services_that_run_apart_are_backed_up_and_restored_too() {
    let (old, new) = (Apart::new(), Apart::new());
    let services = old.services(Nats::start().await).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Apart").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..60).map(|number| format!("apart-{number}"))).await;
    let place = old.path("backup");
    let backup = ["backup", &place.to_string_lossy()].join(" ");
    old.runs("backchat", &services.nats, &backup).await;

    let elsewhere = Nats::start().await;
    let restore = ["restore", &place.to_string_lossy()].join(" ");
    for program in ["backchat", "auth-service", "history-worker"] {
        new.runs(program, &elsewhere, &restore).await;
    }
    // A second time there is something already.
    for (program, why) in [
        ("backchat", "there is a stream CHAT_0 already"),
        ("auth-service", "holds accounts"),
        ("history-worker", "holds a history"),
    ] {
        let ended = new.launch(program, &elsewhere, &restore).to_the_end(END).await;
        assert!(ended.code != 0 && ended.output.contains(why), "{program}: {}", ended.output);
    }
    let services = new.services(elsewhere).await;
    let ann = ann.comes_in_at(&services.address(0)).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("and on").await;
    let history = socket.whole_history(50).await;
    assert_eq!(bodies(&history).len(), 61);
    new.is_proved(&services.nats).await;
}

/// Where services that run apart have their databases.
struct Apart {
    folder: tempfile::TempDir,
}

impl Apart {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self, name: &str) -> String {
        format!("surrealkv://{}?sync=every", self.path(name).display())
    }

    async fn services(&self, nats: Nats) -> Services {
        let databases = [
            ("BACKCHAT_AUTH_SERVICE_DATABASE", self.database("auth")),
            ("BACKCHAT_HISTORY_WORKER_DATABASE", self.database("history")),
        ];
        let settings = databases.each_ref().map(|(name, value)| (*name, value.as_str()));
        Services::on(nats, 1, &settings).await
    }

    fn launch(&self, program: &str, nats: &Nats, words: &str) -> Launch {
        let launch =
            Launch::new(&built(program), self.folder.path()).named(&format!("{program}-{}", unique()));
        let launch = launch.words(words);
        match program {
            "backchat" => launch.set("BACKCHAT_NATS_URL", nats.url()),
            "auth-service" => launch
                .set("BACKCHAT_AUTH_SERVICE_NATS_URL", nats.url())
                .set("BACKCHAT_AUTH_SERVICE_LISTEN", "127.0.0.1:0")
                .set("BACKCHAT_AUTH_SERVICE_OPERATIONS", "127.0.0.1:0")
                .set("BACKCHAT_AUTH_SERVICE_ROOTS", tests::keys::folder())
                .set("BACKCHAT_AUTH_SERVICE_DATABASE", self.database("auth")),
            _ => launch
                .set("BACKCHAT_HISTORY_WORKER_NATS_URL", nats.url())
                .set("BACKCHAT_HISTORY_WORKER_OPERATIONS", "127.0.0.1:0")
                .set("BACKCHAT_HISTORY_WORKER_DATABASE", self.database("history")),
        }
    }

    /// The history that was restored is what the log says.
    async fn is_proved(&self, nats: &Nats) {
        let ended = self.launch("backchat", nats, "history verify").to_the_end(END).await;
        assert!(ended.code == 0 && ended.output.contains("\"different\":0"), "{}", ended.output);
        assert!(ended.output.contains("\"rooms\":1"), "{}", ended.output);
    }

    async fn runs(&self, program: &str, nats: &Nats, words: &str) {
        let ended = self.launch(program, nats, words).to_the_end(END).await;
        assert_eq!(ended.code, 0, "{program} {words}: {}", ended.output);
    }
}

#[tokio::test]
async fn a_bucket_holds_a_backup_too() {
    let scene = Scene::start().await;
    fs::create_dir(scene.place("bucket")).unwrap();
    let store = S3::serves(scene.place.path()).await;
    let mut new = Scene::elsewhere();
    let in_bucket = |backchat: &Backchat, words: &str| {
        let launch = command(backchat, words);
        store.environment().into_iter().fold(launch, |launch, (name, value)| launch.set(name, value))
    };
    for words in ["backup s3://bucket/monday", "backup s3://bucket/tuesday"] {
        let ended = in_bucket(&scene.backchat, words).to_the_end(END).await;
        assert_eq!(ended.code, 0, "{words}: {}", ended.output);
    }
    let again = in_bucket(&scene.backchat, "backup s3://bucket/monday").to_the_end(END).await;
    assert!(again.code != 0 && again.output.contains("name a new folder"), "{}", again.output);
    let stranger = in_bucket(&new, "restore s3://bucket/monday").set("AWS_SECRET_ACCESS_KEY", "another");
    let stranger = stranger.to_the_end(END).await;
    assert!(stranger.code != 0 && !new.data().exists(), "{}", stranger.output);
    let restored = in_bucket(&new, "restore s3://bucket/monday").to_the_end(END).await;
    assert_eq!(restored.code, 0, "{}", restored.output);
    assert!(restored.output.contains("2 accounts") && new.data().exists(), "{}", restored.output);
    new.start_again().await;
    eventually("the history worker answers", SOON, || async {
        (command(&new, "history status").to_the_end(END).await.code == 0).then_some(())
    })
    .await;
    let proved = does(&new, "history verify").await;
    assert!(proved.output.contains("\"rooms\":1,"), "{}", proved.output);
    let ann = scene.ann.comes_in_at(&new.address()).await;
    assert!(ann.get(&format!("/room/{}/", scene.room)).await.body.contains("needle-119"));
}

#[tokio::test]
async fn an_older_backup_is_restored_with_the_keys_of_a_newer_one_so_that_what_was_erased_stays_so() {
    let scene = Scene::start().await;
    let mut socket = scene.ben.connects(&scene.room).await;
    socket.caught_up().await;
    socket.say("his words").await;
    let (older, newer) = (scene.place("older"), scene.place("newer"));
    does(&scene.backchat, &format!("backup {}", older.display())).await;
    let erase = command(&scene.backchat, "erase person").argument(&scene.ben.name);
    let erased = erase.input(&format!("{}\n", scene.ben.name)).to_the_end(END).await;
    assert_eq!(erased.code, 0, "{}", erased.output);
    does(&scene.backchat, &format!("backup {}", newer.display())).await;

    let mut new = Scene::elsewhere();
    let restore = format!("restore {} --keys-from {}", older.display(), newer.display());
    let restored = does(&new, &restore).await;
    assert!(restored.output.contains("2 accounts"), "{}", restored.output);
    new.start_again().await;
    let ann = scene.ann.comes_in_at(&new.address()).await;
    let html = ann.get(&format!("/room/{}/", scene.room)).await.body;
    assert!(html.contains("needle-119") && !html.contains("his words"), "{html}");
    eventually("he has no account there either", SOON, || async {
        let stranger = Person::stranger(&new.address());
        (stranger.log_in(&scene.ben.name, PASSWORD, "/").await.status != 303).then_some(())
    })
    .await;
}
