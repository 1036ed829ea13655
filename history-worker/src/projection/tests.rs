use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::view::SealedRow;
use protocol::{Event, SealedText};

use super::*;
use crate::boxes::boxed;

mod changes;
pub mod cuts;

pub const PART: Part = Part::whole();

fn slug(name: &str) -> RoomSlug {
    RoomSlug::parse(name).unwrap()
}

fn record(seq: u64, subject: &str, payload: impl Into<Bytes>) -> Record {
    let at = Timestamp::from_millis(i64::try_from(seq).unwrap() * 10);
    Record { subject: subject.to_owned(), seq, at, payload: payload.into(), trace: None }
}

fn entry(seq: u64, room: &str, event: &SealedEvent) -> Record {
    record(seq, &format!("chat.log.0.{room}"), event.encode())
}

fn created() -> SealedEvent {
    let id = MessageId::new();
    Event::Created { id, author: UserId::new(), name: boxed(id, "Tea") }
}

fn message(text: &str) -> SealedEvent {
    let id = MessageId::new();
    Event::Message { id, author: UserId::new(), body: boxed(id, text) }
}

/// A database that is maps.
#[derive(Debug, Default, PartialEq)]
pub struct Database {
    pub rooms: HashMap<RoomSlug, RoomState>,
    pub sent: HashMap<SentKey, Sent>,
    pub kept: BTreeMap<Place, Kept>,
    pub marks: BTreeMap<Mark, GivenAt>,
    pub changes: Vec<Change>,
    pub texts: BTreeSet<Text>,
    pub erase: BTreeMap<u64, LogEntry>,
    pub asides: Vec<Aside>,
    pub ended: Vec<Ended>,
    pub expired: Vec<Expired>,
    pub ignored: Vec<(u64, Ignored)>,
    pub duplicates: u64,
}

impl Database {
    /// Applies a log cut into batches of these sizes, with no other knowledge than what is asked for.
    pub fn of(log: &[Record], cuts: &[usize]) -> Self {
        let mut database = Self::default();
        let mut rest = log;
        let mut sizes = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
        while !rest.is_empty() {
            let size = sizes.next().unwrap().clamp(1, rest.len());
            let (now, later) = rest.split_at(size);
            rest = later;
            let entries: Vec<_> = now.iter().map(|record| read(PART, record)).collect();
            let mut known = database.known(&entries);
            let mut batch = project(now, &entries, &known);
            while !batch.unknown.is_empty() {
                known
                    .kept
                    .extend(batch.unknown.iter().map(|place| (place.clone(), database.kept[place].clone())));
                batch = project(now, &entries, &known);
            }
            database.apply(batch);
        }
        database
    }

    fn known(&self, entries: &[Entry]) -> Known {
        let (rooms, sent) = asked(entries);
        let sent = sent.into_iter().filter_map(|key| Some((key.clone(), *self.sent.get(&key)?))).collect();
        let wanted = wanted(entries, &sent);
        let texts =
            self.texts.iter().filter(|text| wanted.texts.contains(&(text.entry.room.clone(), text.message)));
        Known {
            rooms: rooms
                .into_iter()
                .filter_map(|room| Some((room.clone(), self.rooms.get(&room)?.clone())))
                .collect(),
            sent,
            kept: wanted.kept.into_iter().map(|place| (place.clone(), self.kept[&place].clone())).collect(),
            marks: wanted.marks.into_iter().filter(|mark| self.marks.contains_key(mark)).collect(),
            texts: texts.cloned().collect(),
        }
    }

    fn apply(&mut self, batch: Batch) {
        for (place, kept) in &batch.rows {
            let key = SentKey { room: place.room.clone(), id: kept.row.id, author: kept.row.author };
            self.sent.insert(key, Sent { number: place.number, seq: kept.row.seq });
        }
        self.kept.extend(batch.rows);
        self.kept.extend(batch.changed);
        self.changes.extend(batch.changes);
        self.marks.retain(|mark, _| !batch.cleared.contains(&mark.place));
        for (mark, seq) in batch.marks {
            match seq {
                Some(seq) => drop(self.marks.insert(mark, seq)),
                None => drop(self.marks.remove(&mark)),
            }
        }
        self.texts.retain(|text| !batch.forgotten.contains(&(text.entry.room.clone(), text.message)));
        self.texts.extend(batch.texts);
        self.erase.extend(batch.erase);
        self.asides.extend(batch.asides);
        self.ended.extend(batch.ended);
        self.expired.extend(batch.expired);
        self.ignored.extend(batch.ignored);
        self.duplicates += batch.duplicates;
        self.rooms.extend(batch.rooms);
    }

    /// Without what has expired, as when nothing of it is left.
    pub fn swept(mut self) -> Self {
        let rooms = &self.rooms;
        let first = |room: &RoomSlug| rooms[room].first;
        let expired = |room: &RoomSlug| rooms[room].expired;
        self.kept.retain(|place, _| place.number >= first(&place.room));
        self.sent.retain(|key, sent| sent.number >= first(&key.room));
        self.marks.retain(|mark, _| mark.place.number >= first(&mark.place.room));
        self.changes.retain(|change| change.counts(expired(&change.room)));
        self.texts.retain(|text| text.message > expired(&text.entry.room));
        self
    }

    /// What the log has lost when everything was erased from it that had to be.
    pub fn thinned(&self, log: Vec<Record>) -> Vec<Record> {
        let mut upto: HashMap<&RoomSlug, u64> = HashMap::new();
        for expired in &self.expired {
            let known = upto.entry(&expired.room).or_default();
            *known = (*known).max(expired.upto);
        }
        let expired = |room: &RoomSlug| upto.get(room).copied().unwrap_or(0);
        let texts = self.texts.iter().filter(|text| text.message <= expired(&text.entry.room));
        let texts: BTreeSet<_> = texts.map(|text| text.entry.seq).collect();
        let is_left = |record: &Record| {
            let is_old = room_of(&record.subject).is_some_and(|room| record.seq <= expired(&room));
            let begins = SealedEvent::decode(&record.payload).is_ok_and(|event| event.begins_log());
            !(self.erase.contains_key(&record.seq) || texts.contains(&record.seq) || (is_old && !begins))
        };
        log.into_iter().filter(is_left).collect()
    }

    /// A room as it is shown.
    fn shown(&self, room: &str) -> Vec<SealedRow> {
        let state = &self.rooms[&slug(room)];
        let is_shown = |place: &Place| place.room == slug(room) && place.number >= state.first;
        let of_room = self.kept.iter().filter(|(place, _)| is_shown(place));
        let rows = of_room.map(|(place, kept)| {
            let marks = self.marks.iter().filter(|(mark, _)| mark.place == *place);
            let mut marks: Vec<_> = marks.map(|(mark, given)| (given.clone(), mark.clone())).collect();
            kept.clone().shown(&mut marks, &state.erased_people)
        });
        rows.collect()
    }

    /// Room, number and sequence of each row, in the order of sequences.
    fn numbers(&self) -> Vec<(&str, u64, u64)> {
        let mut numbers: Vec<_> =
            self.kept.iter().map(|(at, kept)| (at.room.as_str(), at.number, kept.row.seq)).collect();
        numbers.sort_unstable_by_key(|(_, _, seq)| *seq);
        numbers
    }
}

fn reasons(log: &[Record]) -> Vec<(u64, Reason)> {
    Database::of(log, &[]).asides.iter().map(|aside| (aside.seq, aside.reason)).collect()
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
    let database = Database::of(&log, &[]);
    let expected = [("tea", 1, 1), ("chai", 1, 4), ("tea", 2, 5), ("tea", 3, 7), ("chai", 2, 9)];
    assert_eq!(database.numbers(), expected);
    assert!(database.asides.is_empty());
    let tea = &database.rooms[&slug("tea")];
    assert_eq!((tea.count, tea.last_seq, tea.last_message), (3, 7, 2));
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
        let database = Database::of(&log, cuts);
        assert_eq!(database.numbers(), [("tea", 1, 1), ("tea", 2, 2), ("tea", 3, 4)]);
        assert_eq!((database.duplicates, database.rooms[&slug("tea")].count), (2, 3));
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
    let database = Database::of(&log, &[]);
    assert_eq!((database.kept.len(), database.duplicates), (5, 0));
}

#[test]
fn what_can_not_be_applied_is_set_aside_with_its_reason() {
    let null = r#"{"v":1,"type":"message","id":"AaISL8gYcgmE2iruHIEynA","author":"AaISL8gYcgmE2iruHIEynA","body":"\u0000"}"#;
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
    let database = Database::of(&log, &[]);
    // What can't be read has its place in its room.
    let numbers: Vec<_> = database.numbers().into_iter().map(|(_, number, seq)| (number, seq)).collect();
    let unreadable = (2..9).map(|seq| (seq, seq));
    assert_eq!(numbers, [(1, 1)].into_iter().chain(unreadable).chain([(9, 14)]).collect::<Vec<_>>());
    let shown = database.shown("tea");
    assert!(shown[1..8].iter().all(|row| row.what == protocol::view::What::Unreadable), "{shown:?}");
    assert_eq!(database.rooms.len(), 1);
    let long = database.asides.iter().find(|aside| aside.seq == 4).unwrap();
    assert_eq!((long.bytes, long.payload.len()), (900 * 1024, limits::EVENT_BYTES_MAX));
}

#[test]
fn an_event_in_the_log_of_another_shard_is_set_aside() {
    let room = slug("tea");
    let shards = Shards::at_first(8);
    let right = shards.of(&room).unwrap();
    let wrong = Shard((right.0 + 1) % 8);
    for shard in [right, wrong] {
        let read = read(Part { shard, shards }, &record(1, &shard.log(&room), created().encode()));
        match read {
            Entry::Event { .. } => assert_eq!(shard, right),
            Entry::Unreadable { .. } => panic!("it can be read"),
            Entry::Aside(aside) => assert_eq!((shard, aside.reason), (wrong, Reason::OtherShard)),
        }
    }
}
