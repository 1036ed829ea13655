//! The end of a room's log in memory. Pure: it knows no clock, no socket and no broker.
//!
//! The ring is also the one queue between a room and its members: a socket holds a cursor into it and no queue of its own.
//! So a slow member costs no memory, and who falls behind the ring's start continues from the log.

use super::shown::{Entry, Shown};
use crate::config::RingLimits;
use protocol::{
    MessageId, StoredEvent, StreamIdentity, UserId,
    chain::{Link, place},
    view::{self, Row, What},
};
use std::{collections::VecDeque, sync::Arc};

/// A room's newest events, without a hole between `floor` and `seen`.
#[derive(Debug)]
pub struct Ring {
    identity: StreamIdentity,
    /// Events up to here are not in the ring.
    floor: u64,
    /// Everything up to here has been placed: shown, or set aside as unreadable.
    seen: u64,
    /// The last event that members see; 0 when none is known.
    last_shown: u64,
    events: VecDeque<Arc<Shown>>,
    bytes: usize,
    limits: RingLimits,
}

/// What a ring has for a cursor.
#[derive(Debug)]
pub enum After {
    /// Events after the cursor, oldest first, and the place to which they bring it.
    Events(Vec<Arc<Shown>>, u64),
    /// The cursor is at the end.
    Nothing,
    /// The cursor lies before the ring: the log has what comes next.
    Older,
}

impl Ring {
    /// An empty ring of a room whose log has been looked at up to `floor`.
    pub const fn new(identity: StreamIdentity, floor: u64, limits: RingLimits) -> Self {
        Self { identity, floor, seen: floor, last_shown: 0, events: VecDeque::new(), bytes: 0, limits }
    }

    pub const fn identity(&self) -> StreamIdentity {
        self.identity
    }
    pub const fn floor(&self) -> u64 {
        self.floor
    }
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// How an event that arrives relates to what the ring has.
    pub const fn link(&self, prev: u64, seq: u64) -> Link {
        place(self.seen, prev, seq)
    }

    /// The `prev` of the next event to be shown: the one before it that members see, as far as this ring knows.
    pub const fn prev_of_next(&self) -> u64 {
        if self.last_shown > 0 { self.last_shown } else { self.floor }
    }

    /// Appends the next event. The caller has asked [`Ring::link`].
    pub fn push(&mut self, shown: Arc<Shown>) {
        debug_assert!(shown.seq > self.seen, "a ring only grows at its end");
        self.seen = shown.seq;
        self.last_shown = shown.seq;
        self.bytes += shown.bytes;
        self.events.push_back(shown);
        while self.events.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.floor = oldest.seq;
            self.bytes -= oldest.bytes;
        }
    }

    /// Notes that the log was read to `seq` and holds nothing to show up to there.
    pub fn pass(&mut self, seq: u64) {
        self.seen = self.seen.max(seq);
    }

    /// Puts older events before the ring, when they reach its floor and there is room for all of them.
    pub fn extend_back(&mut self, after: u64, older: &[Arc<Shown>]) {
        let bytes: usize = older.iter().map(|shown| shown.bytes).sum();
        let fits =
            self.events.len() + older.len() <= self.limits.events && self.bytes + bytes <= self.limits.bytes;
        if !fits || after >= self.floor {
            return;
        }
        if self.last_shown == 0 {
            self.last_shown = older.last().map_or(0, |shown| shown.seq);
        }
        for shown in older.iter().rev() {
            self.events.push_front(Arc::clone(shown));
        }
        self.bytes += bytes;
        self.floor = after;
    }

    /// At most `limit` events after a cursor.
    pub fn after(&self, cursor: u64, limit: usize) -> After {
        if cursor >= self.seen {
            return After::Nothing;
        }
        if cursor < self.floor {
            return After::Older;
        }
        let start = self.events.partition_point(|shown| shown.seq <= cursor);
        let events: Vec<_> = self.events.range(start..).take(limit).cloned().collect();
        let all = start + events.len() == self.events.len();
        let reached = if all { self.seen } else { events.last().map_or(self.seen, |shown| shown.seq) };
        After::Events(events, reached)
    }

    /// Takes the text out of a message that was deleted, and out of its edits.
    pub fn erase(&mut self, seq: u64) {
        for shown in self.events.iter_mut().filter(|shown| shown.goes_with(seq)) {
            *shown = Arc::new(shown.erased());
        }
    }

    /// Lets everything up to a sequence go, and the texts that later edits gave it.
    pub fn expire(&mut self, upto: u64) {
        while let Some(oldest) = self.events.pop_front_if(|shown| shown.seq <= upto) {
            self.bytes -= oldest.bytes;
        }
        self.floor = self.floor.max(upto.min(self.seen));
        for shown in self.events.iter_mut().filter(|shown| shown.is_text_of_any_up_to(upto)) {
            *shown = Arc::new(shown.erased());
        }
    }

    /// Takes out every text of a person, or of everybody.
    pub fn erase_of(&mut self, author: Option<UserId>) {
        for shown in &mut self.events {
            if shown.has_text() && author.is_none_or(|author| shown.what.author() == author) {
                *shown = Arc::new(shown.erased());
            }
        }
    }

    /// The newest rows as they are now and the row before them (0 for none), when the ring alone can fill a page of `limit`.
    pub fn newest(&self, limit: usize) -> Option<(Vec<Row>, u64)> {
        let mut rows = Vec::with_capacity(self.events.len());
        for shown in &self.events {
            fold(&mut rows, shown);
        }
        let dropped = rows.len().checked_sub(limit).filter(|dropped| *dropped > 0 || self.floor == 0)?;
        let prev = dropped.checked_sub(1).map_or(0, |last| rows[last].seq);
        Some((rows.split_off(dropped), prev))
    }

    /// The events after a sequence whose text is still there, if the ring reaches so far back.
    pub fn stored_after(&self, seq: u64) -> Option<Vec<StoredEvent>> {
        let reaches = seq >= self.floor;
        reaches.then(|| {
            let start = self.events.partition_point(|shown| shown.seq <= seq);
            self.events.range(start..).filter_map(|shown| shown.stored()).collect()
        })
    }

    /// The newest entry with this id.
    pub fn find(&self, id: MessageId) -> Option<&Arc<Shown>> {
        self.events.iter().rev().find(|shown| shown.what.id() == id)
    }
}

fn fold(rows: &mut Vec<Row>, shown: &Shown) {
    match &shown.what {
        Entry::Erased { id, author, is_message: true } => {
            rows.push(Row { seq: shown.seq, at: shown.at, id: *id, author: *author, what: What::Erased });
        }
        Entry::Erased { .. } => {}
        Entry::Event(_) => {
            if let Some(stored) = shown.stored() {
                view::fold(rows, &stored);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Event, MessageId, StoredEvent, Timestamp, UserId};

    const LIMITS: RingLimits = RingLimits { events: 4, bytes: 1_000 };

    fn shown(seq: u64, bytes: usize) -> Arc<Shown> {
        let event = Event::Joined { id: MessageId::new(), author: UserId::new() };
        let stored = StoredEvent { seq, at: Timestamp::from_millis(0), event };
        Arc::new(Shown::new(stored, seq - 1, "a".into(), bytes))
    }

    fn seqs(after: After) -> Vec<u64> {
        match after {
            After::Events(events, _) => events.iter().map(|shown| shown.seq).collect(),
            After::Nothing => vec![],
            After::Older => panic!("older than the ring"),
        }
    }

    fn ring(floor: u64, events: impl IntoIterator<Item = u64>) -> Ring {
        let mut ring = Ring::new(StreamIdentity(1), floor, LIMITS);
        events.into_iter().for_each(|seq| ring.push(shown(seq, 10)));
        ring
    }

    #[test]
    fn a_cursor_gets_what_lies_behind_it() {
        let ring = ring(10, [12, 15, 17]);
        assert_eq!(seqs(ring.after(10, 9)), [12, 15, 17]);
        assert_eq!(seqs(ring.after(13, 9)), [15, 17], "a cursor may lie between two events");
        assert_eq!(seqs(ring.after(17, 9)), [0; 0]);
        assert_eq!(seqs(ring.after(10, 2)), [12, 15]);
    }

    #[test]
    fn a_full_ring_drops_its_oldest_and_says_so() {
        let ring = ring(10, [11, 12, 13, 14, 15]);
        assert!(matches!(ring.after(10, 9), After::Older));
        assert_eq!(seqs(ring.after(11, 9)), [12, 13, 14, 15]);
    }

    #[test]
    fn a_ring_is_bounded_in_bytes() {
        let mut ring = ring(0, []);
        for seq in 1..=4 {
            ring.push(shown(seq, 400));
        }
        assert_eq!(ring.floor(), 2);
    }

    #[test]
    fn older_events_are_kept_only_when_they_all_fit() {
        let mut short = ring(10, [11, 12]);
        short.extend_back(5, &[shown(6, 10), shown(10, 10)]);
        assert_eq!(seqs(short.after(5, 9)), [6, 10, 11, 12]);
        let mut full = ring(10, [11, 12, 13]);
        full.extend_back(5, &[shown(6, 10), shown(10, 10)]);
        assert!(matches!(full.after(5, 9), After::Older));
    }

    #[test]
    fn what_has_expired_is_not_in_the_ring_any_more() {
        let mut ring = ring(10, [11, 12, 14]);
        let body = || protocol::Text::from(protocol::Body::parse("text").unwrap());
        let edit = |seq, of| {
            let (id, author) = (MessageId::new(), UserId::new());
            let target = protocol::Target { id, author, seq: of };
            let event = Event::Edited { id, author, target, body: body() };
            let stored = StoredEvent { seq, at: Timestamp::from_millis(0), event };
            Arc::new(Shown::new(stored, 0, "a".into(), 10))
        };
        ring.push(edit(15, 12));
        ring.push(edit(16, 14));
        ring.expire(12);
        assert!(matches!(ring.after(11, 9), After::Older), "the log says what comes next");
        assert_eq!(seqs(ring.after(12, 9)), [14, 15, 16]);
        let texts: Vec<_> = ring.events.iter().map(|shown| shown.has_text()).collect();
        assert_eq!(texts, [false, false, true]);
        assert_eq!(ring.bytes, 30);
    }

    #[test]
    fn what_is_set_aside_moves_the_cursor_on() {
        let mut ring = ring(10, [11]);
        ring.pass(13);
        assert_eq!(ring.link(13, 14), Link::Next);
        assert_eq!(ring.link(14, 15), Link::Hole);
        assert!(matches!(ring.after(10, 9), After::Events(_, 13)));
        assert!(matches!(ring.after(11, 9), After::Events(ref none, 13) if none.is_empty()));
    }

    proptest::proptest! {
        /// However events come in and out of a ring, a reader's view has no hole and no repeat.
        #[test]
        fn a_readers_view_is_a_prefix(gaps in proptest::collection::vec(1_u64..4, 1..40), step in 1_usize..5) {
            let mut ring = Ring::new(StreamIdentity(1), 0, RingLimits { events: 1_000, bytes: 1 << 20 });
            let (mut seq, mut cursor, mut pushed, mut read) = (0, 0, vec![], vec![]);
            for gap in gaps {
                seq += gap;
                ring.push(shown(seq, 10));
                pushed.push(seq);
                if let After::Events(events, reached) = ring.after(cursor, step) {
                    read.extend(events.iter().map(|shown| shown.seq));
                    cursor = reached;
                }
            }
            while let After::Events(events, reached) = ring.after(cursor, step) {
                read.extend(events.iter().map(|shown| shown.seq));
                cursor = reached;
            }
            proptest::prop_assert_eq!(read, pushed);
        }
    }
}
