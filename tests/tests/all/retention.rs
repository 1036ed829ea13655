//! A room that keeps things for so many days: what is older is gone from pages, lists, search, log, database and backups, for those
//! who look on and for those who were away; the rest is not touched. A day is a few seconds here.

use protocol::frame::{EventFrame, Refusal};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::{SOON, becomes};
use tests::heard::{Heard, bodies};
use tests::http::Answer;
use tests::person::{Person, unique};
use tests::process::Ended;
use tests::services::Services;
use tests::stored;
use tokio::time::sleep;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(8);
const WITH_SHORT_DAYS: (&str, &str) = ("BACKCHAT_HISTORY_WORKER_RETENTION_DAY_S", "8");

async fn keeps(person: &Person, room: &str, days: u32) -> Answer {
    person.post(&format!("/room/{room}/keep/"), &[("days", &days.to_string())]).await
}

async fn commands(backchat: &Backchat, words: &str) -> Ended {
    let launch = backchat.launch().named(&format!("command-{}", unique()));
    launch.words(words).to_the_end(END).await
}

/// The history is compared with what the log has left.
async fn is_proved(backchat: &Backchat) {
    let ended = commands(backchat, "history verify").await;
    assert!(ended.code == 0 && ended.output.contains("\"different\":0"), "{}", ended.output);
}

/// The messages that the log still has of a room.
async fn logged(backchat: &Backchat, room: &str) -> Vec<String> {
    let log = stored::log(&backchat.broker().await, room).await;
    bodies(&log).into_iter().map(str::to_owned).collect()
}

fn has_expired(heard: &Heard) -> Option<()> {
    matches!(heard, Heard::Event(EventFrame::Expired { .. })).then_some(())
}

/// How many rows of rooms are in a backup.
fn rows_in(backup: &Path) -> usize {
    let files = std::fs::read_dir(backup).unwrap().map(|entry| entry.unwrap().path());
    let history = files.filter(|path| path.to_string_lossy().contains("history"));
    let lines = history.flat_map(|path| {
        let out = Command::new("zcat").arg(path).output().unwrap();
        String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    });
    lines.filter(|line| line.starts_with("{\"row\"")).count()
}

#[tokio::test]
async fn what_is_older_than_a_room_keeps_is_gone_from_everywhere() {
    let mut backchat = Backchat::with(&[&tests::backchat::UNLIMITED[..], &[WITH_SHORT_DAYS]].concat()).await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let ben = Person::arrives(&backchat.address(), "Ben").await;
    let room = ann.creates("Short").await;
    let other = ann.creates("Long").await;
    ann.connects(&other).await.say("kept walrus").await;
    ben.joins(&room).await;
    let mut anns = ann.connects(&room).await;
    anns.caught_up().await;
    let edited = anns.send("befor walrus").await;
    anns.acknowledged(edited).await;
    let edit = anns.edit(edited, "after walrus").await;
    anns.acknowledged(edit).await;
    let last_old = anns.say("old walrus").await;
    let away = ben.opens(&room).await.cursor;
    let written_at = tokio::time::Instant::now();
    let found = ["after walrus", "old walrus"];
    becomes("both are found", SOON, 3, || async { ann.finds("walrus").await.len() }).await;
    sleep((written_at + DAY).saturating_duration_since(tokio::time::Instant::now())).await;
    // Said of late to a message that is too old: its text is that of the message.
    let edit = anns.edit(edited, "late walrus").await;
    anns.acknowledged(edit).await;
    anns.say("young walrus").await;
    let mut bens = ben.connects(&room).await;
    bens.caught_up().await;
    assert_eq!(ben.opens(&room).await.messages(), ["late walrus", "old walrus", "young walrus"]);

    assert_eq!(
        keeps(&ben, &room, 1).await.status,
        403,
        "only who made the room says how long it keeps things"
    );
    assert_eq!(keeps(&ann, &room, 4_000).await.status, 422);
    assert_eq!(ben.opens(&room).await.messages().len(), 3, "nobody was heard");
    assert_eq!(keeps(&ann, &room, 1).await.status, 303);

    let set = bens.frame().await;
    assert!(matches!(&set, EventFrame::Retention { keep, .. } if keep.get() == 1), "{set:?}");
    let expired = bens.frame().await;
    assert!(matches!(&expired, EventFrame::Expired { upto, .. } if *upto == last_old), "{expired:?}");
    // What is left is kept, or the test had to hurry.
    assert_eq!(keeps(&ann, &room, 0).await.status, 303);

    let young = ["young walrus"];
    let mut returns = ben.connects_after(&room, &away).await;
    let (events, _) = returns.caught_up().await;
    assert_eq!(bodies(&events), young, "who was away is told what is left, and that the rest is gone");
    let mut newcomer = ben.connects(&room).await;
    newcomer.caught_up().await;
    newcomer.edit(edited, "again").await;
    assert_eq!(newcomer.refused().await.code, Refusal::NoSuchMessage);
    becomes(
        "it is found no more",
        SOON,
        vec!["kept walrus".to_owned(), "young walrus".to_owned()],
        || async {
            let mut found = ann.finds("walrus").await;
            found.sort();
            found
        },
    )
    .await;
    assert!(!ann.finds("walrus").await.iter().any(|text| found.contains(&text.as_str())));
    becomes("the log has lost it", SOON, vec!["young walrus".to_owned()], || logged(&backchat, &room)).await;
    is_proved(&backchat).await;

    for anew in ["by the running one", "by one that starts", "by one that was made anew"] {
        let page = ben.opens(&room).await;
        assert_eq!(page.messages(), young, "{anew}");
        let (rows, more) = ben.connects(&room).await.rows(u64::MAX >> 1, 50).await;
        assert!(
            matches!(
                &rows[..],
                [EventFrame::Message(_), EventFrame::Retention { .. }, EventFrame::Retention { .. }]
            ),
            "{anew}: {rows:?}"
        );
        assert!(!more, "{anew}: nothing is before");
        assert_eq!(ann.opens(&other).await.messages(), ["kept walrus"], "{anew}");
        is_proved(&backchat).await;
        if anew == "by the running one" {
            assert_eq!(backchat.terminate().await, 0);
            backchat.start_again().await;
        } else if anew == "by one that starts" {
            let ended = commands(&backchat, &format!("history replay {room}")).await;
            assert_eq!(ended.code, 0, "{}", ended.output);
        }
    }
}

#[tokio::test]
async fn a_backup_has_nothing_of_what_has_expired_before_it() {
    let mut backchat = Backchat::with(&[&tests::backchat::UNLIMITED[..], &[WITH_SHORT_DAYS]].concat()).await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Short").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..700).map(|number| format!("old {number}"))).await;
    sleep(DAY).await;
    socket.say("young").await;
    assert_eq!(keeps(&ann, &room, 1).await.status, 303);
    socket.until(has_expired).await;
    assert_eq!(keeps(&ann, &room, 0).await.status, 303);
    becomes("the log has lost it", SOON, vec!["young".to_owned()], || logged(&backchat, &room)).await;
    drop(socket);

    // Of what nobody reads any more a snapshot has nothing, whether the database has lost it yet or not.
    let place = tempfile::tempdir().unwrap();
    let ended = commands(&backchat, &format!("backup {}", place.path().join("one").display())).await;
    assert!(ended.code == 0, "{}", ended.output);
    assert_eq!(
        rows_in(&place.path().join("one")),
        3,
        "what was said last, and twice for how long it is kept"
    );
    is_proved(&backchat).await;
    let mut new = Backchat::prepared(&tests::backchat::UNLIMITED);
    let restore = new.launch().named(&format!("restore-{}", unique()));
    let ended =
        restore.words(&format!("restore {}", place.path().join("one").display())).to_the_end(END).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    new.start_again().await;
    assert_eq!(ann.comes_in_at(&new.address()).await.opens(&room).await.messages(), ["young"]);
    is_proved(&new).await;
    assert_eq!(backchat.terminate().await, 0);
}

/// Without the history worker the log is read, which still has how the room began, and more until the worker is there.
#[tokio::test]
async fn what_has_expired_is_neither_shown_nor_changed_from_the_log_alone() {
    let mut services = Services::with(2, &[WITH_SHORT_DAYS]).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Short").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..300).map(|number| format!("old {number}"))).await;
    let last_old = socket.send("the last old one").await;
    socket.acknowledged(last_old).await;
    sleep(DAY).await;
    let young: Vec<_> = (0..120).map(|number| format!("young {number}")).collect();
    socket.say_all(young.clone()).await;
    assert_eq!(keeps(&ann, &room, 1).await.status, 303);
    socket.until(has_expired).await;
    services.worker.kill();
    assert_eq!(keeps(&ann, &room, 0).await.status, 303);
    // The second gateway has nothing of the room in memory.
    let there = ann.comes_in_at(&services.address(1)).await;
    let mut other = there.connects(&room).await;
    let history = other.whole_history(50).await;
    assert_eq!(bodies(&history), young, "from the log");
    other.edit(last_old, "again").await;
    assert_eq!(other.refused().await.code, Refusal::NoSuchMessage);
    services.worker.start().await;
    let history = other.whole_history(50).await;
    assert_eq!(bodies(&history), young, "from the worker");
}
