//! Which numbers a page has. A sequence becomes a number by search over point reads, since both rise together; pure, the
//! reads are the caller's.

use std::ops::{Range, RangeInclusive};

use serde::Serialize;

/// Point reads of one round of the search.
const PROBES: u64 = 15;

/// Bytes of the rows or events of one answer, at most: the broker takes 1 MiB with all around it.
pub const ANSWER_BYTES_MAX: usize = 900 * 1024;

/// Reactions, each person's by itself, that are read for one page. A page with more is shorter.
pub const PAGE_REACTIONS_MAX: usize = 10_000;

/// The search for the first event of a room whose sequence is at least `target`, when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    target: u64,
    /// It is not before this number …
    low: u64,
    /// … nor behind this one.
    high: u64,
}

impl Search {
    /// In a room whose events have these numbers (at least one), and whose last has a sequence of at least `target`.
    pub const fn new(target: u64, numbers: RangeInclusive<u64>) -> Self {
        Self { target, low: *numbers.start(), high: *numbers.end() }
    }

    /// The number, once it is known.
    pub const fn found(&self) -> Option<u64> {
        if self.low == self.high { Some(self.low) } else { None }
    }

    /// The numbers to be looked at next, rising; none once the number is known.
    pub fn probes(&self) -> Vec<u64> {
        let width = self.high - self.low;
        if width <= PROBES {
            return (self.low..self.high).collect();
        }
        (1..=PROBES).map(|part| self.low + width * part / (PROBES + 1)).collect()
    }

    /// Takes the sequences of the events with these numbers.
    pub fn narrow(&mut self, probes: &[u64], sequences: &[u64]) {
        for (number, seq) in probes.iter().zip(sequences) {
            if *seq >= self.target {
                self.high = *number;
                return;
            }
            self.low = number + 1;
        }
    }
}

/// The numbers of the `limit` rows before the number `place`, in a room whose first row has the number `first`.
pub fn before(place: u64, first: u64, limit: u64) -> Range<u64> {
    place.saturating_sub(limit).max(first)..place
}

/// The numbers of the `limit` rows from the number `place` on, in a room whose last row has the number `count`.
pub fn from(place: u64, count: u64, limit: u64) -> Range<u64> {
    place..place.saturating_add(limit).min(count + 1)
}

/// How many of these fit, counted from the first: at least one, where there is one.
pub fn fitting(sizes: impl Iterator<Item = usize>, max: usize) -> usize {
    let mut left = max;
    let mut fits = |place: usize, size: usize| {
        let rest = left.checked_sub(size);
        left = rest.unwrap_or(0);
        rest.is_some() || place == 0
    };
    sizes.enumerate().take_while(|(place, size)| fits(*place, *size)).count()
}

/// Bytes of something in an answer.
pub fn bytes(of: &impl Serialize) -> usize {
    serde_json::to_vec(of).map_or(0, |bytes| bytes.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{Event, MessageId, SealedStored, Timestamp, UserId, limits};

    fn search(sequences: &[u64], target: u64) -> (u64, usize) {
        let mut search = Search::new(target, 1..=sequences.len() as u64);
        let mut rounds = 0;
        while search.found().is_none() {
            let probes = search.probes();
            let found: Vec<_> = probes.iter().map(|n| sequences[usize::try_from(*n).unwrap() - 1]).collect();
            search.narrow(&probes, &found);
            rounds += 1;
        }
        (search.found().unwrap(), rounds)
    }

    #[test]
    fn a_place_in_a_million_events_is_found_in_five_rounds() {
        let sequences: Vec<u64> = (1..=1_000_000).map(|n| n * 3).collect();
        for (target, number) in [(1, 1), (3, 1), (4, 2), (1_500_001, 500_001), (3_000_000, 1_000_000)] {
            let (found, rounds) = search(&sequences, target);
            assert_eq!(found, number);
            assert!(rounds <= 5, "{rounds} rounds");
        }
    }

    proptest! {
        #[test]
        fn the_search_finds_the_first_event_at_or_after_a_sequence(
            gaps in prop::collection::vec(1_u64..9, 1..400),
            share in 0.0..1.0_f64,
        ) {
            let sequences: Vec<u64> = gaps.iter().scan(0, |seq, gap| { *seq += gap; Some(*seq) }).collect();
            let last = *sequences.last().unwrap();
            let target = (last as f64 * share) as u64;
            let plain = sequences.iter().position(|seq| *seq >= target).unwrap() as u64 + 1;
            prop_assert_eq!(search(&sequences, target).0, plain);
        }
    }

    #[test]
    fn a_page_before_a_place_ends_at_it_and_one_from_a_place_begins_there() {
        assert_eq!(before(101, 1, 50), 51..101);
        assert_eq!(before(50, 1, 50), 1..50);
        assert_eq!(before(51, 1, 50), 1..51);
        assert_eq!(before(1, 1, 50), 1..1);
        assert_eq!(before(101, 70, 50), 70..101);
        assert_eq!(before(101, 101, 50), 101..101);
        assert_eq!(from(1, 100, 50), 1..51);
        assert_eq!(from(60, 100, 50), 60..101);
        assert_eq!(from(101, 100, 50), 101..101);
    }

    #[test]
    fn what_fits_is_counted_from_the_first_and_one_always_fits() {
        let fit = |sizes: &[usize]| fitting(sizes.iter().copied(), 10);
        assert_eq!(fit(&[]), 0);
        assert_eq!(fit(&[11]), 1);
        assert_eq!(fit(&[11, 0]), 2);
        assert_eq!(fit(&[4, 6, 1]), 2);
        assert_eq!(fit(&[4, 7, 1]), 1);
    }

    #[test]
    fn the_longest_messages_of_a_page_are_cut_to_what_the_broker_takes() {
        let longest = crate::boxes::boxed(MessageId::new(), &"🙂".repeat(limits::BODY_CHARS_MAX));
        let event = |seq| SealedStored {
            seq,
            at: Timestamp::from_millis(0),
            event: Event::Message { id: MessageId::new(), author: UserId::new(), body: longest.clone() },
        };
        let events: Vec<_> = (0..100).map(event).collect();
        let fit = fitting(events.iter().map(bytes), ANSWER_BYTES_MAX);
        assert!(fit > 10 && fit < 100, "{fit}");
        assert!(serde_json::to_vec(&events[..fit]).unwrap().len() <= ANSWER_BYTES_MAX + 2);
    }
}
