//! The golden files in `golden/`: one for each event, frame and query, as it stands on the wire. A changed file is a
//! changed contract.

use crate::{
    Body, Cursor, Event, KeepDays, MessageId, PagePlace, Reaction, RoomSlug, Sealed, SealedEvent, SealedText,
    Since, Spot, StoredEvent, StreamIdentity, Tag, Target, Timestamp, UserId,
    accounts::{AccountLine, AccountTable, AccountsAnswer, AskAccounts},
    event::SealedReaction,
    frame::{
        Aim, ClientFrame, EventFrame, EventHead, MessageFrame, Person, PresenceFrame, ReactionFrame, Refusal,
        ResetReason, ServerFrame,
    },
    keys::{
        Erasure, Holder, KeyAdmin, KeyAdminAnswer, KeyAnswer, KeyRequest, KeyState, KeyStatus, RoomErasures,
        RoomErasuresAnswer, RootSince, Rotation, UnderRoot, Wrapped,
    },
    query::{
        AfterQuery, AgedRoom, Among, AskPiece, AskReplay, AskSetAside, Difference, Events, HistoryAnswer,
        HistoryQuery, HistoryStatus, LastSnapshot, LastVerify, LocateQuery, Located, Look, Looked, Page,
        PageQuery, Replay, Replaying, RoomLeft, SeedPiece, Seeding, SetAside, Verified, Verify,
    },
    retention::{RoomExpiry, RoomExpiryAnswer},
    search::{
        AskSearchReplay, FindQuery, Found, Hit, SearchAnswer, SearchQuery, SearchReplaying, SearchShard,
        SearchStatus, Wanted,
    },
    state::{Edit, MessageState, Room, RoomState},
    subject::Shard,
    view::{Content, Reactors, Row, What},
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
/// A box as an event has it; what is in it matters to nobody here.
fn text(by: MessageId) -> SealedText {
    let bytes = [&[1, 0, 1, 0, 1][..], &[0xA7; 27]].concat();
    SealedText { by, sealed: Sealed::from_bytes(bytes).unwrap() }
}
fn message() -> SealedEvent {
    Event::Message { id: id(), author: alice(), body: text(id()) }
}
fn target() -> Target {
    Target { id: id(), author: alice(), seq: 42 }
}
fn change() -> MessageId {
    "0197b6f1-0000-7000-8000-0000000ed170".parse().unwrap()
}
fn reaction() -> SealedReaction {
    SealedReaction { tag: Tag([1, 2, 3, 4, 5, 6, 7, 8]), author: alice(), text: text(change()) }
}
fn month() -> KeepDays {
    KeepDays::new(30).unwrap()
}
fn thumb() -> Reaction {
    Reaction::parse("👍").unwrap()
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
        ("event/created.json", Event::Created { id: id(), author: alice(), name: text(id()) }),
        ("event/joined.json", Event::Joined { id: id(), author: alice() }),
        ("event/left.json", Event::Left { id: id(), author: alice() }),
        ("event/retention.json", Event::Retention { id: id(), author: alice(), keep: month() }),
        (
            "event/expired.json",
            Event::Expired { id: change(), author: alice(), target: target(), of: at(), keep: month() },
        ),
        ("event/user_erased.json", Event::UserErased { id: id(), author: alice() }),
        ("event/room_erased.json", Event::RoomErased { id: id(), author: alice() }),
        ("event/message.json", message()),
        (
            "event/edited.json",
            Event::Edited { id: change(), author: alice(), target: target(), body: text(change()) },
        ),
        (
            "event/deleted.json",
            Event::Deleted {
                id: change(),
                author: alice(),
                target: target(),
                of: at(),
                hash: text(change()).sealed.hash(),
            },
        ),
        (
            "event/reacted.json",
            Event::Reacted {
                id: change(),
                author: alice(),
                target: target(),
                reaction: reaction(),
                on: true,
            },
        ),
    ] {
        assert_eq!(String::from_utf8(event.encode()).unwrap(), file(name).trim(), "{name}");
        assert_eq!(SealedEvent::decode(file(name).as_bytes()), Ok(event), "{name}");
    }
}

#[test]
fn client_frames_are_read_as_documented() {
    let send = ClientFrame::Send { id: Some(id()), body: "Tea?".into() };
    for (name, frame) in [
        ("client/send.json", send.clone()),
        ("client/form.json", send),
        ("client/page.json", ClientFrame::Page { place: PagePlace::Before(42), limit: 50 }),
        ("client/page_after.json", ClientFrame::Page { place: PagePlace::After(42), limit: 50 }),
        (
            "client/page_around.json",
            ClientFrame::Page { place: PagePlace::Around(Spot::Message(id())), limit: 50 },
        ),
        (
            "client/edit.json",
            ClientFrame::Edit {
                id: Some(change()),
                target: Aim { id: id(), seq: Some(42) },
                body: "Coffee?".into(),
            },
        ),
        (
            "client/delete.json",
            ClientFrame::Delete { id: Some(change()), target: Aim { id: id(), seq: None } },
        ),
        (
            "client/react.json",
            ClientFrame::React {
                id: Some(change()),
                target: Aim { id: id(), seq: None },
                reaction: thumb(),
                on: true,
            },
        ),
        ("client/typing.json", ClientFrame::Typing),
    ] {
        assert_eq!(ClientFrame::parse(&file(name)), Ok(frame), "{name}");
    }
}

#[test]
fn server_frames_are_written_as_documented() {
    let (seq, target) = (42, id());
    let head = || EventHead { seq, prev: 40, id: change(), author: person(), at: at() };
    let message = |edited_at, reactions| {
        let head = EventHead { id: id(), ..head() };
        EventFrame::Message(MessageFrame { head, body: "Tea?".into(), edited_at, reactions })
    };
    let reactions = vec![ReactionFrame { reaction: thumb(), count: 1, by: vec![person()] }];
    let now = message(Some(at()), reactions);
    for (name, event) in [
        ("server/message.json", message(None, vec![])),
        ("server/created.json", EventFrame::Created { head: head(), name: "Tea time".into() }),
        ("server/joined.json", EventFrame::Joined(head())),
        ("server/left.json", EventFrame::Left(head())),
        ("server/retention.json", EventFrame::Retention { head: head(), keep: month() }),
        ("server/expired.json", EventFrame::Expired { head: head(), upto: 40 }),
        ("server/unreadable.json", EventFrame::Unreadable(head())),
        ("server/user_erased.json", EventFrame::UserErased(head())),
        ("server/edited.json", EventFrame::Edited { head: head(), target, body: "Coffee?".into() }),
        ("server/deleted.json", EventFrame::Deleted { head: head(), target }),
        ("server/reacted.json", EventFrame::Reacted { head: head(), target, reaction: thumb(), on: true }),
        ("server/erased.json", EventFrame::Erased(head())),
        ("server/unopened.json", EventFrame::Unopened(head())),
    ] {
        written_is(name, &ServerFrame::Event(event));
    }
    written_is("server/typing.json", &ServerFrame::Typing { user: person() });
    let present = PresenceFrame { count: 1, present: Some(vec![person()]), ..PresenceFrame::default() };
    written_is("server/presence.json", &ServerFrame::Presence(present));
    let changed = PresenceFrame { count: 1, came: vec![person()], ..PresenceFrame::default() };
    written_is("server/presence_changed.json", &ServerFrame::Presence(changed));
    written_is("server/ack.json", &ServerFrame::Ack { id: id(), seq, duplicate: false });
    written_is("server/ack_duplicate.json", &ServerFrame::Ack { id: id(), seq, duplicate: true });
    written_is("server/page.json", &ServerFrame::Page { events: vec![now], more: true });
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
    let page = PageQuery { room: tea(), before: 42, limit: 50, at_least: 0 };
    let after = AfterQuery { room: tea(), after: 42, limit: 50, at_least: 42 };
    let stored = StoredEvent { seq: 42, at: at(), event: message() };
    let reactions = vec![Reactors { reaction: reaction(), count: 1, by: vec![alice()] }];
    let what = What::Message(Content { body: text(change()), edited_at: Some(at()), reactions });
    let row = Row { seq: 42, at: at(), id: id(), author: alice(), what };
    let erased = Row { seq: 43, what: What::Erased, ..row.clone() };
    let (stream, applied) = (stream(), 42);
    let rows = vec![row, erased];
    both("query/page.json", &HistoryQuery::Page(page));
    both("query/after.json", &HistoryQuery::After(after));
    let since = Since::Time(at());
    both("query/locate.json", &HistoryQuery::Locate(LocateQuery { room: tea(), since, count: 25 }));
    let located = Some(Located { first: 42, last: 66, count: 25 });
    both("query/located.json", &HistoryAnswer::Located { stream, rows: located });
    both("query/find.json", &HistoryQuery::Find { room: tea(), id: id() });
    both("query/last.json", &HistoryQuery::Last { rooms: vec![tea()] });
    both(
        "query/page_answer.json",
        &HistoryAnswer::Page(Page { stream, applied, rows: rows.clone(), prev: 40 }),
    );
    both("query/found.json", &HistoryAnswer::Found { stream, applied, rows });
    let events = vec![stored.clone()];
    both("query/after_answer.json", &HistoryAnswer::Events(Events { stream, applied, events, reached: 42 }));
    both("query/last_answer.json", &HistoryAnswer::Last { events: vec![(tea(), stored)] });
    both("query/status.json", &HistoryQuery::Status);
    let oldest = SetAside {
        seq: 7,
        at: at(),
        subject: "chat.log.0.tea_x7qa".into(),
        reason: "not an event".into(),
        bytes: 12,
    };
    let status = HistoryStatus {
        stream,
        applied,
        applied_at: Some(at()),
        lag_entries: 3,
        lag_seconds: 1,
        events: 40,
        duplicates: 1,
        set_aside: 1,
        oldest_set_aside: Some(oldest.clone()),
        last_verify: Some(LastVerify { at: at(), rooms: 2, rows: 40, different: 0, different_rooms: 0 }),
        last_snapshot: Some(LastSnapshot { at: at(), applied: 41 }),
        last_backup: Some(at()),
    };
    both("query/status_answer.json", &HistoryAnswer::Status(status));
    both("query/set_aside.json", &HistoryQuery::SetAside(AskSetAside::Show { seq: 7 }));
    both(
        "query/set_aside_answer.json",
        &HistoryAnswer::SetAside { entries: vec![oldest.clone()], payload: Some("ew".into()) },
    );
    both("query/replay.json", &HistoryQuery::Replay(AskReplay::Begin(Replay::Room(tea()))));
    let left = RoomLeft { room: tea(), reason: "the log has nothing of it".to_owned() };
    let replaying = Replaying {
        what: Replay::Shard,
        began_at: at(),
        ended_at: None,
        rooms: 3,
        entries: 120,
        done: 120,
        of: 4_000,
        left: 1,
        left_rooms: vec![left],
    };
    both("query/replay_answer.json", &HistoryAnswer::Replay { last: Some(replaying) });
    let look = Look { rooms: Among::Known { after: Some(tea()) }, snapshot: Some(42) };
    both("query/replay_look.json", &HistoryQuery::Replay(AskReplay::Look(look)));
    let aged = vec![AgedRoom { room: tea(), first: Some(17), covered: true }];
    let looked = Looked { rooms: 100, aged, next: Some(Among::Unknown { after: 0 }) };
    both("query/replay_looked.json", &HistoryAnswer::Looked(looked));
    let (stream, applied_at) = (StreamIdentity(1_795_598_886_858_000_000), Some(at()));
    let seeding = Seeding { shard: 0, shards: 1, stream, applied: 42, applied_at };
    both("query/replay_seed.json", &HistoryQuery::Replay(AskReplay::Seed(seeding)));
    both("query/replay_seed_answer.json", &HistoryAnswer::Seeding { generation: 7 });
    let piece = SeedPiece { generation: 7, lines: vec![serde_json::json!({ "room": {} })] };
    both("query/replay_rows.json", &HistoryQuery::Replay(AskReplay::Rows(piece)));
    let begin = AskReplay::BeginWith { what: Replay::Shard, generation: 7 };
    both("query/replay_begin_with.json", &HistoryQuery::Replay(begin));
    both("query/snapshot.json", &HistoryQuery::Snapshot);
    let pieces = Shard(0).snapshot_pieces(uuid::Uuid::nil());
    both("query/snapshot_answer.json", &HistoryAnswer::Snapshot { pieces, applied: 42 });
    both("query/snapshot_piece.json", &AskPiece { piece: 7 });
    both("query/backed_up.json", &HistoryQuery::BackedUp { at: at() });
    both("query/backed_up_answer.json", &HistoryAnswer::BackedUp);
    both("query/verify.json", &HistoryQuery::Verify(Verify::Rooms { after: Some(tea()) }));
    let difference = Difference {
        room: tea(),
        seq: 42,
        field: "author".into(),
        log: alice().to_string(),
        history: change().to_string(),
    };
    let verified = Verified {
        rooms: 1,
        rows: 42,
        older: 0,
        different: 1,
        different_rooms: 1,
        differences: vec![difference],
        next: Some(Verify::Unknown { after: 42 }),
    };
    both("query/verified.json", &HistoryAnswer::Verified(verified));
    both("query/behind.json", &HistoryAnswer::Behind { applied: 7 });
    both("query/refused.json", &HistoryAnswer::Refused { reason: "the database does not answer".into() });
}

#[test]
fn searches_and_their_answers_survive_the_broker() {
    let query = FindQuery {
        rooms: vec![tea()],
        wanted: vec![
            Wanted::Word("tea".into()),
            Wanted::Phrase("hot milk".into()),
            Wanted::Prefix("suga".into()),
        ],
        from: vec!["Alice".into()],
        since: Some(at()),
        before: Some(at()),
        as_of: Some(at()),
        offset: 20,
        limit: 20,
    };
    both("query/search.json", &SearchQuery::Find(query));
    let hits = vec![Hit { room: tea(), seq: 42, score: 1.5 }];
    both(
        "query/search_answer.json",
        &SearchAnswer::Found(Found { hits, more: true, complete: true, as_of: at() }),
    );
    both("query/search_status.json", &SearchQuery::Status);
    let shard =
        SearchShard { shard: Shard(0), stream: stream(), applied: 42, lag_entries: 3, lag_seconds: 1 };
    let status = SearchStatus { shards: vec![shard], documents: 40, bytes: 65_536, rebuilding: false };
    both("query/search_status_answer.json", &SearchAnswer::Status(status));
    both("query/search_replay.json", &SearchQuery::Replay(AskSearchReplay::Begin));
    let last = Some(SearchReplaying { began_at: at(), ended_at: None, done: 120, of: 4_000 });
    both("query/search_replay_answer.json", &SearchAnswer::Replay { last });
    both("query/search_refused.json", &SearchAnswer::Refused { reason: "no index is open".into() });
}

#[test]
fn the_state_of_a_message_is_as_the_broker_keeps_it() {
    let edits = vec![Edit { id: id(), seq: 50 }, Edit { id: change(), seq: 0 }];
    let state = MessageState { edits, deleted: None };
    written_is("state/message.json", &state);
    let read = MessageState::read(61, file("state/message.json").as_bytes()).unwrap();
    assert_eq!(read.edits[1].seq, 60, "the last edit lies just before its state");
}

#[test]
fn keys_and_rooms_are_as_the_broker_keeps_them() {
    let room = Room::new(text(id()), alice());
    both("state/room.json", &RoomState::There(room.clone()));
    both("state/room_kept.json", &RoomState::There(Room { keep: month(), expired: 42, ..room }));
    both("state/room_erased.json", &RoomState::Erased { erased_at: at() });
    both("state/key.json", &KeyState::Wrapped { key: Wrapped([0xA7; Wrapped::BYTES]) });
    both("state/key_erased.json", &KeyState::Erased { erased_at: at() });
    both("state/erasure.json", &Erasure { erased_at: at(), done: true });
    both("state/root_since.json", &RootSince { since: at() });
    let account = AccountLine::Account {
        user: alice(),
        name: "Alice".into(),
        password: "$argon2id$…".into(),
        created_at: at(),
    };
    let names = AskAccounts { table: AccountTable::Names, after: Some("alice".into()) };
    both("query/accounts.json", &names);
    written_is(
        "query/accounts_answer.json",
        &AccountsAnswer::Rows { lines: vec![account], next: Some(names) },
    );
    both("query/key.json", &KeyRequest { room: tea() });
    both("query/key_answer.json", &KeyAnswer::Stored);
    both("query/key_admin.json", &KeyAdmin::Erase { holder: Holder::User(alice()) });
    let under = vec![UnderRoot { root: 1, keys: 7 }, UnderRoot { root: 2, keys: 35 }];
    let rotation = Some(Rotation { done: 35, of: 42 });
    let status = KeyStatus { roots: vec![1, 2], under, erased: 1, erasing: 1, rotation };
    both("query/key_status.json", &KeyAdminAnswer::Status(status));
    both("query/erasing.json", &KeyAdmin::Erasing);
    both("query/erasing_answer.json", &KeyAdminAnswer::Erasing { holders: 1 });
    both("query/person.json", &KeyAdmin::Person { name: "Alice".into() });
    both("query/person_answer.json", &KeyAdminAnswer::Person { user: alice(), name: "Alice".into() });
    both("query/room_erasures.json", &RoomErasures { holder: Holder::Room(tea()) });
    both("query/room_erasures_answer.json", &RoomErasuresAnswer::Told { rooms: 3 });
    both("query/room_expiry.json", &RoomExpiry { room: tea(), target: target(), keep: month() });
    both("query/room_expiry_answer.json", &RoomExpiryAnswer::Settled);
}

fn both<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    written_is(name, value);
    assert_eq!(serde_json::from_str::<T>(&file(name)).unwrap(), *value, "{name}");
}

proptest::proptest! {
    /// Whatever comes from outside is an answer, never a panic.
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = SealedEvent::decode(&bytes);
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
        for name in [
            "event/message.json",
            "event/created.json",
            "event/deleted.json",
            "event/reacted.json",
            "client/send.json",
            "client/react.json",
            "client/page.json",
        ] {
            let mut bytes = file(name).into_bytes();
            let place = place % bytes.len();
            bytes[place] = byte;
            let _ = SealedEvent::decode(&bytes);
            let _ = ClientFrame::parse(&String::from_utf8_lossy(&bytes));
            let _: Result<Value, _> = serde_json::from_slice(&bytes);
        }
    }
}
