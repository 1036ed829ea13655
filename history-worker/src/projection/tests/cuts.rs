//! Any log, cut in any way.

use proptest::prelude::*;
use protocol::Target;
use protocol::event::SealedReaction;
use protocol::view::{self, What};

use super::*;
use crate::boxes;

fn id(number: u128) -> MessageId {
    MessageId(uuid::Uuid::from_u128(number))
}

fn user(number: u8) -> UserId {
    // Nobody, who stands for who wrote what can't be read, is not among them.
    UserId(uuid::Uuid::from_u128(u128::from(number) + 1))
}

fn reaction(by: MessageId, author: UserId, number: u8) -> SealedReaction {
    boxes::reaction(by, author, ["👍", "🎉", "❤️"][usize::from(number % 3)])
}

fn body(by: MessageId, text: impl ToString) -> SealedText {
    boxed(by, &text.to_string())
}

fn placed(entries: Vec<((String, Vec<u8>), u64)>) -> Vec<Record> {
    let placed = entries.into_iter().scan(0, |seq, ((subject, payload), gap)| {
        *seq += gap;
        Some(record(*seq, &subject, payload))
    });
    placed.collect()
}

/// A log of few rooms, authors and ids, so that copies, early messages, second creations and changes of what is not there come
/// up often.
pub fn any_log() -> impl Strategy<Value = Vec<Record>> {
    let event = (0..3_u8, 0..9_u8, 0..3_u8, 0..12_u128, (0..3_u8, 0..12_u128, 1..40_u64));
    let event = event.prop_map(|(room, kind, author, own, (target_author, target, seq))| {
        let target = Target { id: id(target), author: user(target_author), seq };
        let (id, author) = (id(own), user(author));
        let event = match kind {
            0 => Event::Created { id, author, name: body(id, "Room") },
            1 => Event::Joined { id, author },
            2 => Event::Edited { id, author, target, body: body(id, own) },
            3 => Event::Deleted { id, author, target, of: Timestamp::from_millis(7), hash: "h".into() },
            4 | 5 => {
                let reaction = reaction(id, author, target_author);
                Event::Reacted { id, author, target, reaction, on: kind == 4 }
            }
            _ => Event::Message { id, author, body: body(id, "text") },
        };
        (format!("chat.log.0.room_{room}"), event.encode())
    });
    let nonsense = (0..3_u8, prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(room, bytes)| (format!("chat.log.0.room_{room}"), bytes));
    prop::collection::vec((prop_oneof![9 => event, 1 => nonsense], 1..4_u64), 0..80).prop_map(placed)
}

/// A log as gateways write it: one room, ids that are used once, changes of messages that are there. Beside it the events.
pub fn good_log() -> impl Strategy<Value = Vec<SealedStored>> {
    log_of(0..10)
}

/// The same in a room that does not keep things for ever. Changes of what has just expired come up too.
pub fn expiring_log() -> impl Strategy<Value = Vec<SealedStored>> {
    log_of(0..12)
}

fn log_of(kinds: std::ops::Range<u8>) -> impl Strategy<Value = Vec<SealedStored>> {
    let steps = prop::collection::vec((kinds, 0..4_u8, any::<prop::sample::Index>(), 1..3_u64), 0..80);
    steps.prop_map(|steps| {
        let created = Event::Created { id: id(1_000), author: user(0), name: body(id(1_000), "Tea") };
        let mut log = vec![SealedStored { seq: 1, at: Timestamp::from_millis(10), event: created }];
        let mut targets: Vec<Target> = Vec::new();
        for (number, (kind, by, which, gap)) in steps.into_iter().enumerate() {
            let (id, author) = (id(2_000 + number as u128), user(by));
            let seq = log.last().unwrap().seq + gap;
            let event = if kind < 4 || targets.is_empty() {
                targets.push(Target { id, author, seq });
                Event::Message { id, author, body: body(id, number) }
            } else {
                let target = *which.get(&targets);
                match kind {
                    4 | 5 => Event::Edited { id, author: target.author, target, body: body(id, number) },
                    10 | 11 => {
                        let keep = protocol::KeepDays::new(7).unwrap();
                        Event::Expired { id, author, target, of: Timestamp::from_millis(7), keep }
                    }
                    6 => {
                        Event::Deleted { id, author, target, of: Timestamp::from_millis(7), hash: "h".into() }
                    }
                    _ => Event::Reacted {
                        id,
                        author,
                        target,
                        reaction: reaction(id, author, by),
                        on: kind < 9,
                    },
                }
            };
            log.push(SealedStored { seq, at: Timestamp::from_millis(seq.cast_signed() * 10), event });
        }
        log
    })
}

pub fn records(events: &[SealedStored]) -> Vec<Record> {
    events.iter().map(|stored| entry(stored.seq, "tea", &stored.event)).collect()
}

proptest! {
    #[test]
    fn any_cut_into_batches_gives_the_same_rows(log in any_log(), cuts in prop::collection::vec(1..9_usize, 0..80)) {
        prop_assert_eq!(Database::of(&log, &cuts), Database::of(&log, &[]));
    }

    #[test]
    fn any_cut_of_a_good_log_gives_the_rows_of_the_fold(log in good_log(), cuts in prop::collection::vec(1..9_usize, 0..80)) {
        let mut rows = Vec::new();
        log.iter().for_each(|stored| view::fold(&mut rows, stored));
        let database = Database::of(&records(&log), &cuts);
        prop_assert_eq!(database.shown("tea"), rows.clone());
        let last = rows.iter().rposition(|row| matches!(row.what, What::Message(_)));
        let room = &database.rooms[&slug("tea")];
        prop_assert_eq!(room.last_message, last.map_or(0, |place| place as u64 + 1));
    }

    #[test]
    fn any_cut_of_an_expiring_log_gives_the_rows_of_the_fold(log in expiring_log(), cuts in prop::collection::vec(1..9_usize, 0..80)) {
        let mut rows = Vec::new();
        log.iter().for_each(|stored| view::fold(&mut rows, stored));
        let database = Database::of(&records(&log), &cuts);
        prop_assert_eq!(database.shown("tea"), rows.clone());
        let room = &database.rooms[&slug("tea")];
        prop_assert_eq!(room.rows(), rows.len() as u64);
        prop_assert_eq!(room.last_seq, rows.last().map_or(0, |row| row.seq));
        let last = rows.iter().rposition(|row| matches!(row.what, What::Message(_)));
        prop_assert_eq!(room.last_message, last.map_or(0, |place| place as u64 + room.first));
        prop_assert_eq!(database.swept(), Database::of(&records(&log), &[]).swept());
    }

    /// The log that has lost what has expired gives the same rows, and what it loses has no text that is shown.
    #[test]
    fn a_log_without_what_has_expired_gives_the_messages_that_are_left(log in expiring_log(), cuts in prop::collection::vec(1..9_usize, 0..80)) {
        let whole = Database::of(&records(&log), &cuts);
        let again = Database::of(&whole.thinned(records(&log)), &[]);
        let mut left = whole.shown("tea");
        left.retain(|row| row.what != What::Erased);
        prop_assert_eq!(again.shown("tea"), left);
        prop_assert!(again.asides.is_empty());
        prop_assert_eq!(again.rooms[&slug("tea")].expired, whole.rooms[&slug("tea")].expired);
    }

    /// What is to be erased is every text of a deleted message and nothing else; without it the log gives the same messages.
    #[test]
    fn a_log_whose_deleted_texts_are_gone_gives_the_messages_that_are_left(log in good_log(), cuts in prop::collection::vec(1..9_usize, 0..80)) {
        let whole = Database::of(&records(&log), &cuts);
        let is_deleted = |target: Target| log.iter().any(|other| {
            matches!(other.event, Event::Deleted { target: of, .. } if of == target)
        });
        let texts = log.iter().filter(|stored| match &stored.event {
            Event::Message { id, author, .. } => is_deleted(Target { id: *id, author: *author, seq: stored.seq }),
            Event::Edited { target, .. } => is_deleted(*target),
            _ => false,
        });
        prop_assert_eq!(whole.erase.keys().copied().collect::<Vec<_>>(), texts.map(|text| text.seq).collect::<Vec<_>>());
        let mut thinned = log;
        thinned.retain(|stored| !whole.erase.contains_key(&stored.seq));
        let again = Database::of(&records(&thinned), &cuts);
        let mut left = whole.shown("tea");
        left.retain(|row| row.what != What::Erased);
        prop_assert_eq!(again.shown("tea"), left);
        prop_assert!(again.erase.keys().all(|seq| whole.erase.contains_key(seq)));
        prop_assert!(again.asides.is_empty());
    }

    #[test]
    fn numbers_have_no_hole_and_every_entry_is_somewhere_once(log in any_log()) {
        let all = Database::of(&log, &[]);
        let unreadable = all.kept.values().filter(|kept| kept.row.what == What::Unreadable).count();
        let passed_over = all.asides.len() - unreadable + all.ignored.len() + usize::try_from(all.duplicates).unwrap();
        prop_assert_eq!(all.kept.len() + all.changes.len() + passed_over, log.len());
        for (room, state) in &all.rooms {
            let of_room: Vec<_> = all.kept.iter().filter(|(place, _)| place.room == *room).collect();
            let numbers: Vec<_> = of_room.iter().map(|(place, _)| place.number).collect();
            prop_assert_eq!(numbers, (1..=state.count).collect::<Vec<_>>());
            prop_assert!(of_room.is_sorted_by(|a, b| a.1.row.seq < b.1.row.seq));
            prop_assert_eq!(of_room.last().unwrap().1.row.seq, state.last_seq);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(subject in ".{0,40}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
        read(PART, &record(1, &subject, payload));
    }
}
