//! Where rows and changes of the database differ from what the log says. Pure.

use std::collections::BTreeMap;

use protocol::RoomSlug;
use protocol::query::Difference;

use super::said::{Changing, Deletion, Kind, Line, Said};

/// Differences of one room that are looked for; then it is clear enough.
const FOUND_MAX: usize = 10_000;
/// Fields of a row that may differ.
const FIELDS: usize = 10;

/// The comparison of one room, row by row as the database gives them.
pub struct Comparison<'a> {
    room: &'a RoomSlug,
    said: &'a Said,
    /// The log has nothing before this sequence.
    log_begins: u64,
    /// How many of the log's rows have been met.
    met: usize,
    last_seq: u64,
    pub rows: u64,
    pub older: u64,
    pub differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    pub const fn new(room: &'a RoomSlug, said: &'a Said, log_begins: u64) -> Self {
        Self { room, said, log_begins, met: 0, last_seq: 0, rows: 0, older: 0, differences: Vec::new() }
    }

    /// The next row of the database, and the hash that it keeps of an erased message.
    pub fn row(&mut self, held: &Line, hash: Option<&str>) {
        self.rows += 1;
        if held.seq <= self.last_seq {
            self.differs(held.seq, "row", ("once", "again, or out of order"));
            return;
        }
        self.last_seq = held.seq;
        self.missing_before(held.seq);
        match self.said.rows.get(self.met).filter(|line| line.seq == held.seq) {
            Some(line) => {
                self.met += 1;
                self.fields(line, held);
            }
            None if held.seq < self.log_begins => self.older += 1,
            None => self.gone(held),
        }
        if held.kind == Kind::Erased {
            self.erased(held, hash);
        }
    }

    /// The database has no more rows.
    pub fn end(&mut self) {
        self.missing_before(u64::MAX);
    }

    /// Rows of the log that the database passed over. A message that was erased before it was read has none.
    fn missing_before(&mut self, seq: u64) {
        while let Some(line) = self.said.rows.get(self.met).filter(|line| line.seq < seq) {
            self.met += 1;
            if line.kind != Kind::Erased {
                self.differs(line.seq, "row", ("there", "missing"));
            }
        }
    }

    fn fields(&mut self, line: &Line, held: &Line) {
        let seq = line.seq;
        self.equal(seq, "time", &line.at.to_string(), &held.at.to_string());
        self.equal(seq, "id", &line.id.to_string(), &held.id.to_string());
        self.equal(seq, "author", &line.author.to_string(), &held.author.to_string());
        self.equal(seq, "kind", &format!("{:?}", line.kind), &format!("{:?}", held.kind));
        if line.kind != held.kind {
            return;
        }
        let time = |line: &Line| line.edited_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        self.equal(seq, "edited", &time(line), &time(held));
        if line.text != held.text {
            self.differs(seq, "text", ("one", "another"));
        }
        if line.reactions != held.reactions {
            self.differs(seq, "reactions", ("some", "others"));
        }
    }

    /// A row without its entry in the log: right for a message whose deletion is there, also when it could not be read.
    fn gone(&mut self, held: &Line) {
        let may_be_deleted = matches!(held.kind, Kind::Erased | Kind::Unreadable);
        let is_deleted = may_be_deleted && self.said.deletions.contains_key(&held.seq);
        if !is_deleted {
            self.differs(held.seq, "row", ("missing", "there"));
        }
    }

    /// What is left of an erased message must be what its deletion says.
    fn erased(&mut self, held: &Line, hash: Option<&str>) {
        let Some(Deletion { target, hash: of, .. }) = self.said.deletions.get(&held.seq) else { return };
        let (seq, hash) = (held.seq, hash.unwrap_or("none"));
        self.equal(seq, "id", &target.id.to_string(), &held.id.to_string());
        self.equal(seq, "author", &target.author.to_string(), &held.author.to_string());
        self.equal(seq, "hash", of, hash);
    }

    /// The changes of the database. Of a message that was erased, only the deletion counts: the log has lost the others.
    pub fn changes(&mut self, held: &BTreeMap<u64, Changing>) {
        let is_lost = |seq: u64, changing: &Changing| {
            let message = changing.target.seq;
            let deleted = self.said.deletions.get(&message).is_some_and(|deletion| deletion.seq != seq);
            deleted || self.said.changed_later.contains(&message)
        };
        let counts = |seq: &u64, changing: &Changing| {
            let is_left = changing.counts(*seq, self.said.expired);
            // What a change does to a row that the log has lost can't be known of it.
            let is_of_lost = changing.target.seq < self.log_begins && changing.is_of_one_row();
            is_left && *seq >= self.log_begins && !is_of_lost && !is_lost(*seq, changing)
        };
        let mut found = Vec::new();
        for (seq, changing) in &self.said.changes {
            match held.get(seq) {
                Some(same) if same == changing => {}
                Some(_) => found.push((*seq, ("one", "another"))),
                None if counts(seq, changing) => found.push((*seq, ("there", "missing"))),
                None => {}
            }
        }
        let unsaid = held
            .iter()
            .filter(|(seq, changing)| !self.said.changes.contains_key(seq) && counts(seq, changing));
        found.extend(unsaid.map(|(seq, _)| (*seq, ("missing", "there"))));
        for (seq, sides) in found {
            self.differs(seq, "change", sides);
        }
    }

    pub fn equal(&mut self, seq: u64, field: &str, log: &str, held: &str) {
        if log != held {
            self.differs(seq, field, (log, held));
        }
    }

    pub fn differs(&mut self, seq: u64, field: &str, (log, held): (&str, &str)) {
        let (room, field) = (self.room.clone(), field.to_owned());
        let (log, history) = (log.to_owned(), held.to_owned());
        let difference = Difference { room, seq, field, log, history };
        // One row may be found wrong twice, always in a row.
        let is_known = self.differences.iter().rev().take(FIELDS).any(|known| *known == difference);
        if !is_known && self.differences.len() < FOUND_MAX {
            self.differences.push(difference);
        }
    }
}
