//! What edits, deletions and reactions do, case by case.

use protocol::Target;
use protocol::event::SealedReaction;
use protocol::view::{Content, What};

use super::*;
use crate::boxes::{self, text};

fn edited(author: UserId, target: Target, text: &str) -> SealedEvent {
    let id = MessageId::new();
    Event::Edited { id, author, target, body: boxed(id, text) }
}

fn deleted(target: Target) -> SealedEvent {
    let of = Timestamp::from_millis(target.seq.cast_signed() * 10);
    Event::Deleted { id: MessageId::new(), author: target.author, target, of, hash: "what it was".into() }
}

fn reacted(author: UserId, target: Target, reaction: &str, on: bool) -> SealedEvent {
    let id = MessageId::new();
    Event::Reacted { id, author, target, reaction: boxes::reaction(id, author, reaction), on }
}

/// A message at a sequence, and what is aimed at it.
fn sent(seq: u64, text: &str) -> (Record, Target) {
    let event = message(text);
    (entry(seq, "tea", &event), Target { id: event.id(), author: event.author(), seq })
}

fn content(row: &SealedRow) -> &Content<SealedText, SealedReaction> {
    match &row.what {
        What::Message(content) => content,
        other => panic!("no message: {other:?}"),
    }
}

fn emoji(number: u32) -> String {
    char::from_u32(0x1F400 + number).unwrap().to_string()
}

#[test]
fn an_edit_by_somebody_else_or_of_what_is_not_there_is_ignored_with_its_reason() {
    let ((first, target), (second, gone)) = (sent(2, "v1"), sent(3, "gone"));
    let nowhere = Target { id: MessageId::new(), ..target };
    let mut log = vec![entry(1, "tea", &created()), first, second];
    log.extend([
        entry(4, "tea", &edited(UserId::new(), target, "not mine")),
        entry(5, "tea", &edited(target.author, nowhere, "of nothing")),
        entry(6, "tea", &deleted(gone)),
        entry(7, "tea", &edited(gone.author, gone, "back?")),
        entry(8, "tea", &edited(target.author, target, "v2")),
    ]);
    for cuts in [&[][..], &[1; 8], &[3, 5]] {
        let database = Database::of(&log, cuts);
        let expected = [(4, Ignored::NotTheAuthor), (5, Ignored::Missing), (7, Ignored::Erased)];
        assert_eq!(database.ignored, expected);
        assert!(database.asides.is_empty());
        let rows = database.shown("tea");
        assert_eq!(text(&content(&rows[1]).body), "v2");
        assert_eq!(content(&rows[1]).edited_at, Some(Timestamp::from_millis(80)));
        assert_eq!(rows[2].what, What::Erased);
        assert!(!format!("{:?}", database.kept).contains("gone"));
    }
}

#[test]
fn a_deleted_message_keeps_author_time_and_hash_and_its_texts_must_leave_the_log() {
    let (first, target) = sent(2, "v1");
    let copy = record(5, "chat.log.0.tea", first.payload.clone());
    let mut log = vec![entry(1, "tea", &created()), first];
    log.extend([
        entry(3, "tea", &edited(target.author, target, "v2")),
        entry(4, "tea", &reacted(UserId::new(), target, "👍", true)),
        copy.clone(),
        entry(6, "tea", &deleted(target)),
        Record { seq: 7, ..copy },
    ]);
    for cuts in [&[][..], &[1; 7], &[2, 4]] {
        let database = Database::of(&log, cuts);
        let kept = &database.kept[&Place::new(&slug("tea"), 2)];
        assert_eq!((kept.row.author, kept.row.at), (target.author, Timestamp::from_millis(20)));
        assert_eq!((&kept.row.what, kept.hash.as_deref()), (&What::Erased, Some("what it was")));
        assert!(database.marks.is_empty() && database.texts.is_empty());
        assert_eq!(database.erase.keys().copied().collect::<Vec<_>>(), [2, 3, 5, 7], "copies too");
        assert_eq!(database.rooms[&slug("tea")].last_message, 0);
    }
}

#[test]
fn a_deletion_whose_message_is_gone_from_the_log_is_told_and_takes_the_edits_with_it() {
    let (_, target) = sent(2, "gone before it was read");
    let log = [
        entry(1, "tea", &created()),
        entry(3, "tea", &edited(target.author, target, "v2")),
        entry(4, "tea", &deleted(target)),
    ];
    for cuts in [&[][..], &[1; 3], &[2, 1]] {
        let database = Database::of(&log, cuts);
        assert_eq!((database.kept.len(), database.changes.len()), (1, 1));
        assert_eq!(database.erase.keys().copied().collect::<Vec<_>>(), [2, 3]);
    }
}

#[test]
fn only_a_message_can_be_deleted() {
    let joined = Event::Joined { id: MessageId::new(), author: UserId::new() };
    let target = Target { id: joined.id(), author: joined.author(), seq: 2 };
    let log = [entry(1, "tea", &created()), entry(2, "tea", &joined), entry(3, "tea", &deleted(target))];
    let database = Database::of(&log, &[]);
    assert_eq!(database.ignored, [(3, Ignored::Missing)]);
    assert_eq!(database.shown("tea")[1].what, What::Joined);
    assert!(database.erase.is_empty());
}

#[test]
fn a_change_in_a_room_that_was_never_made_is_set_aside() {
    let (_, target) = sent(2, "x");
    let aside = (1, Reason::Unreadable(Unreadable::NoRoom));
    assert_eq!(reasons(&[entry(1, "never", &deleted(target))]), [aside]);
}

#[test]
fn a_message_holds_twenty_reactions_and_two_thousand_in_all() {
    let (first, target) = sent(2, "much liked");
    let mut log = vec![entry(1, "tea", &created()), first];
    let mut seq = 2;
    let mut add = |event: SealedEvent| {
        seq += 1;
        log.push(entry(seq, "tea", &event));
    };
    let people: Vec<_> = (0..110).map(|_| UserId::new()).collect();
    for number in 0..21 {
        for person in &people[..if number < 18 { 110 } else { 1 }] {
            add(reacted(*person, target, &emoji(number), true));
        }
    }
    // 1,982 are held; of 20 more the last two are too many, until one is taken back.
    for person in &people[1..21] {
        add(reacted(*person, target, &emoji(18), true));
    }
    add(reacted(people[0], target, &emoji(0), false));
    add(reacted(people[50], target, &emoji(18), true));
    for cuts in [&[][..], &[700, 1, 1_000], &[50; 60]] {
        let database = Database::of(&log, cuts);
        assert_eq!(database.ignored.len(), 3, "{:?}", database.ignored);
        assert!(database.ignored.iter().all(|(_, reason)| *reason == Ignored::Full));
        assert_eq!(database.marks.len(), 2_000);
        let row = &database.shown("tea")[1];
        let reactions = &content(row).reactions;
        let counts: Vec<_> = reactions.iter().map(|known| known.count).collect();
        assert_eq!(counts, [[109].as_slice(), &[110; 17], &[20, 1]].concat());
        assert_eq!(reactions[0].by, people[1..101], "the first hundred, in the order of giving");
    }
}

#[test]
fn when_the_last_messages_are_deleted_the_one_before_them_is_the_last() {
    let messages: Vec<_> = (2..10).map(|seq| sent(seq, "m")).collect();
    let mut log = vec![entry(1, "tea", &created())];
    log.extend(messages.iter().map(|(record, _)| record.clone()));
    for (seq, place) in (10..).zip([4, 5, 7, 6]) {
        log.push(entry(seq, "tea", &deleted(messages[place].1)));
    }
    for cuts in [&[][..], &[1; 13], &[9, 2, 2], &[5, 5]] {
        assert_eq!(Database::of(&log, cuts).rooms[&slug("tea")].last_message, 5);
    }
}

#[test]
fn the_reactions_of_a_person_who_was_erased_count_no_more() {
    let (first, target) = sent(2, "m");
    let (ann, ben) = (UserId::new(), UserId::new());
    let erased = Event::UserErased { id: MessageId::new(), author: ann };
    let log = [
        entry(1, "tea", &created()),
        first,
        entry(3, "tea", &reacted(ann, target, "👍", true)),
        entry(4, "tea", &reacted(ben, target, "👍", true)),
        entry(5, "tea", &reacted(ann, target, "🎉", true)),
        entry(6, "tea", &erased),
    ];
    for cuts in [&[][..], &[1; 6], &[4, 2]] {
        let rows = Database::of(&log, cuts).shown("tea");
        assert_eq!(rows[2].what, What::UserErased);
        let reactions = &content(&rows[1]).reactions;
        assert_eq!(reactions.iter().map(|given| given.count).collect::<Vec<_>>(), [1]);
        assert_eq!((&reactions[0].by[..], reactions[0].reaction.author), (&[ben][..], ben), "his own box");
    }
}

#[test]
fn reactions_that_were_read_later_than_their_row_count_as_what_comes_after_it_says() {
    let (first, target) = sent(2, "m");
    let (ann, ben) = (UserId::new(), UserId::new());
    let log = [
        entry(1, "tea", &created()),
        first,
        entry(3, "tea", &reacted(ann, target, "👍", true)),
        entry(4, "tea", &reacted(ben, target, "👍", true)),
        entry(5, "tea", &reacted(ann, target, "👍", false)),
    ];
    for row_at in 2..=log.len() {
        for marks_at in row_at..=log.len() {
            let torn = Database {
                marks: Database::of(&log[..marks_at], &[]).marks,
                ..Database::of(&log[..row_at], &[])
            };
            let mut rows = torn.shown("tea");
            for record in &log[row_at..] {
                let (stored, _) = SealedStored::read(record.seq, record.at, &record.payload);
                protocol::view::fold(&mut rows, &stored);
            }
            let reactions = &content(&rows[1]).reactions;
            let given: Vec<_> = reactions.iter().map(|given| (given.count, &given.by[..])).collect();
            assert_eq!(given, [(1, &[ben][..])], "row at {row_at}, reactions at {marks_at}");
        }
    }
}

#[test]
fn of_an_erased_room_nothing_is_kept_however_much_of_it_the_log_still_has() {
    let first = created();
    let end = entry(4, "tea", &Event::RoomErased { id: MessageId::new(), author: first.author() });
    let late = entry(5, "tea", &Event::Left { id: MessageId::new(), author: UserId::new() });
    let whole = [entry(1, "tea", &first), sent(2, "m").0, sent(3, "m").0, end.clone(), late.clone()];
    let half = [entry(1, "tea", &first), end.clone(), late.clone()];
    for log in [&whole[..], &half, &[end, late]] {
        for cuts in [&[][..], &[1; 5], &[2, 2]] {
            let database = Database::of(log, cuts);
            let state = &database.rooms[&slug("tea")];
            assert!(state.erased && state.count == 0, "{state:?}");
            assert_eq!(database.ended.iter().map(|ended| ended.seq).collect::<Vec<_>>(), [4]);
            assert_eq!(database.ignored, [(5, Ignored::RoomErased)]);
            assert_eq!(database.asides, []);
        }
    }
}
