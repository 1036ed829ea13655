//! What verifying takes from a log is what the projection makes of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::RoomSlug;
use protocol::query::Difference;

use super::compare::Comparison;
use super::said::{Changing, Line, Said};
use crate::projection::tests::cuts::{any_log, expiring_log, good_log, records};
use crate::projection::tests::{Database, PART};
use crate::projection::{self, Kept};

fn said(log: &[broker::Record], room: &RoomSlug) -> Said {
    let mut said = Said::default();
    for record in log {
        let entry = projection::read(PART, record);
        if let Some((_, stored)) = entry.event().filter(|(of, _)| *of == room) {
            said.take(stored, false);
        }
    }
    said
}

/// Compares a room of a database with a log.
fn compared(said: &Said, room: &RoomSlug, database: &Database) -> Vec<Difference> {
    let mut comparison = Comparison::new(room, said, 1);
    let first = database.rooms.get(room).map_or(1, |state| state.first);
    let is_read = |place: &projection::Place| place.room == *room && place.number >= first;
    for (place, kept) in database.kept.iter().filter(|(place, _)| is_read(place)) {
        let marks = database.marks.iter().filter(|(mark, _)| mark.place == *place);
        let marks: Vec<_> = marks.map(|(mark, given)| (given.clone(), mark.clone())).collect();
        comparison.row(&Line::held(kept, &marks), kept.hash.as_deref());
    }
    comparison.end();
    let changes = database.changes.iter().filter(|change| change.room == *room);
    comparison
        .changes(&changes.map(|change| (change.seq, Changing::held(change))).collect::<BTreeMap<_, _>>());
    comparison.differences
}

fn rooms() -> [RoomSlug; 4] {
    ["room_0", "room_1", "room_2", "tea"].map(|room| RoomSlug::parse(room).unwrap())
}

proptest! {
    /// Whatever the log, the projection of it is found to be right.
    #[test]
    fn what_the_projection_makes_of_any_log_is_what_the_log_says(log in any_log()) {
        let database = Database::of(&log, &[]);
        for room in rooms() {
            let said = said(&log, &room);
            prop_assert_eq!(compared(&said, &room, &database), Vec::new());
            let creator = database.rooms.get(&room).map(|state| state.creator);
            prop_assert_eq!(said.creator(), creator);
        }
    }

    /// After texts of deleted messages have left the log, both the history from before and one that is made anew are right.
    #[test]
    fn a_history_is_right_before_and_after_a_rebuild_from_a_log_without_deleted_texts(log in good_log()) {
        let records = records(&log);
        let whole = Database::of(&records, &[]);
        let thinned: Vec<_> =
            records.into_iter().filter(|record| !whole.erase.contains_key(&record.seq)).collect();
        let again = Database::of(&thinned, &[]);
        let [.., tea] = rooms();
        let said = said(&thinned, &tea);
        prop_assert_eq!(compared(&said, &tea, &whole), Vec::new());
        prop_assert_eq!(compared(&said, &tea, &again), Vec::new());
    }

    /// Whether the log has lost already what has expired or not, and the history too: all of it is right.
    #[test]
    fn a_history_is_right_before_and_after_what_has_expired_is_gone(log in expiring_log()) {
        let records = records(&log);
        let [.., tea] = rooms();
        let whole = Database::of(&records, &[]);
        let thinned = whole.thinned(records.clone());
        let again = Database::of(&thinned, &[]);
        for log in [records, thinned.clone()] {
            prop_assert_eq!(compared(&said(&log, &tea), &tea, &whole), Vec::new());
        }
        let said = said(&thinned, &tea);
        prop_assert_eq!(compared(&said, &tea, &whole.swept()), Vec::new());
        prop_assert_eq!(compared(&said, &tea, &again), Vec::new());
    }

    /// A row that is taken away, doubled, or changed in any way is found, and its sequence is named.
    #[test]
    fn whatever_is_wrong_with_a_row_is_found(log in good_log(), which in any::<prop::sample::Index>(), fault in 0..6_u8) {
        let records = records(&log);
        let mut database = Database::of(&records, &[]);
        let [.., tea] = rooms();
        let said = said(&records, &tea);
        let rows: Vec<_> = database.kept.keys().cloned().collect();
        let place = which.get(&rows).clone();
        let kept = database.kept.remove(&place).unwrap();
        let seq = kept.row.seq;
        let planted = planted(kept, fault);
        prop_assume!(planted.is_some() || fault == 0);
        if let Some(planted) = planted {
            database.kept.insert(place, planted);
        }
        let found = compared(&said, &tea, &database);
        let is_erased = said.rows.iter().any(|line| line.seq == seq && line.kind == super::said::Kind::Erased);
        // An erased message may have no row.
        prop_assert!(is_erased && fault == 0 || found.iter().any(|difference| difference.seq == seq), "{found:?}");
    }
}

/// The row with a fault; nothing where it has nothing that could be wrong so.
fn planted(mut kept: Kept, fault: u8) -> Option<Kept> {
    use protocol::view::What;
    let row = &mut kept.row;
    match fault {
        0 => return None,
        1 => row.author = protocol::UserId::new(),
        2 => row.id = protocol::MessageId::new(),
        3 => row.at = protocol::Timestamp::from_millis(row.at.as_millis() + 1),
        4 => match &mut row.what {
            What::Message(content) => content.body = crate::boxes::boxed(row.id, "a stale text"),
            _ => return None,
        },
        _ => match kept.given.first_mut() {
            Some(given) => given.count += 1,
            None => return None,
        },
    }
    Some(kept)
}
