//! The invariant, counted: each acknowledged message is stored once and seen once by everybody, as it was written, in one
//! order: in the log, in the histories that are given of it, and before everybody's eyes.

use crate::heard::Seen;
use crate::person::RoomView;
use crate::steady::Steady;
use protocol::MessageId;
use protocol::chain::{Link, place};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Cases that a verdict names, at most.
const EXAMPLES_MAX: usize = 5;

/// What is compared.
#[derive(Debug, Default)]
pub struct Audit {
    /// What senders were told: the sequence of each acknowledged id.
    pub acknowledged: BTreeMap<MessageId, u64>,
    /// What was sent and never acknowledged.
    pub unacknowledged: BTreeSet<MessageId>,
    /// What is stored, oldest first: the log, or, where a test does not read the log, a history.
    pub history: Vec<Seen>,
    /// What each member saw, in the order of seeing.
    pub views: Vec<View>,
    /// What others say is stored, from the room's beginning.
    pub histories: Vec<View>,
    /// Single pages, read at any time.
    pub excerpts: Vec<Excerpt>,
}

impl Audit {
    /// Of the members of a room, who all came with this view of it.
    pub fn of(members: &[Steady], view: &RoomView, history: Vec<Seen>) -> Self {
        let mut audit = Self { history, ..Self::default() };
        for member in members {
            let report = member.report();
            audit.acknowledged.extend(report.acknowledged);
            audit.views.push(View { name: member.name.clone(), after: view.head, events: report.events });
        }
        audit
    }
}

/// A page as somebody got it: the newest events before a place.
#[derive(Debug)]
pub struct Excerpt {
    pub name: String,
    pub before: u64,
    /// How many events were asked for.
    pub limit: usize,
    pub events: Vec<Seen>,
}

#[derive(Debug)]
pub struct View {
    pub name: String,
    /// Events after this sequence were due.
    pub after: u64,
    pub events: Vec<Seen>,
}

/// The counts. All but the first three must be 0.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    pub unacknowledged: usize,
    /// Of the unacknowledged, those that were stored after all.
    pub unacknowledged_but_stored: usize,
    pub lost: usize,
    pub doubled: usize,
    pub out_of_place: usize,
    pub unstored_but_seen: usize,
    /// Seen with another text than the stored one.
    pub altered: usize,
    pub examples: Vec<String>,
}

impl Verdict {
    pub const fn is_clean(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.out_of_place == 0
            && self.unstored_but_seen == 0
            && self.altered == 0
    }

    /// Adds the counts of another room.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unacknowledged += other.unacknowledged;
        self.unacknowledged_but_stored += other.unacknowledged_but_stored;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_place += other.out_of_place;
        self.unstored_but_seen += other.unstored_but_seen;
        self.altered += other.altered;
        other.examples.into_iter().for_each(|example| self.example(example));
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }

    fn lose(&mut self, text: String) {
        self.lost += 1;
        self.example(format!("lost: {text}"));
    }

    fn double(&mut self, text: String) {
        self.doubled += 1;
        self.example(format!("doubled: {text}"));
    }

    fn misplace(&mut self, text: String) {
        self.out_of_place += 1;
        self.example(format!("out of place: {text}"));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} unacknowledged ({} of them stored): {} lost, {} doubled, {} out of place, {} seen but not stored, {} altered",
            self.acknowledged,
            self.unacknowledged,
            self.unacknowledged_but_stored,
            self.lost,
            self.doubled,
            self.out_of_place,
            self.unstored_but_seen,
            self.altered,
        )?;
        self.examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

/// What is stored, by id.
type Stored<'a> = BTreeMap<MessageId, &'a Seen>;

impl Audit {
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            acknowledged: self.acknowledged.len(),
            unacknowledged: self.unacknowledged.len(),
            ..Verdict::default()
        };
        let stored = self.look_at_history(&mut verdict);
        for (id, seq) in &self.acknowledged {
            match stored.get(id) {
                None => verdict.lose(format!("acknowledged {id} ({seq}) is not in the history")),
                Some(at) if at.seq != *seq => {
                    verdict.misplace(format!("{id} was acknowledged as {seq} and is at {}", at.seq));
                }
                Some(_) => {}
            }
        }
        verdict.unacknowledged_but_stored =
            self.unacknowledged.iter().filter(|id| stored.contains_key(id)).count();
        for view in self.views.iter().chain(&self.histories) {
            self.look_at_view(view, &stored, &mut verdict);
        }
        for excerpt in &self.excerpts {
            self.look_at_excerpt(excerpt, &stored, &mut verdict);
        }
        verdict
    }

    fn look_at_excerpt(&self, excerpt: &Excerpt, stored: &Stored<'_>, verdict: &mut Verdict) {
        let (name, before) = (&excerpt.name, excerpt.before);
        let end = self.history.partition_point(|event| event.seq < before);
        let due = &self.history[end.saturating_sub(excerpt.limit)..end];
        excerpt.events.iter().for_each(|event| look_at_event(name, event, stored, verdict));
        let places = |events: &[Seen]| events.iter().map(|event| event.seq).collect::<Vec<_>>();
        let (got, due) = (places(&excerpt.events), places(due));
        if got != due {
            let missed: Vec<_> = due.iter().filter(|seq| !got.contains(seq)).collect();
            verdict.lost += missed.len();
            verdict.out_of_place += usize::from(missed.is_empty());
            verdict.example(format!("{name} got {got:?} before {before}, without {missed:?}"));
        }
    }

    fn look_at_history(&self, verdict: &mut Verdict) -> Stored<'_> {
        let mut stored = BTreeMap::new();
        let mut last = 0;
        for event in &self.history {
            if event.seq <= last {
                verdict.misplace(format!("{} comes after {last} in the history", event.seq));
            }
            last = last.max(event.seq);
            if stored.insert(event.id, event).is_some() {
                verdict.double(format!("{} is twice in the history", event.id));
            }
        }
        stored
    }

    fn look_at_view(&self, view: &View, stored: &Stored<'_>, verdict: &mut Verdict) {
        let name = &view.name;
        let mut seen = BTreeSet::new();
        let mut last = view.after;
        for event in &view.events {
            match place(last, event.prev, event.seq) {
                Link::Next => {}
                Link::Seen => verdict.misplace(format!("{name} saw {} after {last}", event.seq)),
                Link::Hole => {
                    verdict.misplace(format!("{name} saw {} while {} was due", event.seq, event.prev))
                }
            }
            last = last.max(event.seq);
            if !seen.insert(event.id) {
                verdict.double(format!("{name} saw {} twice", event.id));
            }
            look_at_event(name, event, stored, verdict);
        }
        let due = self.history.iter().filter(|event| event.seq > view.after);
        let missed: Vec<_> = due.filter(|event| !seen.contains(&event.id)).map(|event| event.seq).collect();
        if let [first, .., last] | [first @ last] = missed[..] {
            verdict.lost += missed.len();
            verdict.example(format!("lost: {name} never saw {} from {first} to {last}", missed.len()));
        }
    }
}

fn look_at_event(name: &str, event: &Seen, stored: &Stored<'_>, verdict: &mut Verdict) {
    let Some(written) = stored.get(&event.id) else {
        verdict.unstored_but_seen += 1;
        verdict.example(format!("{name} saw {} that is not stored", event.id));
        return;
    };
    if written.seq != event.seq {
        verdict.misplace(format!("{name} saw {} at {} instead of {}", event.id, event.seq, written.seq));
    }
    if written.body != event.body {
        verdict.altered += 1;
        verdict.example(format!("{name} saw {:?} instead of {:?}", event.body, written.body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(count: u64) -> Vec<Seen> {
        (1..=count)
            .map(|seq| Seen { seq, prev: seq - 1, id: MessageId::new(), body: Some(seq.to_string()) })
            .collect()
    }

    fn audit(history: &[Seen], view: Vec<Seen>) -> Audit {
        Audit {
            acknowledged: history.iter().map(|event| (event.id, event.seq)).collect(),
            history: history.to_vec(),
            views: vec![View { name: "B".into(), after: 0, events: view }],
            ..Audit::default()
        }
    }

    #[test]
    fn one_order_everywhere_is_clean() {
        let history = room(5);
        let verdict = audit(&history, history.clone()).verdict();
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn each_fault_is_counted() {
        let history = room(5);
        let counts = |view: Vec<Seen>| {
            let verdict = audit(&history, view).verdict();
            (verdict.lost, verdict.doubled, verdict.out_of_place, verdict.unstored_but_seen)
        };
        let without_third: Vec<_> = history.iter().filter(|event| event.seq != 3).cloned().collect();
        assert_eq!(counts(without_third), (1, 0, 1, 0), "a hole");
        let mut twice = history.clone();
        twice.push(history[4].clone());
        assert_eq!(counts(twice), (0, 1, 1, 0), "a repeat");
        let mut swapped = history.clone();
        swapped.swap(1, 2);
        assert_eq!(counts(swapped), (0, 0, 2, 0), "another order");
        let mut invented = history.clone();
        invented.push(Seen { seq: 6, prev: 5, id: MessageId::new(), body: None });
        assert_eq!(counts(invented), (0, 0, 0, 1), "what was never stored");
        let mut altered = history.clone();
        altered[2].body = Some("another".into());
        assert_eq!(audit(&history, altered).verdict().altered, 1);
        let mut paged = audit(&history, history.clone());
        let page =
            |events: &[Seen]| Excerpt { name: "P".into(), before: 5, limit: 3, events: events.to_vec() };
        paged.excerpts = vec![page(&history[1..4])];
        assert!(paged.verdict().is_clean());
        paged.excerpts.push(page(&history[1..3]));
        assert_eq!(paged.verdict().lost, 1, "a page without its last event");
        let mut lost = audit(&history, history.clone());
        lost.acknowledged.insert(MessageId::new(), 6);
        assert_eq!(lost.verdict().lost, 1);
    }
}
