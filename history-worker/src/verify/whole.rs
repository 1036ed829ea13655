//! A comparison of all of a shard, put together from its parts, whoever asks for them and whichever worker answers. Pure.

use protocol::Timestamp;
use protocol::query::{LastVerify, Verified, Verify};
use serde::{Deserialize, Serialize};

/// For whom a shard is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Operator,
    Itself,
}

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// Rises with each part.
    pub turn: u64,
    /// The part that was compared last, and what was found before it: the same may be asked for again when its answer was lost.
    last: Option<(Verify, Verified)>,
    /// What was found, without the differences; it names what comes next.
    found: Verified,
    /// When the last part was compared.
    at: Option<Timestamp>,
}

impl Whole {
    pub const FIRST: Verify = Verify::Rooms { after: None };

    /// The part that comes next, of one that is under way.
    pub const fn next(&self) -> Option<&Verify> {
        self.found.next.as_ref()
    }

    /// With a part more; `None` for one that does not continue it.
    pub fn with(&self, what: &Verify, part: &Verified, at: Timestamp) -> Option<Self> {
        let before = match &self.last {
            _ if *what == Self::FIRST => Verified::default(),
            _ if self.next() == Some(what) => self.found.clone(),
            Some((last, before)) if last == what => before.clone(),
            _ => return None,
        };
        let mut found = Verified { next: part.next.clone(), ..before.clone() };
        found.add(Verified { differences: Vec::new(), ..part.clone() });
        Some(Self { turn: self.turn + 1, last: Some((what.clone(), before)), found, at: Some(at) })
    }

    /// What came of it, when all was compared.
    pub fn ended(&self) -> Option<LastVerify> {
        let at = self.at.filter(|_| self.next().is_none())?;
        let Verified { rooms, rows, different, different_rooms, .. } = self.found;
        Some(LastVerify { at, rooms, rows, different, different_rooms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rooms: u64, different: u64, next: Option<Verify>) -> Verified {
        let different_rooms = u64::from(different > 0);
        Verified { rooms, rows: rooms * 10, different, different_rooms, next, ..Verified::default() }
    }

    const fn unknown(after: u64) -> Verify {
        Verify::Unknown { after }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn parts_that_follow_each_other_are_a_whole_also_when_one_is_asked_for_twice() {
        let whole = Whole::default();
        assert_eq!(whole.with(&unknown(3), &part(1, 0, None), at(1)), None, "it has not begun");
        let begun = whole.with(&Whole::FIRST, &part(2, 1, Some(unknown(0))), at(1)).unwrap();
        assert_eq!((begun.next(), begun.ended()), (Some(&unknown(0)), None));
        let further = begun.with(&unknown(0), &part(4, 0, Some(unknown(9))), at(2)).unwrap();
        // Its answer was lost, and the second time it ends elsewhere.
        let again = further.with(&unknown(0), &part(3, 0, Some(unknown(7))), at(3)).unwrap();
        assert_eq!(again.with(&unknown(9), &part(1, 0, None), at(4)), None, "that is not where it is");
        let ended = again.with(&unknown(7), &part(1, 2, None), at(5)).unwrap().ended();
        let all = LastVerify { at: at(5), rooms: 6, rows: 60, different: 3, different_rooms: 2 };
        assert_eq!(ended, Some(all));
    }

    #[test]
    fn the_first_part_begins_anew() {
        let begun = Whole::default().with(&Whole::FIRST, &part(2, 1, Some(unknown(0))), at(1)).unwrap();
        let anew = begun.with(&Whole::FIRST, &part(5, 0, None), at(2)).unwrap();
        assert_eq!((anew.turn, anew.ended().map(|last| last.rooms)), (2, Some(5)));
    }
}
