use proptest::prelude::*;
use protocol::Body;

use super::*;

const PART: Part = Part { shard: Shard(0), shards: 1 };

fn slug(name: &str) -> RoomSlug {
    RoomSlug::parse(name).unwrap()
}

fn record(seq: u64, subject: &str, payload: impl Into<Bytes>) -> Record {
    let at = Timestamp::from_millis(i64::try_from(seq).unwrap() * 10);
    Record { subject: subject.to_owned(), seq, at, payload: payload.into() }
}

fn entry(seq: u64, room: &str, event: &Event) -> Record {
    record(seq, &format!("chat.log.0.{room}"), event.encode())
}

fn created() -> Event {
    Event::Created { id: MessageId::new(), author: UserId::new(), name: "Tea".into() }
}

fn message(text: &str) -> Event {
    Event::Message { id: MessageId::new(), author: UserId::new(), body: Body::parse(text).unwrap() }
}

/// Applies a log cut into batches of these sizes, to a database that is two maps and a list.
fn applied(log: &[Record], cuts: &[usize]) -> (Vec<Numbered>, Vec<Aside>, HashMap<RoomSlug, RoomState>, u64) {
    let mut known = Known::default();
    let (mut events, mut asides, mut duplicates) = (Vec::new(), Vec::new(), 0);
    let mut rest = log;
    let mut sizes = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let size = sizes.next().unwrap().clamp(1, rest.len());
        let (now, later) = rest.split_at(size);
        rest = later;
        let entries = now.iter().map(|record| read(PART, record)).collect();
        let batch = project(now, entries, &known);
        known.sent.extend(batch.sent);
        known.rooms.extend(batch.rooms);
        events.extend(batch.events);
        asides.extend(batch.asides);
        duplicates += batch.duplicates;
    }
    (events, asides, known.rooms, duplicates)
}

fn reasons(log: &[Record]) -> Vec<(u64, Reason)> {
    applied(log, &[]).1.iter().map(|aside| (aside.seq, aside.reason)).collect()
}

#[test]
fn events_are_numbered_in_the_order_of_the_log_each_room_by_itself() {
    let log = [
        entry(1, "tea", &created()),
        entry(4, "chai", &created()),
        entry(5, "tea", &message("one")),
        entry(7, "tea", &Event::Left { id: MessageId::new(), author: UserId::new() }),
        entry(9, "chai", &message("two")),
    ];
    let (events, asides, rooms, _) = applied(&log, &[]);
    let numbers: Vec<_> = events.iter().map(|e| (e.room.as_str(), e.number, e.event.seq)).collect();
    assert_eq!(numbers, [("tea", 1, 1), ("chai", 1, 4), ("tea", 2, 5), ("tea", 3, 7), ("chai", 2, 9)]);
    assert!(asides.is_empty());
    let tea = &rooms[&slug("tea")];
    assert_eq!((tea.name.as_str(), tea.count, tea.last_seq, tea.last_message), ("Tea", 3, 7, 2));
}

#[test]
fn a_copy_is_passed_over_in_the_same_batch_and_in_a_later_one() {
    let (first, other) = (message("once"), message("once"));
    let log = [
        entry(1, "tea", &created()),
        entry(2, "tea", &first),
        entry(3, "tea", &first),
        entry(4, "tea", &other),
        entry(5, "tea", &first),
    ];
    for cuts in [&[][..], &[1, 1, 1, 1, 1], &[2, 3], &[4, 1]] {
        let (events, _, rooms, duplicates) = applied(&log, cuts);
        assert_eq!(events.iter().map(|e| e.event.seq).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((duplicates, rooms[&slug("tea")].count), (2, 3));
    }
}

#[test]
fn the_same_id_in_another_room_or_of_another_author_is_another_event() {
    let id = MessageId::new();
    let of = |author| Event::Joined { id, author };
    let (ann, bob) = (UserId::new(), UserId::new());
    let log = [
        entry(1, "tea", &created()),
        entry(2, "chai", &created()),
        entry(3, "tea", &of(ann)),
        entry(4, "chai", &of(ann)),
        entry(5, "tea", &of(bob)),
    ];
    let (events, _, _, duplicates) = applied(&log, &[]);
    assert_eq!((events.len(), duplicates), (5, 0));
}

#[test]
fn what_can_not_be_applied_is_set_aside_with_its_reason_and_nothing_else_changes() {
    let null = r#"{"v":1,"type":"message","id":"01a2122f-c818-7209-84da-2aee1c81329c","author":"01a2122f-c818-7209-84da-2aee1c81329c","body":"\u0000"}"#;
    let log = [
        entry(1, "tea", &created()),
        record(2, "chat.log.0.tea", "{"),
        record(3, "chat.log.0.tea", ""),
        record(4, "chat.log.0.tea", vec![b'a'; 900 * 1024]),
        record(5, "chat.log.0.tea", r#"{"type":"poll","v":99}"#),
        record(6, "chat.log.0.tea", r#"{"type":"poll","v":1}"#),
        record(7, "chat.log.0.tea", null),
        record(8, "chat.log.0.tea", vec![0xFF, 0xFE]),
        entry(9, "never", &message("nobody made this room")),
        entry(10, "tea", &created()),
        record(11, "chat.log.0.Not A Room", message("x").encode()),
        record(12, "chat.log.0.deeper.tea", message("x").encode()),
        record(13, "chat.log.1.tea", message("x").encode()),
        entry(14, "tea", &message("good")),
    ];
    use Unreadable as U;
    let expected = [
        (2, Reason::Unreadable(U::NotAnEvent)),
        (3, Reason::Unreadable(U::NotAnEvent)),
        (4, Reason::Unreadable(U::TooLarge(900 * 1024))),
        (5, Reason::Unreadable(U::Version(99))),
        (6, Reason::Unreadable(U::Kind)),
        (7, Reason::Unreadable(U::Fields)),
        (8, Reason::Unreadable(U::NotAnEvent)),
        (9, Reason::Unreadable(U::NoRoom)),
        (10, Reason::RoomExists),
        (11, Reason::Unreadable(U::Subject)),
        (12, Reason::Unreadable(U::Subject)),
        (13, Reason::Unreadable(U::Subject)),
    ];
    assert_eq!(reasons(&log), expected);
    let (events, asides, rooms, _) = applied(&log, &[]);
    assert_eq!(events.iter().map(|e| (e.number, e.event.seq)).collect::<Vec<_>>(), [(1, 1), (2, 14)]);
    assert_eq!(rooms.len(), 1);
    let long = asides.iter().find(|aside| aside.seq == 4).unwrap();
    assert_eq!((long.bytes, long.payload.len()), (900 * 1024, limits::EVENT_BYTES_MAX));
}

#[test]
fn an_event_in_the_log_of_another_shard_is_set_aside() {
    let room = slug("tea");
    let right = Shard::of(&room, 8);
    let wrong = Shard((right.0 + 1) % 8);
    for shard in [right, wrong] {
        let read = read(Part { shard, shards: 8 }, &record(1, &shard.log(&room), created().encode()));
        match read {
            Entry::Event { .. } => assert_eq!(shard, right),
            Entry::Aside(aside) => assert_eq!((shard, aside.reason), (wrong, Reason::OtherShard)),
        }
    }
}

/// A log of few rooms, authors and ids, so that copies, early messages and second creations come up often.
fn any_log() -> impl Strategy<Value = Vec<Record>> {
    let event = (0..3_u8, 0..4_u8, 0..3_u8, 0..12_u128).prop_map(|(room, kind, author, id)| {
        let (id, author) =
            (MessageId(uuid::Uuid::from_u128(id)), UserId(uuid::Uuid::from_u128(author.into())));
        let event = match kind {
            0 => Event::Created { id, author, name: "Room".into() },
            1 => Event::Joined { id, author },
            _ => Event::Message { id, author, body: Body::parse("text").unwrap() },
        };
        (format!("chat.log.0.room_{room}"), event.encode())
    });
    let nonsense = (0..3_u8, prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(room, bytes)| (format!("chat.log.0.room_{room}"), bytes));
    let entries = prop::collection::vec((prop_oneof![6 => event, 1 => nonsense], 1..4_u64), 0..60);
    entries.prop_map(|entries| {
        let placed = entries.into_iter().scan(0, |seq, ((subject, payload), gap)| {
            *seq += gap;
            Some(record(*seq, &subject, payload))
        });
        placed.collect()
    })
}

proptest! {
    #[test]
    fn any_cut_into_batches_gives_the_same_rows(log in any_log(), cuts in prop::collection::vec(1..9_usize, 0..60)) {
        prop_assert_eq!(applied(&log, &cuts), applied(&log, &[]));
    }

    #[test]
    fn numbers_have_no_hole_and_every_entry_is_somewhere_once(log in any_log()) {
        let (events, asides, rooms, duplicates) = applied(&log, &[]);
        prop_assert_eq!(events.len() + asides.len() + usize::try_from(duplicates).unwrap(), log.len());
        for (room, state) in &rooms {
            let of_room: Vec<_> = events.iter().filter(|e| e.room == *room).collect();
            let numbers: Vec<_> = of_room.iter().map(|e| e.number).collect();
            prop_assert_eq!(numbers, (1..=state.count).collect::<Vec<_>>());
            prop_assert!(of_room.is_sorted_by(|a, b| a.event.seq < b.event.seq));
            prop_assert_eq!(of_room.last().unwrap().event.seq, state.last_seq);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(subject in ".{0,40}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
        read(PART, &record(1, &subject, payload));
    }
}
