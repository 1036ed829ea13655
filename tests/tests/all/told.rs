//! What an operator is told of the history on the way, by a history worker that answers as a test wants.

use broker::{Layout, setup};
use protocol::query::{
    AgedRoom, AskReplay, HistoryAnswer, HistoryQuery, Looked, Replay, Replaying, Verified, Verify,
};
use protocol::subject::Shard;
use protocol::{RoomSlug, Timestamp};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::eventually::{SOON, eventually};
use tests::nats::Nats;
use tests::person::unique;
use tests::process::{Launch, Program, built, signal};

const SHARD: Shard = Shard(0);
/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);

/// An installation whose history worker is a test's own.
struct Pretended {
    nats: Nats,
    asked: Arc<Mutex<Vec<HistoryQuery>>>,
    folder: tempfile::TempDir,
}

impl Pretended {
    /// `answer` is given the question and how many were asked before.
    async fn answering(answer: impl Fn(&HistoryQuery, usize) -> HistoryAnswer + Send + 'static) -> Self {
        let nats = Nats::start().await;
        let broker = nats.connect().await;
        setup::create(&broker, Layout { shards: 1, replicas: None, raise: false }).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut questions = broker.serve(SHARD.history_queries(), "history").await.unwrap();
        // Then the server knows that somebody answers.
        broker.stream(&SHARD.stream()).await.unwrap();
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let query: HistoryQuery = serde_json::from_slice(&question.payload).unwrap();
                let before = heard.lock().unwrap().len();
                heard.lock().unwrap().push(query.clone());
                question.answer(&answer(&query, before)).await;
            }
        });
        Self { nats, asked, folder: tempfile::tempdir().unwrap() }
    }

    fn asked(&self) -> Vec<HistoryQuery> {
        self.asked.lock().unwrap().clone()
    }

    fn launch(&self, program: &Path) -> Launch {
        let launch = Launch::new(program, self.folder.path()).named(&format!("told-{}", unique()));
        launch.set("BACKCHAT_NATS_URL", self.nats.url())
    }

    fn command(&self, words: &str) -> Launch {
        self.launch(&built("backchat")).words(words)
    }

    /// The same on a terminal.
    fn on_a_terminal(&self, words: &str) -> Launch {
        let script = PathBuf::from("script");
        let command = format!("{} {words}", built("backchat").display());
        self.launch(&script).argument("-qefc").argument(command).argument("/dev/null")
    }
}

/// A shard is made anew, 500 entries further at every look.
fn replays(query: &HistoryQuery, before: usize) -> HistoryAnswer {
    let HistoryQuery::Replay(asked) = query else {
        return HistoryAnswer::Refused { reason: "another question is not wanted here".to_owned() };
    };
    if matches!(asked, AskReplay::Look(_)) {
        let aged =
            vec![AgedRoom { room: RoomSlug::parse("tea_x7qa").unwrap(), first: Some(17), covered: false }];
        return HistoryAnswer::Looked(Looked { rooms: 3, aged, next: None });
    }
    let done = 500 * before as u64;
    let ended_at = (done >= 4_000 && matches!(asked, AskReplay::Status)).then(Timestamp::now);
    let last = Replaying {
        what: Replay::Shard,
        began_at: Timestamp::now(),
        ended_at,
        rooms: 3,
        entries: done,
        done,
        of: 4_000,
        left: 0,
        left_rooms: Vec::new(),
    };
    HistoryAnswer::Replay { last: Some(last) }
}

#[tokio::test]
async fn a_person_at_a_terminal_sees_a_bar_with_the_rate_and_the_time_that_is_left() {
    let pretended = Pretended::answering(replays).await;
    let ended = pretended.on_a_terminal("history replay").to_the_end(END).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    let drawn: Vec<_> = ended.output.split("\r\u{1b}[K").collect();
    let is_rated = |line: &&&str| line.contains("/s, ") && line.contains(" s left");
    let rated: Vec<_> = drawn.iter().filter(is_rated).collect();
    assert!(rated.len() >= 3, "{drawn:?}");
    assert!(rated.iter().all(|line| line.contains('[') && line.contains('%') && line.contains("3 rooms")));
    assert!(!ended.output.contains('{'), "a person reads no JSON: {}", ended.output);
    let before = "Of 3 rooms it has lost the beginning of 1: tea_x7qa. They stay as they are";
    assert!(ended.output.contains(before), "{}", ended.output);
    assert!(drawn.last().unwrap().contains("Shard 0: 3 rooms are made anew"), "{drawn:?}");
}

#[tokio::test]
async fn a_program_reads_the_rate_and_the_time_that_is_left_in_lines_of_json() {
    let pretended = Pretended::answering(replays).await;
    for command in [pretended.command("history replay"), pretended.on_a_terminal("--json history replay")] {
        pretended.asked.lock().unwrap().clear();
        let ended = command.to_the_end(END).await;
        assert_eq!(ended.code, 0, "{}", ended.output);
        let lines: Vec<Value> =
            ended.output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let before = lines.iter().find(|line| line["lost_beginnings"] == 1).unwrap();
        assert_eq!((&before["lost_rooms"][0], &before["of_rooms"]), (&"tea_x7qa".into(), &3.into()));
        let progress: Vec<_> = lines.iter().filter(|line| line["per_second"].is_number()).collect();
        assert_eq!(progress.len(), 1, "the next one comes after 10 s: {lines:?}");
        let line = progress[0];
        assert!(line["per_second"].as_f64() > Some(0.0) && line["seconds_left"].as_u64() > Some(0), "{line}");
        assert!(line["done"].as_u64() < Some(4_000) && line["of"] == 4_000 && line["shard"] == 0, "{line}");
        assert!(!ended.output.contains("\r\u{1b}[K"), "a program gets no bar: {}", ended.output);
    }
}

fn verifies_until(goes_on: Arc<AtomicBool>) -> impl Fn(&HistoryQuery, usize) -> HistoryAnswer {
    move |query, _| {
        let HistoryQuery::Verify(what) = query else {
            return HistoryAnswer::Refused { reason: "another question is not wanted here".to_owned() };
        };
        let tea = RoomSlug::parse("tea_x7qa").unwrap();
        let part = match what {
            Verify::Rooms { after: None } => Verified {
                rooms: 4,
                rows: 40,
                next: Some(Verify::Rooms { after: Some(tea) }),
                ..Verified::default()
            },
            // It takes long, until it is let.
            same if !goes_on.load(Ordering::Relaxed) => {
                Verified { next: Some(same.clone()), ..Verified::default() }
            }
            Verify::Rooms { .. } => Verified {
                rooms: 2,
                rows: 20,
                next: Some(Verify::Unknown { after: 0 }),
                ..Verified::default()
            },
            _ => Verified::default(),
        };
        HistoryAnswer::Verified(part)
    }
}

#[tokio::test]
async fn a_comparison_that_was_stopped_says_how_to_go_on_and_does_so() {
    let goes_on = Arc::new(AtomicBool::new(false));
    let pretended = Pretended::answering(verifies_until(Arc::clone(&goes_on))).await;
    let second = HistoryQuery::Verify(Verify::Rooms { after: Some(RoomSlug::parse("tea_x7qa").unwrap()) });
    let first = HistoryQuery::Verify(Verify::Rooms { after: None });
    for stop in ["INT", "TERM"] {
        pretended.asked.lock().unwrap().clear();
        let mut command = Program::start(pretended.command("history verify"));
        eventually("the second part is asked for", SOON, || async {
            // Not by the one before.
            let asked = pretended.asked();
            let begun = asked.iter().position(|query| *query == first)?;
            asked[begun..].contains(&second).then_some(())
        })
        .await;
        signal(command.id(), stop);
        assert_eq!(command.ended(END).await, 2, "{}", command.log());
        let said = command.log();
        assert!(said.contains("stopped before the end; 4 rooms were compared"), "{said}");
        assert!(said.contains("`backchat history verify --from 0:tea_x7qa`"), "{said}");
    }
    goes_on.store(true, Ordering::Relaxed);
    pretended.asked.lock().unwrap().clear();
    let rest = pretended.command("history verify --from 0:tea_x7qa").to_the_end(END).await;
    assert_eq!(rest.code, 0, "{}", rest.output);
    assert_eq!(pretended.asked()[0], second, "what was compared is not compared again");
    assert!(rest.output.contains("\"rooms\":2"), "{}", rest.output);
    for (words, sentence) in [
        ("history verify --from 7:tea_x7qa", "is no place to go on from"),
        ("history verify tea_x7qa --from 0:tea_x7qa", "for a comparison of all rooms"),
    ] {
        let ended = pretended.command(words).to_the_end(END).await;
        assert!(ended.code == 2 && ended.output.contains(sentence), "{words}: {}", ended.output);
    }
}

#[tokio::test]
async fn a_comparison_whose_worker_is_gone_says_how_to_go_on() {
    let pretended = Pretended::answering(|query, before| match query {
        HistoryQuery::Verify(_) if before == 0 => {
            let next = Some(Verify::Unknown { after: 7 });
            HistoryAnswer::Verified(Verified { rooms: 1, next, ..Verified::default() })
        }
        _ => HistoryAnswer::Refused { reason: "log or database can't be read now".to_owned() },
    })
    .await;
    let ended = pretended.command("history verify").to_the_end(END).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(
        ended.output.contains("can't be verified: log or database can't be read now"),
        "{}",
        ended.output
    );
    assert!(ended.output.contains("--from 0:@7"), "{}", ended.output);
}
