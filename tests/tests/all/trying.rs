//! `backchat try` and `probe`: what an operator, Helm and Kubernetes ask whether the chat works.

use std::time::Duration;
use tests::backchat::Backchat;
use tests::meddler::{Meddler, Meddling};
use tests::person::{PASSWORD, Person};
use tests::process::{Ended, Launch, built};
use tests::services::{Service, Services};
use tests::topology::authority::Authority;

/// Longest wait for the end of a command, which itself waits for a history or a search that does not come.
const END: Duration = Duration::from_secs(120);

fn command(words: &str) -> (tempfile::TempDir, Launch) {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(&built("backchat"), folder.path()).words(words);
    (folder, launch)
}

async fn says(words: &str) -> Ended {
    let (_folder, launch) = command(words);
    launch.to_the_end(END).await
}

/// How it begins its lines, the last but for an error's.
fn steps(ended: &Ended) -> Vec<String> {
    let lines = ended.output.lines().filter(|line| line.starts_with("good ") || line.starts_with("FAULT "));
    lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

const ALL: [&str; 7] =
    ["good edge", "good account", "good room", "good message", "good history", "good search", "good leaving"];

#[tokio::test]
async fn a_chat_that_works_is_tried_from_the_account_to_the_search() {
    let backchat = Backchat::start().await;
    let address = format!("http://{}", backchat.address());
    let ended = says(&format!("try {address}")).await;
    assert_eq!((ended.code, steps(&ended)), (0, ALL.map(str::to_owned).to_vec()), "{}", ended.output);
    let verdict = ended.output.lines().last().unwrap();
    assert!(verdict.starts_with(&format!("The chat at {address} works: ")), "{}", ended.output);

    // Whoever is registered already is left as they were.
    let regular = Person::arrives(&backchat.address(), "Regular").await;
    let (_folder, launch) = command(&format!("try {address} --json"));
    let launch = launch.set("BACKCHAT_TRY_NAME", &regular.name).set("BACKCHAT_TRY_PASSWORD", PASSWORD);
    let ended = launch.to_the_end(END).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(!ended.output.contains("erase person"), "nobody was registered: {}", ended.output);
    let found = |about: &str| {
        let lines = ended.output.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.into_iter().find(|line| line["about"] == about).unwrap()["found"].as_str().unwrap().to_owned()
    };
    let room = found("room").split_whitespace().nth(3).unwrap().to_owned();
    assert!(found("account").contains(&format!("logged in as {}", regular.name)), "{}", ended.output);
    assert!(!regular.get("/").await.body.contains(&room), "they have left {room}");
    regular.joins(&room).await;
    let page = regular.opens(&room).await;
    assert!(
        page.messages().iter().all(|message| !message.starts_with(room_word(&room))),
        "{:?}",
        page.messages()
    );

    let (_folder, launch) = command(&format!("try {address}"));
    let launch = launch.set("BACKCHAT_TRY_NAME", &regular.name).set("BACKCHAT_TRY_PASSWORD", "forgotten");
    let ended = launch.to_the_end(END).await;
    assert_eq!((ended.code, steps(&ended)), (1, vec!["good edge".into(), "FAULT account".into()]));
    assert!(ended.output.contains("logging in is answered 401"), "{}", ended.output);
}

/// The word of a room `try-<word>_x7qa`, which is also what was said there.
fn room_word(room: &str) -> &str {
    let name = room.rsplit_once('_').unwrap().0;
    name.rsplit(['-', '_']).next().unwrap()
}

#[tokio::test]
async fn behind_tls_its_certificate_must_be_believed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::made_in(folder.path());
    let backchat = Backchat::start().await;
    let tls = Some(authority.signs("edge"));
    let proxy = Meddler::before(&backchat.address(), Meddling { tls, ..Meddling::default() }).await;
    let words = format!("try https://localhost:{}", proxy.port());
    let ended = says(&format!("{words} --origin-ca {}", authority.file().display())).await;
    assert_eq!((ended.code, steps(&ended)), (0, ALL.map(str::to_owned).to_vec()), "{}", ended.output);
    let ended = says(&words).await;
    assert_eq!((ended.code, steps(&ended)), (1, vec!["FAULT edge".into()]), "{}", ended.output);
    assert!(ended.output.contains("the certificate of localhost is not good"), "{}", ended.output);
}

#[tokio::test]
async fn a_worker_that_is_away_is_named_though_people_chat_on() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let addresses = format!("http://{} http://{}", services.address(0), services.auth.address());
    services.gateways[0].kill();
    let told = says(&format!("try {addresses}")).await;
    assert_eq!((told.code, steps(&told)), (1, vec!["FAULT edge".into()]), "{}", told.output);
    let waited = tokio::spawn(async move { says(&format!("try {addresses} --wait 60")).await });
    services.gateways[0].start().await;
    let ended = waited.await.unwrap();
    assert_eq!((ended.code, steps(&ended)), (0, ALL.map(str::to_owned).to_vec()), "{}", ended.output);

    // Behind a gateway that passes on what is the auth service's, one address is enough.
    let address = format!("http://{}", services.address(0));
    services.worker.kill();
    let ended = says(&format!("try {address}")).await;
    let mut expected = ALL.map(str::to_owned).to_vec();
    expected.splice(4..6, ["FAULT history".to_owned()]);
    assert_eq!((ended.code, steps(&ended)), (1, expected), "{}", ended.output);
    assert!(ended.output.contains("no history worker answers"), "{}", ended.output);
    assert!(ended.output.contains("/readyz of the history workers"), "{}", ended.output);

    services.worker.start().await;
    services.search.kill();
    let ended = says(&format!("try {address}")).await;
    let mut expected = ALL.map(str::to_owned).to_vec();
    expected[5] = "FAULT search".to_owned();
    assert_eq!((ended.code, steps(&ended)), (1, expected), "{}", ended.output);
}

#[tokio::test]
async fn each_service_says_of_itself_whether_it_is_ready() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    for service in [&services.gateways[0], &services.auth, &services.worker, &services.search] {
        let ended = service.told("probe").await;
        assert_eq!(ended.code, 0, "{}: {}", service.name(), ended.output);
        assert!(ended.output.contains("/readyz answers 200"), "{}", ended.output);
    }
    services.nats.kill();
    tests::eventually::eventually("the gateway is not ready", Duration::from_secs(30), || async {
        (!services.gateways[0].is_ready().await).then_some(())
    })
    .await;
    let ended = services.gateways[0].told("probe").await;
    assert_eq!(ended.code, 1, "{}", ended.output);
    assert!(ended.output.contains("/readyz answers 503: {"), "{}", ended.output);
    kills_and_probes(&mut services.worker).await;
}

async fn kills_and_probes(service: &mut Service) {
    service.kill();
    let ended = service.told("probe").await;
    assert_eq!(ended.code, 1, "{}", ended.output);
    assert!(ended.output.contains("/readyz: "), "{}", ended.output);
}

#[tokio::test]
async fn a_probe_waits_as_long_as_it_is_told_to() {
    let mut backchat = Backchat::prepared(&[]);
    let url = format!("http://{}/readyz", backchat.address());
    assert_eq!(says(&format!("probe {url}")).await.code, 2);
    let asked = url.clone();
    let waited = tokio::spawn(async move { says(&format!("probe {asked} --wait 90")).await });
    backchat.start_again().await;
    let ended = waited.await.unwrap();
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains(&format!("{url} answers 200")), "{}", ended.output);
}
