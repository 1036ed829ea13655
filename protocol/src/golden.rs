//! The golden files in `golden/`: one for each event, frame and query, as it stands on the wire. A changed file is a
//! changed contract.

use crate::{
    Body, Cursor, Event, MessageId, RoomSlug, StoredEvent, StreamIdentity, Timestamp, UserId,
    frame::{ClientFrame, EventFrame, Person, Refusal, ResetReason, ServerFrame},
    query::{HistoryAnswer, HistoryQuery, Page, PageAt, PageQuery},
};
use serde::Serialize;
use serde_json::Value;
use std::{fs, path::PathBuf};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is written must be the file, field by field and in its order.
fn written_is(name: &str, value: &impl Serialize) {
    assert_eq!(serde_json::to_string(value).unwrap(), file(name).trim(), "{name}");
}

fn id() -> MessageId {
    "0197b6f0-7d1c-7a54-9c0e-2f3a6f1d9e10".parse().unwrap()
}
fn alice() -> UserId {
    "0197b6ef-0000-7000-8000-00000000a11c".parse().unwrap()
}
fn person() -> Person {
    Person { id: alice(), name: "Alice".into() }
}
fn at() -> Timestamp {
    Timestamp::parse("2026-11-25T09:14:37.123Z").unwrap()
}
fn message() -> Event {
    Event::Message { id: id(), author: alice(), body: Body::parse("Tea?\n  <b>now</b>").unwrap() }
}
fn tea() -> RoomSlug {
    RoomSlug::parse("tea_x7qa").unwrap()
}
fn stream() -> StreamIdentity {
    StreamIdentity(1_795_598_886_858_000_000)
}

#[test]
fn events_are_as_the_log_has_them() {
    for (name, event) in [
        ("event/created.json", Event::Created { id: id(), author: alice(), name: "Tea time".into() }),
        ("event/joined.json", Event::Joined { id: id(), author: alice() }),
        ("event/left.json", Event::Left { id: id(), author: alice() }),
        ("event/message.json", message()),
    ] {
        assert_eq!(String::from_utf8(event.encode()).unwrap(), file(name).trim(), "{name}");
        assert_eq!(Event::decode(file(name).as_bytes()), Ok(event), "{name}");
    }
}

#[test]
fn client_frames_are_read_as_documented() {
    let send = ClientFrame::Send { id: Some(id()), body: "Tea?".into() };
    for (name, frame) in [
        ("client/send.json", send.clone()),
        ("client/form.json", send),
        ("client/page.json", ClientFrame::Page { before: 42, limit: 50 }),
    ] {
        assert_eq!(ClientFrame::parse(&file(name)), Ok(frame), "{name}");
    }
}

#[test]
fn server_frames_are_written_as_documented() {
    let (seq, prev, author) = (42, 40, person());
    let shown = EventFrame::Message { seq, prev, id: id(), author, body: "Tea?".into(), at: at() };
    let created = EventFrame::Created {
        seq: 1,
        prev: 0,
        id: id(),
        author: person(),
        name: "Tea time".into(),
        at: at(),
    };
    written_is("server/message.json", &ServerFrame::Event(shown.clone()));
    written_is("server/created.json", &ServerFrame::Event(created));
    written_is(
        "server/joined.json",
        &ServerFrame::Event(EventFrame::Joined { seq, prev, id: id(), author: person(), at: at() }),
    );
    written_is(
        "server/left.json",
        &ServerFrame::Event(EventFrame::Left { seq, prev, id: id(), author: person(), at: at() }),
    );
    written_is("server/ack.json", &ServerFrame::Ack { id: id(), seq, duplicate: false });
    written_is("server/ack_duplicate.json", &ServerFrame::Ack { id: id(), seq, duplicate: true });
    written_is("server/page.json", &ServerFrame::Page { events: vec![shown], more: true });
    let cursor = Cursor { stream: stream(), seq };
    written_is("server/caught_up.json", &ServerFrame::CaughtUp { cursor });
    written_is("server/reset.json", &ServerFrame::Reset { reason: ResetReason::OtherStream });
    let (code, message) = (Refusal::TooFast, "too many messages at once; wait 98 ms".to_owned());
    written_is(
        "server/refused.json",
        &ServerFrame::Refused { id: Some(id()), code, message, retry_after_ms: Some(98) },
    );
    written_is("server/ping.json", &ServerFrame::Ping);
}

#[test]
fn queries_and_answers_survive_the_broker() {
    let page = PageQuery { room: tea(), at: PageAt::Before(42), limit: 50, at_least: 0 };
    let stored = StoredEvent { seq: 42, at: at(), event: message() };
    let answer =
        Page { stream: stream(), applied: 42, events: vec![stored.clone()], prev: 40, more_after: false };
    both("query/page.json", &HistoryQuery::Page(page));
    both("query/last.json", &HistoryQuery::Last { rooms: vec![tea()] });
    both("query/page_answer.json", &HistoryAnswer::Page(answer));
    both("query/last_answer.json", &HistoryAnswer::Last { events: vec![(tea(), stored)] });
    both("query/behind.json", &HistoryAnswer::Behind { applied: 7 });
    both("query/refused.json", &HistoryAnswer::Refused { reason: "the database does not answer".into() });
}

fn both<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    written_is(name, value);
    assert_eq!(serde_json::from_str::<T>(&file(name)).unwrap(), *value, "{name}");
}

proptest::proptest! {
    /// Whatever comes from outside is an answer, never a panic.
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = Event::decode(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = ClientFrame::parse(&text);
        let _ = text.parse::<Cursor>();
        let _ = RoomSlug::parse(&text);
        let _ = Body::parse(&text);
        let _ = crate::token::verify(&text, at(), |_| None);
    }

    /// A golden file with one of its bytes changed is read or refused, never a panic.
    #[test]
    fn no_damage_makes_a_reader_panic(place in 0_usize..200, byte in proptest::prelude::any::<u8>()) {
        for name in ["event/message.json", "event/created.json", "client/send.json", "client/page.json"] {
            let mut bytes = file(name).into_bytes();
            let place = place % bytes.len();
            bytes[place] = byte;
            let _ = Event::decode(&bytes);
            let _ = ClientFrame::parse(&String::from_utf8_lossy(&bytes));
            let _: Result<Value, _> = serde_json::from_slice(&bytes);
        }
    }
}
