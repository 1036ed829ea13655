//! What an operator asks about the history.

use bytes::Bytes;
use data_encoding::BASE64_NOPAD;
use protocol::RoomSlug;
use protocol::frame::EventFrame;
use protocol::query::{AskSetAside, HistoryAnswer, HistoryQuery};
use protocol::subject::Shard;
use serde_json::{Value, json};
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::{SOON, eventually};
use tests::heard::Heard;
use tests::http::Ask;
use tests::person::{Person, unique};
use tests::process::Ended;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);
/// No event, no text, and an order to a terminal.
const POISON: &[u8] = b"{\xff\x1b[31m";

async fn status(backchat: &Backchat) -> Ended {
    asked(backchat, "status").await
}

async fn asked(backchat: &Backchat, words: &str) -> Ended {
    let launch = backchat.launch().named(&format!("history-{}", unique()));
    launch.words(&format!("history {words}")).to_the_end(END).await
}

/// The line of the only shard, which stands among those of the log.
async fn line(backchat: &Backchat) -> Value {
    let ended = status(backchat).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    let line = ended.output.lines().find(|line| line.contains("\"shard\""));
    serde_json::from_str(line.unwrap()).unwrap()
}

#[tokio::test]
async fn an_operator_sees_how_far_the_history_is_and_what_was_set_aside() {
    let mut backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Looked at").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    for text in ["one", "two", "three"] {
        socket.say(text).await;
    }
    let applied = eventually("all is applied", SOON, || async {
        let line = line(&backchat).await;
        (line["events"] == 4).then_some(line)
    })
    .await;
    assert_eq!(applied["last_verify"], Value::Null);
    let figures = ["shard", "lag_entries", "lag_seconds", "duplicates", "set_aside"];
    assert!(figures.iter().all(|figure| applied[figure] == 0), "{applied}");
    assert_eq!(applied["oldest_set_aside"], Value::Null);

    let log = Shard(0).log(&RoomSlug::parse(&room).unwrap());
    let broker = backchat.broker().await;
    let poisoned = broker.publish(log.clone(), "poison", Bytes::from_static(POISON)).await.unwrap().seq;
    let aside = eventually("what is no event is set aside", SOON, || async {
        let line = line(&backchat).await;
        (line["set_aside"] == 1).then_some(line)
    })
    .await;
    let oldest = &aside["oldest_set_aside"];
    assert_eq!(oldest["seq"], json!(poisoned));
    assert_eq!(
        (&oldest["subject"], &oldest["reason"], &oldest["bytes"]),
        (&json!(log), &json!("not an event"), &json!(POISON.len()))
    );
    let raw = HistoryQuery::SetAside(AskSetAside::Show { seq: poisoned });
    let raw: HistoryAnswer = broker.ask(Shard(0).history_queries(), &raw, SOON).await.unwrap();
    let HistoryAnswer::SetAside { payload: Some(raw), .. } = raw else { panic!("{raw:?}") };
    assert_eq!(BASE64_NOPAD.decode(raw.as_bytes()).unwrap(), POISON, "the bytes are kept as they are");

    // Members see that something is there, at once and later.
    socket.until(|heard| matches!(heard, Heard::Event(EventFrame::Unreadable(_))).then_some(())).await;
    let (rows, _) = ann.connects(&room).await.rows(u64::MAX >> 1, 1).await;
    assert!(matches!(rows[..], [EventFrame::Unreadable(_)]), "{rows:?}");
    let html = ann.opens(&room).await.html;
    assert!(html.contains("Somebody</bdi> sent a message that could not be shown"), "{html}");
    let path = format!("/room/{room}/");
    let french = ann.send(Ask::get(&path).header("accept-language", "fr"), &path).await.body;
    assert!(french.contains("</bdi> a envoyé un message qui n’a pas pu être affiché"), "{french}");

    let place = format!("0.{}", oldest["seq"]);
    let listed = asked(&backchat, "set-aside list").await;
    let entry = listed.output.lines().find(|line| line.contains("\"place\"")).unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!((&entry["place"], &entry["reason"]), (&json!(place), &json!("not an event")));
    let shown = asked(&backchat, &format!("set-aside show {place}")).await;
    // What is no text does nothing to the terminal.
    let harmless = "{\u{fffd}\\u{1b}[31m";
    assert!(shown.code == 0 && shown.output.lines().any(|line| line == harmless), "{}", shown.output);
    let nothing = asked(&backchat, "set-aside drop 0.1").await;
    assert!(
        nothing.code == 2 && nothing.output.contains("nothing is set aside at 0.1"),
        "{}",
        nothing.output
    );
    let nonsense = asked(&backchat, "set-aside show 12").await;
    assert!(nonsense.code == 2 && nonsense.output.contains("such as 0.42"), "{}", nonsense.output);
    let dropped = asked(&backchat, &format!("set-aside drop {place}")).await;
    assert!(dropped.code == 0 && dropped.output.contains("still in the log"), "{}", dropped.output);
    let line = line(&backchat).await;
    assert_eq!((&line["set_aside"], &line["oldest_set_aside"]), (&json!(0), &Value::Null), "{line}");
    assert!(!asked(&backchat, "set-aside list").await.output.contains("\"place\""));

    assert_eq!(backchat.terminate().await, 0);
    let ended = status(&backchat).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("no backchat runs with this data folder"), "{}", ended.output);
}

#[tokio::test]
async fn where_nothing_was_said_yet_the_history_is_not_behind_and_nothing_is_made_anew() {
    let backchat = Backchat::start().await;
    let status = line(&backchat).await;
    assert_eq!((&status["applied"], &status["lag_entries"]), (&json!(0), &json!(0)), "{status}");
    let replayed = asked(&backchat, "replay").await;
    assert_eq!(replayed.code, 0, "{}", replayed.output);
    assert!(replayed.output.contains("\"rooms\":0"), "{}", replayed.output);
}

#[tokio::test]
async fn an_operator_has_the_history_proved_against_the_log() {
    let mut backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let (room, other) = (ann.creates("Proved").await, ann.creates("Another").await);
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let mut sequences = socket.say_all((0..20).map(|n| format!("m-{n}"))).await;
    let history = socket.whole_history(100).await;
    let edit = socket.edit(history[3].id, "edited").await;
    socket.acknowledged(edit).await;
    let reaction = socket.react(history[3].id, "👍", true).await;
    socket.acknowledged(reaction).await;
    let deletion = socket.delete(history[4].id).await;
    socket.acknowledged(deletion).await;
    sequences.push(socket.say("the end").await);
    tests::stored::worker_history(&backchat.broker().await, &room).await;

    let figures = |ended: &Ended| -> Value {
        let line = ended.output.lines().rfind(|line| line.contains("\"older\""));
        serde_json::from_str(line.unwrap_or_else(|| panic!("{}", ended.output))).unwrap()
    };
    let proved = asked(&backchat, "verify").await;
    assert_eq!(proved.code, 0, "{}", proved.output);
    assert_eq!(figures(&proved), json!({ "rooms": 2, "rows": 23, "older": 0, "different": 0 }));
    let last = line(&backchat).await["last_verify"].take();
    let found = json!({ "rooms": 2, "rows": 23, "different": 0, "different_rooms": 0, "at": last["at"] });
    assert_eq!(last, found, "who asked for it is told, and everybody else");

    // The log loses an entry behind everybody's back.
    let broker = backchat.broker().await;
    assert!(broker.erase(&Shard(0).stream(), sequences[10]).await.unwrap());
    let differs = asked(&backchat, "verify").await;
    assert_eq!(differs.code, 1, "{}", differs.output);
    assert_eq!(figures(&differs)["different"], 1);
    assert_eq!(backchat.terminate().await, 0);
    backchat.start_again().await;
    eventually("the history worker answers", SOON, || async {
        (status(&backchat).await.code == 0).then_some(())
    })
    .await;
    let last = line(&backchat).await["last_verify"].take();
    assert_eq!((&last["rooms"], &last["different_rooms"]), (&json!(2), &json!(1)), "it is kept: {last}");
    let named =
        json!({ "room": room, "seq": sequences[10], "field": "row", "log": "missing", "history": "there" });
    assert!(differs.output.contains(&named.to_string()), "{}", differs.output);
    assert!(differs.output.contains("differs from the log in one place"), "{}", differs.output);
    assert_eq!(asked(&backchat, &format!("verify {room}")).await.code, 1);
    assert_eq!(asked(&backchat, &format!("verify {other}")).await.code, 0);
    let nowhere = asked(&backchat, "verify nowhere_x7qa").await;
    assert!(nowhere.code == 2 && nowhere.output.contains("has a room nowhere_x7qa"), "{}", nowhere.output);
    let nonsense = asked(&backchat, "verify Not-a-room").await;
    assert!(
        nonsense.code == 2 && nonsense.output.contains("is not the address of a room"),
        "{}",
        nonsense.output
    );
}

#[tokio::test]
async fn the_history_is_found_right_while_people_write_change_and_delete() {
    let backchat = Backchat::without_rate_limit().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Busy").await;
    let until = Instant::now() + Duration::from_secs(12);
    let mut writers = JoinSet::new();
    for name in ["Ben", "Cleo", "Dov"] {
        let person = Person::arrives(&backchat.address(), name).await;
        person.joins(&room).await;
        let mut socket = person.connects(&room).await;
        socket.caught_up().await;
        writers.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                let id = socket.send(&format!("m-{count}")).await;
                socket.acknowledged(id).await;
                let change = match count % 4 {
                    0 => socket.edit(id, "edited at once").await,
                    1 => socket.react(id, "👍", true).await,
                    2 => socket.delete(id).await,
                    _ => socket.send("another").await,
                };
                socket.acknowledged(change).await;
                count += 1;
            }
            count
        });
    }
    let mut rounds = 0;
    while Instant::now() < until {
        let ended = asked(&backchat, "verify").await;
        assert_eq!(ended.code, 0, "round {rounds}: {}", ended.output);
        rounds += 1;
    }
    let written: usize = writers.join_all().await.into_iter().sum();
    assert!(rounds >= 3 && written > 100, "{rounds} rounds, {written} messages");
    let ended = asked(&backchat, "verify").await;
    assert_eq!(ended.code, 0, "{}", ended.output);
}

#[tokio::test]
async fn the_history_is_made_anew_while_people_write_and_read() {
    const KEPT: usize = 300;
    let backchat = Backchat::without_rate_limit().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let (room, other) = (ann.creates("Busy").await, ann.creates("Another").await);
    let mut reader = ann.connects(&room).await;
    reader.caught_up().await;
    let kept = reader.say_all((0..KEPT).map(|n| format!("kept-{n}"))).await;
    let until = Instant::now() + Duration::from_secs(12);
    let mut people = JoinSet::new();
    for name in ["Ben", "Cleo"] {
        let person = Person::arrives(&backchat.address(), name).await;
        person.joins(&room).await;
        let mut socket = person.connects(&room).await;
        socket.caught_up().await;
        people.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                let id = socket.send(&format!("m-{count}")).await;
                socket.acknowledged(id).await;
                let change = match count % 3 {
                    0 => socket.edit(id, "edited at once").await,
                    1 => socket.delete(id).await,
                    _ => socket.react(id, "👍", true).await,
                };
                socket.acknowledged(change).await;
                count += 1;
            }
            count
        });
    }
    // Nobody who pages back meets a hole, whichever rows are read.
    people.spawn(async move {
        let mut count = 0;
        while Instant::now() < until {
            let (mut found, mut more) = (Vec::new(), true);
            while more {
                let before = found.first().copied().unwrap_or(kept[KEPT - 1] + 1);
                let page;
                (page, more) = reader.page(before, 50).await;
                found.splice(0..0, page.iter().map(|seen| seen.seq));
            }
            // The first row is that of the room's making.
            assert_eq!(found[1..], kept);
            count += 1;
        }
        count
    });
    let mut rounds = 0;
    while Instant::now() < until {
        let replayed = asked(&backchat, "replay").await;
        assert_eq!(replayed.code, 0, "round {rounds}: {}", replayed.output);
        let last = replayed.output.lines().rfind(|line| line.contains("\"ended_at\""));
        let last: Value = serde_json::from_str(last.unwrap()).unwrap();
        assert_eq!((&last["rooms"], &last["left"]), (&json!(2), &json!(0)), "{last}");
        let proved = asked(&backchat, "verify").await;
        assert_eq!(proved.code, 0, "round {rounds}: {}", proved.output);
        rounds += 1;
    }
    let counts = people.join_all().await;
    assert!(rounds >= 2 && counts.iter().all(|count| *count > 1), "{rounds} rounds, {counts:?}");
    assert_eq!(asked(&backchat, &format!("replay {other}")).await.code, 0);
    assert_eq!(asked(&backchat, "replay-shard 0").await.code, 0);
    for (words, code, sentence) in [
        ("replay nowhere_x7qa", 1, "one room stays as it is"),
        ("replay Not-a-room", 2, "is not the address of a room"),
        ("replay-shard 7", 2, "they have numbers from 0 to 0"),
        ("set-aside retry 0.1", 2, "nothing is set aside at 0.1"),
    ] {
        let ended = asked(&backchat, words).await;
        assert!(ended.code == code && ended.output.contains(sentence), "{words}: {}", ended.output);
    }
    let ended = asked(&backchat, "verify").await;
    assert_eq!(ended.code, 0, "{}", ended.output);
}

#[tokio::test]
async fn the_end_of_a_room_in_which_people_write_all_the_time_can_be_paged() {
    let backchat = Backchat::without_rate_limit().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Never quiet").await;
    let until = Instant::now() + Duration::from_secs(6);
    let mut writers = JoinSet::new();
    for name in ["Ben", "Cleo", "Dov"] {
        let person = Person::arrives(&backchat.address(), name).await;
        person.joins(&room).await;
        let mut socket = person.connects(&room).await;
        socket.caught_up().await;
        writers.spawn(async move {
            while Instant::now() < until {
                socket.say("on and on").await;
            }
        });
    }
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let (mut pages, mut last) = (0, 0);
    while Instant::now() < until {
        let (rows, _) = socket.page(u64::MAX, 20).await;
        let newest = rows.last().unwrap().seq;
        assert!(newest >= last, "page {pages} ends at {newest}, the one before at {last}");
        (pages, last) = (pages + 1, newest);
    }
    assert!(pages > 20, "only {pages} pages");
    writers.join_all().await;
}
