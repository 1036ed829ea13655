//! What an operator erases is gone from every page, list, log and database, also for those who were away meanwhile; the rest is not
//! touched.

use broker::Broker;
use data_encoding::BASE64;
use protocol::frame::{Close, EventFrame, ResetReason};
use protocol::query::{HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::{self, Shard};
use protocol::view::{SealedRow, What};
use protocol::{Event, RoomSlug, SealedEvent};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::{SOON, eventually};
use tests::heard::{Heard, bodies};
use tests::json_socket::JsonSocket;
use tests::person::{PASSWORD, Person, code, unique};
use tests::process::Ended;
use tests::room_page::RoomPage;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);
const SHARD: Shard = Shard(0);

/// `backchat erase <what>`, with this typed to confirm it.
async fn erases(backchat: &Backchat, what: &str, typed: &str) -> Ended {
    let launch = backchat.launch().named(&format!("erase-{}", unique()));
    launch.words(&format!("erase {what}")).input(typed).to_the_end(END).await
}

fn says(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, code, "{}", ended.output);
    assert!(ended.output.contains(words), "{words:?} is not in {}", ended.output);
}

/// The history is compared with what the log has left.
async fn is_proved(backchat: &Backchat) {
    let launch = backchat.launch().named(&format!("verify-{}", unique()));
    says(&launch.words("history verify").to_the_end(END).await, 0, "\"different\":0");
}

async fn is_reset(socket: &mut JsonSocket) {
    let erased = |heard: &Heard| matches!(heard, Heard::Reset { reason: ResetReason::Erased }).then_some(());
    socket.until(erased).await;
}

/// What the history worker has of a room, once it has applied the whole log.
async fn rows(broker: &Broker, room: &str) -> Vec<SealedRow> {
    let at_least = tests::stored::head(broker, room).await.unwrap();
    let room = RoomSlug::parse(room).unwrap();
    let page = HistoryQuery::Page(PageQuery { room, before: u64::MAX, limit: 100, at_least });
    eventually("the history worker answers", END, || async {
        match broker.ask(SHARD.history_queries(), &page, Duration::from_secs(5)).await {
            Ok(HistoryAnswer::Page(page)) => Some(page.rows),
            _ => None,
        }
    })
    .await
}

/// What a digest over rows would be made of: what is stored of them, sealed, so that no key is needed.
fn digested(rows: &[SealedRow]) -> String {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        if let What::Message(content) = &mut row.what {
            content.reactions.clear();
        }
    }
    serde_json::to_string(&rows).unwrap()
}

/// The kinds of a room's rows, and how many people gave each reaction to a message.
async fn kinds(broker: &Broker, room: &str) -> Vec<String> {
    let kinds = rows(broker, room).await.into_iter().map(|row| match &row.what {
        What::Created { .. } => "created".to_owned(),
        What::Joined => "joined".to_owned(),
        What::Left => "left".to_owned(),
        What::Retention { .. } => "retention".to_owned(),
        What::UserErased => "user_erased".to_owned(),
        What::Message(content) => {
            let counts: Vec<_> = content.reactions.iter().map(|given| given.count.to_string()).collect();
            format!("message {}", counts.join(" ")).trim_end().to_owned()
        }
        What::Erased | What::Unopened => "gone".to_owned(),
        What::Unreadable => "unreadable".to_owned(),
    });
    kinds.collect()
}

#[tokio::test]
async fn a_person_is_erased_by_name_for_those_who_look_and_those_who_were_away() {
    let mut backchat = Backchat::start().await;
    let address = backchat.address();
    let ann = Person::arrives(&address, "Ann").await;
    let ben = Person::arrives(&address, "Ben").await;
    let (room, left, other) =
        (ben.creates("Tea").await, ben.creates("Left").await, ben.creates("Hers never").await);
    ann.joins(&room).await;
    ann.joins(&left).await;
    let mut anns = ann.connects(&room).await;
    let mut bens = ben.connects(&room).await;
    anns.caught_up().await;
    bens.caught_up().await;
    let hers = anns.send("her words").await;
    anns.acknowledged(hers).await;
    let edit = anns.edit(hers, "her better words").await;
    anns.acknowledged(edit).await;
    let his = bens.send("his words").await;
    bens.acknowledged(his).await;
    let thumb = anns.react(his, "👍", true).await;
    anns.acknowledged(thumb).await;
    let thumb = bens.react(his, "👍", true).await;
    bens.acknowledged(thumb).await;
    let flamingo = anns.react(his, "🦩", true).await;
    anns.acknowledged(flamingo).await;
    ann.connects(&left).await.say("before she left").await;
    ann.leaves(&left).await;
    let away = ben.opens(&room).await.cursor;
    let away_from_left = ben.opens(&left).await.cursor;
    let mut elsewhere = ben.connects(&other).await;
    elsewhere.caught_up().await;
    elsewhere.say("nothing of hers").await;
    let before = rows(&backchat.broker().await, &room).await;
    let page = RoomPage::open(&ben, &room).await;
    page.shows(&["her better words", "his words"]).await;

    says(&erases(&backchat, "person Nobody", "Nobody").await, 2, "nobody has the name Nobody");
    let what = format!("person {}", ann.name);
    says(&erases(&backchat, &what, "yes").await, 2, "nothing was erased");
    assert_eq!(ben.opens(&room).await.messages(), ["her better words", "his words"]);
    let name = &ann.name;
    says(&erases(&backchat, &what, name).await, 0, "Every room knows");

    // Whoever looked on, and in a browser; whoever was away, and in a room that she had left.
    is_reset(&mut bens).await;
    page.shows(&["his words"]).await;
    for (room, cursor) in [(&room, &away), (&left, &away_from_left)] {
        let mut socket = ben.connects_after(room, cursor).await;
        is_reset(&mut socket).await;
        let (events, _) = socket.caught_up().await;
        assert!(
            !bodies(&events).iter().any(|body| body.contains("her") || body.contains("she")),
            "{events:?}"
        );
    }
    elsewhere.is_alive().await;
    let none = |heard: &Heard| matches!(heard, Heard::Reset { .. });
    assert_eq!(elsewhere.kept_of(none), 0, "a room in which she never was begins not anew");
    // She is out, her name is nobody's, and may be another's.
    let closed = anns.closed().await.code;
    assert!([Close::SessionEnded, Close::NotAMember].iter().any(|close| close.code() == closed), "{closed}");
    let refused = Person::stranger(&address).log_in(name, PASSWORD, "/").await;
    assert_ne!(refused.status, 303, "she can log in");
    let namesake = Person::stranger(&address);
    assert_eq!(namesake.register(name, PASSWORD).await.status, 303, "the name is free");

    let broker = backchat.broker().await;
    let profile = broker.last_many(subject::PROFILES_STREAM, &["chat.profile.*".into()]).await.unwrap();
    let nameless = profile.iter().filter(|record| &record.payload[..] == br#"{"name":""}"#);
    assert_eq!(nameless.count(), 1);
    for anew in [false, true] {
        let html = ben.get(&format!("/room/{room}/")).await.body;
        for gone in ["her better words", "her words", "🦩", "before she left"] {
            assert!(!html.contains(gone), "{gone} is on the page (made anew: {anew})");
        }
        assert!(html.contains("data-kind=\"user_erased\"") && html.contains("Somebody"), "{html}");
        let thumbs = "data-reaction=\"👍\" data-count=\"1\"";
        assert!(html.contains(thumbs), "his own reaction still counts (made anew: {anew}): {html}");
        // `user_erased` stands behind the reactions, which have no rows.
        let expected = ["created", "joined", "message", "message 1", "user_erased"];
        assert_eq!(kinds(&backchat.broker().await, &room).await, expected, "made anew: {anew}");
        let after = rows(&backchat.broker().await, &room).await;
        assert_eq!(digested(&after[..before.len()]), digested(&before), "made anew: {anew}");
        is_proved(&backchat).await;
        let rows = ben.connects(&room).await.rows(u64::MAX >> 1, 50).await.0;
        assert!(matches!(rows[2], EventFrame::Erased(_)), "{rows:?}");
        if !anew {
            assert_eq!(backchat.terminate().await, 0);
            std::fs::remove_dir_all(backchat.data().join("history")).unwrap();
            backchat.start_again().await;
        }
    }
    page.close().await;
    // Once more changes nothing.
    says(&erases(&backchat, "person Nobody", "Nobody").await, 2, "nobody has the name");
    assert_eq!(kinds(&backchat.broker().await, &left).await.last().unwrap(), "user_erased");
}

#[tokio::test]
async fn an_erased_room_is_gone_for_everybody_and_from_log_and_database() {
    let mut backchat = Backchat::without_rate_limit().await;
    let address = backchat.address();
    let ann = Person::arrives(&address, "Ann").await;
    let ben = Person::arrives(&address, "Ben").await;
    let (room, kept) = (ann.creates("Secret plans").await, ann.creates("Kept").await);
    ben.joins(&room).await;
    let mut anns = ann.connects(&room).await;
    let mut bens = ben.connects(&room).await;
    anns.caught_up().await;
    bens.caught_up().await;
    anns.say_all((0..60).map(|n| format!("plan {n}"))).await;
    let id = bens.send("a counter plan").await;
    bens.acknowledged(id).await;
    let edit = bens.edit(id, "a better plan").await;
    bens.acknowledged(edit).await;
    let reaction = anns.react(id, "👍", true).await;
    anns.acknowledged(reaction).await;
    ann.connects(&kept).await.say("stays").await;
    let broker = backchat.broker().await;
    assert_eq!(kinds(&broker, &room).await.len(), 63);

    says(
        &erases(&backchat, "room no_such_room", "no_such_room").await,
        2,
        "there never was a room.no_such_room",
    );
    says(&erases(&backchat, "room Tea time", "x").await, 2, "no room can have the address Tea time");
    says(&erases(&backchat, &format!("room {room}"), "").await, 2, "nothing was erased");
    says(&erases(&backchat, &format!("room {room}"), &room).await, 0, "Every room knows");

    assert_eq!(anns.closed().await.code, Close::NotAMember.code());
    assert_eq!(bens.closed().await.code, Close::NotAMember.code());
    assert_eq!(ann.get(&format!("/room/{room}/")).await.status, 404);
    let mut late = ben.connects(&room).await;
    assert_eq!(late.closed().await.code, Close::NotAMember.code());
    let join = ben.post("/join/", &[("code", &room)]).await;
    assert!(join.status == 404 || join.status == 422 || join.status == 200, "{}", join.status);
    let list = ann.get("/").await.body;
    assert!(!list.contains(&room) && list.contains("Kept"), "{list}");

    let (slug, stream) = (RoomSlug::parse(&room).unwrap(), SHARD.stream());
    let left = eventually("the log has lost all but the event that says so", SOON, || async {
        let records = broker.read_after(&stream, &SHARD.log(&slug), 0, 1_000).await.unwrap().records;
        (records.len() == 1).then_some(records)
    })
    .await;
    assert!(matches!(SealedEvent::decode(&left[0].payload), Ok(Event::RoomErased { .. })));
    for subject in [SHARD.messages(&slug), SHARD.members(&slug)] {
        assert_eq!(broker.read_after(&stream, &subject, 0, 10).await.unwrap().records.len(), 0, "{subject}");
    }
    for anew in [false, true] {
        assert_eq!(kinds(&backchat.broker().await, &room).await, Vec::<String>::new(), "made anew: {anew}");
        assert_eq!(ann.opens(&kept).await.messages(), ["stays"]);
        is_proved(&backchat).await;
        assert!(!backchat.log().contains("set aside"), "{}", backchat.log());
        assert_eq!(backchat.terminate().await, 0);
        std::fs::remove_dir_all(backchat.data().join("history")).unwrap();
        backchat.start_again().await;
    }
    let again = eventually("the auth service is back too", SOON, || async {
        let answer = ann.post("/create/", &[("name", "Secret plans")]).await;
        (answer.status == 303).then(|| code(answer.location()))
    })
    .await;
    assert_ne!(again, room, "an address is not used again");
}

/// The lines of the history in a backup.
fn lines(backup: &Path) -> Vec<Value> {
    let out = Command::new("zcat").arg(backup.join("history-0.jsonl.gz")).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn snapshot(backchat: &Backchat, place: &Path) -> Vec<Value> {
    let launch = backchat.launch().named(&format!("snapshot-{}", unique()));
    let words = format!("history snapshot {}", place.display());
    says(&launch.words(&words).to_the_end(END).await, 0, "Backed up to");
    lines(place)
}

/// The boxes and bytes of a room's log.
async fn secrets(broker: &Broker, room: &str) -> Vec<String> {
    let slug = RoomSlug::parse(room).unwrap();
    let records = broker.read_after(&SHARD.stream(), &SHARD.log(&slug), 0, 1_000).await.unwrap().records;
    let entries = records.iter().map(|record| match serde_json::from_slice::<Value>(&record.payload) {
        Ok(entry) => entry["box"].as_str().map(str::to_owned),
        Err(_) => Some(BASE64.encode(&record.payload)),
    });
    entries.flatten().collect()
}

#[tokio::test]
async fn a_snapshot_has_nothing_of_what_was_erased_before_it() {
    let backchat = Backchat::without_rate_limit().await;
    let address = backchat.address();
    let ann = Person::arrives(&address, "Ann").await;
    let ben = Person::arrives(&address, "Ben").await;
    let (tea, plans) = (ben.creates("Tea").await, ben.creates("Plans").await);
    ann.joins(&tea).await;
    let broker = backchat.broker().await;
    let mut bens = ben.connects(&tea).await;
    bens.caught_up().await;
    let gone = bens.send("to be deleted").await;
    bens.acknowledged(gone).await;
    let gone_box = secrets(&broker, &tea).await.pop().unwrap();
    bens.say("his words").await;
    ben.connects(&plans).await.say("a plan").await;
    // What can't be read is kept as it came: of the room, of her, and of nobody.
    let publish = async |room: &str, payload: String| {
        let log = SHARD.log(&RoomSlug::parse(room).unwrap());
        broker.publish(log, &unique(), payload.into()).await.unwrap();
    };
    let joined = rows(&broker, &tea).await.into_iter().find(|row| row.what == What::Joined);
    let hers = joined.unwrap().author.short();
    publish(&plans, "raw plan".to_owned()).await;
    publish(&tea, format!(r#"{{"v":9,"type":"poll","author":"{hers}","q":"raw hers"}}"#)).await;
    publish(&tea, "raw nobody's".to_owned()).await;
    rows(&broker, &tea).await;
    let place = tempfile::tempdir().unwrap();
    let asides = |lines: &[Value]| {
        let payload = |line: &Value| line["aside"]["payload"].as_str().map(str::to_owned);
        let payloads = lines.iter().filter_map(payload);
        let texts = payloads.map(|text| String::from_utf8(BASE64.decode(text.as_bytes()).unwrap()).unwrap());
        texts.collect::<Vec<_>>()
    };
    let of_plans = secrets(&broker, &plans).await;
    let before = snapshot(&backchat, &place.path().join("before")).await;
    assert_eq!(asides(&before).len(), 3, "{before:?}");
    let all = serde_json::to_string(&before).unwrap();
    assert!(all.contains(&gone_box) && of_plans.iter().all(|secret| all.contains(secret)));

    let deletion = bens.delete(gone).await;
    bens.acknowledged(deletion).await;
    says(&erases(&backchat, &format!("person {}", ann.name), &ann.name).await, 0, "Every room knows");
    says(&erases(&backchat, &format!("room {plans}"), &plans).await, 0, "Every room knows");
    let mut number = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let after = loop {
        number += 1;
        let after = snapshot(&backchat, &place.path().join(format!("after-{number}"))).await;
        let all = serde_json::to_string(&after).unwrap();
        let is_gone = !all.contains(&gone_box) && !of_plans.iter().any(|secret| all.contains(secret));
        if is_gone && asides(&after) == ["raw nobody's"] {
            break after;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {after:?}");
    };
    let of_plans = after.iter().filter(|line| line.to_string().contains(&plans));
    assert_eq!(of_plans.count(), 1, "that there was such a room: {after:?}");
    is_proved(&backchat).await;
}
