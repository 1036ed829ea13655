//! Who makes keys, when, and what an owner does with root keys. What is sealed is in `sealed`, what becomes of keys in `root_keys`.

use broker::{Broker, Expect};
use protocol::keys::{Holder, KeyAdmin, KeyAdminAnswer, KeyAnswer, KeyName, KeyRequest, KeyState};
use protocol::{RoomSlug, UserId, subject};
use sealing::{Key, Root, Roots};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tests::backchat::{Backchat, START, STOP};
use tests::nats::Nats;
use tests::person::{PASSWORD, Person, unique};
use tests::ports;
use tests::process::{Ended, Launch, Program, built};
use tests::services::Services;
use tests::straight::{api, change_stream};

const ANSWER: Duration = Duration::from_secs(5);
/// Longest wait for a program that does one thing and ends.
const END: Duration = Duration::from_secs(60);

async fn messages_at(broker: &Broker, subject: &str) -> usize {
    broker.read_after(subject::KEYS_STREAM, subject, 0, 100).await.unwrap().records.len()
}

async fn store(broker: &Broker, roots: &Roots, subject: &str) {
    let key = roots.wrap(subject, &Key::random().unwrap()).unwrap();
    let payload = KeyState::Wrapped { key }.encode();
    broker.put(subject.to_owned(), Expect::LastSequence(0), None, payload).await.unwrap();
}

#[tokio::test]
async fn a_room_gets_one_key_however_often_it_is_asked_for_and_none_after_it_was_erased() {
    let services = Services::start(0).await;
    let broker = services.nats.connect().await;
    let room = RoomSlug::parse(&format!("asked_{}", unique())).unwrap();
    let request = KeyRequest { room: room.clone() };
    let ask = || broker.ask::<KeyAnswer>(subject::KEY_REQUESTS.into(), &request, ANSWER);
    let answers = futures_util::future::join_all((0..20).map(|_| ask())).await;
    assert!(answers.into_iter().all(|answer| answer == Ok(KeyAnswer::Stored)));
    let holder = Holder::Room(room.clone());
    let key = KeyName { holder: holder.clone(), generation: 1 }.subject();
    assert_eq!(messages_at(&broker, &key).await, 1);
    assert_eq!(messages_at(&broker, &holder.subjects()).await, 1);

    let erased = broker.ask(subject::KEY_ADMIN.into(), &KeyAdmin::Erase { holder }, ANSWER).await;
    assert_eq!(erased, Ok(KeyAdminAnswer::Erased { keys: 1 }));
    assert!(matches!(ask().await, Ok(KeyAnswer::Refused { .. })), "an erased room gets no other key");
    let nonsense = broker.ask(subject::KEY_REQUESTS.into(), &"a key, please", ANSWER).await;
    assert!(matches!(nonsense, Ok(KeyAnswer::Refused { .. })));
}

/// An empty broker after the set-up step.
async fn set_up(folder: &Path) -> Nats {
    let nats = Nats::start().await;
    let launch = Launch::new(&built("backchat-setup"), folder).set("BACKCHAT_SETUP_NATS_URL", nats.url());
    let ended = launch.to_the_end(END).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    nats
}

/// An auth service, and where its health is.
fn auth_service(nats: &Nats, folder: &Path, name: &str) -> (Launch, String) {
    let (operations, database) = (ports::free(), folder.join(format!("{name}-database")));
    let launch = Launch::new(&built("auth-service"), folder)
        .named(name)
        .set("BACKCHAT_AUTH_SERVICE_NATS_URL", nats.url())
        .set("BACKCHAT_AUTH_SERVICE_LISTEN", "127.0.0.1:0")
        .set("BACKCHAT_AUTH_SERVICE_OPERATIONS", format!("127.0.0.1:{operations}"))
        .set("BACKCHAT_AUTH_SERVICE_DATABASE", format!("surrealkv://{}", database.display()))
        .set("BACKCHAT_AUTH_SERVICE_ROOTS", tests::keys::folder());
    (launch, format!("127.0.0.1:{operations}"))
}

#[tokio::test]
async fn auth_services_that_start_at_once_make_one_canary() {
    let folder = tempfile::tempdir().unwrap();
    let nats = set_up(folder.path()).await;
    let launches = [1, 2, 3].map(|n| auth_service(&nats, folder.path(), &format!("auth-{n}")));
    let mut programs = launches.map(|(launch, health)| (Program::start(launch), health));
    for (program, health) in &mut programs {
        program.ready_at(health, "/readyz", START).await;
    }
    assert_eq!(messages_at(&nats.connect().await, subject::CANARY).await, 1);
}

#[tokio::test]
async fn keys_without_a_canary_are_not_taken_for_a_new_installation() {
    let folder = tempfile::tempdir().unwrap();
    let nats = set_up(folder.path()).await;
    let roots = Roots::of(vec![Root::random(1).unwrap()]).unwrap();
    let key = KeyName { holder: Holder::User(UserId::new()), generation: 1 }.subject();
    let broker = nats.connect().await;
    store(&broker, &roots, &key).await;
    let ended = auth_service(&nats, folder.path(), "auth").0.to_the_end(END).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("no canary among them"), "{}", ended.output);
    assert_eq!(messages_at(&broker, subject::CANARY).await, 0, "none was made");
}

#[tokio::test]
async fn without_room_for_a_key_no_account_is_made_and_no_key_is_dropped() {
    let services = Services::start(1).await;
    let broker = services.nats.connect().await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let before = messages_at(&broker, subject::KEYS).await;
    let limit = |to: i64| {
        change_stream(&broker, subject::KEYS_STREAM, move |config, _| config["max_msgs"] = json!(to))
    };
    limit(before as i64).await.unwrap();
    let (ben, name) = (Person::stranger(&services.address(0)), format!("Ben {}", unique()));
    let refused = ben.register(&name, PASSWORD).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(messages_at(&broker, subject::KEYS).await, before);
    let purged = api(&broker, &format!("STREAM.PURGE.{}", subject::KEYS_STREAM), &json!({})).await;
    assert!(purged.is_err(), "{purged:?}");
    assert_eq!(messages_at(&broker, subject::KEYS).await, before);

    limit(-1).await.unwrap();
    let registered = ben.register(&name, PASSWORD).await;
    assert_eq!(registered.status, 303, "the name is still free: {}", registered.body);
    let with_his = messages_at(&broker, subject::KEYS).await;
    let namesake = Person::stranger(&services.address(0)).register(&name, PASSWORD).await;
    assert_ne!(namesake.status, 303, "the name is taken");
    assert_eq!(messages_at(&broker, subject::KEYS).await, with_his, "no key is left of who got no account");
    ann.creates("Unharmed").await;
}

/// The single-node edition with root keys of its own.
struct Owner {
    folder: tempfile::TempDir,
    port: u16,
}

impl Owner {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: ports::free() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn launch(&self) -> Launch {
        Backchat::command_with_its_own_roots(self.port, Path::new(&self.path("data")), self.folder.path())
    }

    /// `backchat keys <verb>` with these root keys and this standard input.
    async fn keys(&self, verb: &str, roots: &str, input: &str) -> Ended {
        let asked = self.launch().named(&format!("keys-{}", unique())).words(&format!("keys {verb}"));
        asked.argument("--roots").argument(self.path(roots)).input(input).to_the_end(END).await
    }

    async fn runs(&self) -> Program {
        let mut program = Program::start(self.launch());
        program.ready_at(&format!("127.0.0.1:{}", self.port), "/readyz", START).await;
        program
    }
}

async fn stops(mut program: Program) {
    program.terminate();
    assert_eq!(program.ended(STOP).await, 0, "{}", program.log());
}

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{}", ended.output);
    for word in words {
        assert!(ended.output.contains(word), "{word:?} is not in {}", ended.output);
    }
}

#[tokio::test]
async fn an_owner_checks_root_keys_writes_them_down_and_types_them_in_again() {
    let owner = Owner::new();
    says(&owner.keys("check", "data-roots", "").await, 2, &[&owner.path("data-roots"), "name the folder"]);
    let program = owner.runs().await;
    let ann = Person::arrives(&format!("127.0.0.1:{}", owner.port), "Ann").await;
    ann.creates("Kept").await;
    // The canary, Ann's and the room's.
    let good = ["open all 3 keys", "root-1: needed by 3 keys"];
    says(&owner.keys("check", "data-roots", "").await, 0, &good);
    stops(program).await;
    says(&owner.keys("check", "data-roots", "").await, 0, &good);

    let exported = owner.keys("export", "data-roots", "").await;
    let line = exported.output.lines().find(|line| line.starts_with("1 ")).unwrap().to_owned();
    assert_eq!((exported.code, line.split(' ').count()), (0, 25), "a number and 24 words");
    says(&owner.keys("import", "typed", &line.replace(' ', "\n")).await, 0, &["Written: "]);
    let key = |roots: &str| std::fs::read(Path::new(&owner.path(roots)).join("root-1")).unwrap();
    assert_eq!(key("typed"), key("data-roots"));
    says(&owner.keys("check", "typed", "").await, 0, &good);

    says(&owner.keys("import", "typed", &line).await, 2, &["has a root key 1 already"]);
    says(&owner.keys("import", "data/roots", &line).await, 2, &["must not lie in the data folder"]);
    assert!(!Path::new(&owner.path("data/roots")).exists());
    let slip = line.replacen(line.split(' ').nth(3).unwrap(), "backchat", 1);
    says(&owner.keys("import", "slip", &slip).await, 2, &["(backchat) is not one of the words"]);
    assert!(!Path::new(&owner.path("slip")).exists(), "nothing is written");
    says(&owner.keys("chek", "typed", "").await, 2, &["keys chek is not expected here"]);
}

#[tokio::test]
async fn other_root_keys_are_refused_with_the_names_of_both_folders() {
    let owner = Owner::new();
    stops(owner.runs().await).await;
    let (data, others) = (owner.path("data"), owner.path("others"));
    sealing::store(Path::new(&others), &Root::random(1).unwrap()).unwrap();
    let ended = owner.launch().named("others").argument("--roots").argument(&*others).to_the_end(END).await;
    let words = [&*data, &others, "these are not the root keys of this installation", "root-1"];
    says(&ended, 2, &words);
    let line = ended.output.lines().rfind(|line| line.starts_with("backchat: ")).unwrap();
    assert!(words.iter().all(|word| line.contains(word)), "it is one sentence: {line}");
    says(&owner.keys("check", "others", "").await, 2, &[&data, &others, "1 of the 1 keys"]);
    stops(owner.runs().await).await;
}

#[tokio::test]
async fn an_owner_rotates_the_root_key_while_people_talk() {
    let folder = tempfile::tempdir().unwrap();
    let (port, data, roots) = (ports::free(), folder.path().join("data"), folder.path().join("data-roots"));
    let launch = Backchat::command_with_its_own_roots(port, &data, folder.path());
    let command = |words: &str| launch.clone().named("keys").words(words);
    let refused = command("keys rotate").to_the_end(END).await;
    assert_eq!(refused.code, 2, "nothing runs and nothing is there: {}", refused.output);

    let address = format!("127.0.0.1:{port}");
    let mut program = Program::start(launch.clone());
    program.ready_at(&address, "/readyz", START).await;
    let ann = Person::arrives(&address, "Ann").await;
    let room = ann.creates("Rotated").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say("before").await;
    says(&command("keys check").to_the_end(END).await, 0, &["No root key was replaced yet"]);
    let Ended { code, output, .. } = command("keys rotate").to_the_end(END).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Every key is wrapped under root-2"), "{output}");
    socket.say("after").await;
    let still = ["will be complete in backups", "when root-1 is destroyed"];
    says(&command("keys check").to_the_end(END).await, 0, &still);
    std::fs::remove_file(roots.join("root-1")).unwrap();
    // The canary, a person, a room.
    let complete = ["root-2: needed by 3 keys", "Erasures are complete in backups: all up to 20"];
    says(&command("keys check").to_the_end(END).await, 0, &complete);
    program.terminate();
    assert_eq!(program.ended(STOP).await, 0);

    let mut program = Program::start(launch);
    program.ready_at(&address, "/readyz", START).await;
    assert_eq!(ann.opens(&room).await.messages(), ["before", "after"]);
    program.terminate();
    assert_eq!(program.ended(STOP).await, 0);
}
