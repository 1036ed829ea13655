//! The twenty lines with which the README shows programs the way in.

use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::backchat::shared;
use tests::person::{PASSWORD, Person};
use tests::process::{Launch, Program};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no {name} on PATH"))
}

fn script() -> String {
    std::fs::read_to_string(repository().join("examples/bot.py")).unwrap()
}

#[test]
fn the_readme_shows_the_script_as_it_is_and_it_is_short() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(readme.contains(script().trim()), "README.md differs from examples/bot.py");
    let lines = script().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 20, "{lines} lines");
}

#[tokio::test]
async fn the_script_logs_in_receives_and_answers() {
    let address = shared().await;
    let person = Person::arrives(&address, "Scripter").await;
    let room = person.creates("Bots").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(&on_path("python3"), folder.path())
        .argument("-u")
        .argument(repository().join("examples/bot.py").to_string_lossy())
        .argument(&address)
        .argument(&person.name)
        .argument(PASSWORD)
        .argument(&room);
    let bot = Program::start(launch);
    tests::eventually::eventually("the script is connected", Duration::from_secs(20), || async {
        bot.log().contains("caught_up").then_some(())
    })
    .await;
    socket.say("!echo hello: é 漢 🙂").await;
    assert_eq!(socket.messages(2).await, ["!echo hello: é 漢 🙂", "hello: é 漢 🙂"]);
}

#[tokio::test]
async fn curl_logs_in_with_plain_forms() {
    let address = shared().await;
    let person = Person::arrives(&address, "Curler").await;
    let folder = tempfile::tempdir().unwrap();
    let jar = folder.path().join("cookies");
    let curl = |arguments: &[&str]| {
        let mut launch =
            Launch::new(&on_path("curl"), folder.path()).argument("-sS").argument("-L").argument("-b");
        launch = launch.argument(jar.to_string_lossy()).argument("-c").argument(jar.to_string_lossy());
        arguments.iter().fold(launch, |launch, argument| launch.argument(*argument))
    };
    let (name, password) = (format!("name={}", person.name), format!("password={PASSWORD}"));
    let (login, home) = (format!("http://{address}/auth/login/"), format!("http://{address}/"));
    let forms = ["--data-urlencode", &name, "--data-urlencode", &password, &login];
    let ended = curl(&forms).to_the_end(Duration::from_secs(30)).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    let ended = curl(&[&home]).to_the_end(Duration::from_secs(30)).await;
    assert!(ended.output.contains(&person.name), "{}", ended.output);
}
