//! The invariants of a room's sequence chain, in one home: gateway, worker and auditors ask here.

/// How an event that arrives relates to the last one seen of its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The next event: nothing lies between.
    Next,
    /// Seen before, or older than what was seen: drop it.
    Seen,
    /// Events after `last_seen` and up to `prev` were missed: fetch them first.
    Hole,
}

/// Places an event with sequence `seq`, whose room had `prev` before it, behind `last_seen`.
///
/// `prev` may be smaller than `last_seen`, even 0, when earlier events were removed from the log
/// (the broker's `Nats-Last-Sequence` then goes backwards): only "greater than mine" proves a hole.
pub const fn place(last_seen: u64, prev: u64, seq: u64) -> Link {
    if seq <= last_seen {
        Link::Seen
    } else if prev > last_seen {
        Link::Hole
    } else {
        Link::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_greater_previous_sequence_is_a_hole() {
        assert_eq!(place(10, 10, 12), Link::Next);
        assert_eq!(place(10, 11, 12), Link::Hole);
        assert_eq!(place(10, 9, 10), Link::Seen);
        assert_eq!(place(10, 0, 12), Link::Next, "earlier events may have been removed");
        assert_eq!(place(0, 0, 1), Link::Next);
    }
}
