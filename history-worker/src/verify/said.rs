//! What a room's log says of its rows and their changes, without the texts: fingerprints stand for them, so that a room of a million
//! messages fits in memory. Pure; the rules are the projection's, and tested against it.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{
    Event, KeepDays, MessageId, SealedStored, SealedText, Tag, Target, Timestamp, UserId, limits,
};

use crate::projection::{Change, Changed, GivenAt, Kept, Mark, REACTIONS_MAX};

/// Stands for a sealed text: the event that brought it, and the first half of its box's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    by: MessageId,
    hash: [u8; 16],
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Created,
    Joined,
    Left,
    Retention(KeepDays),
    Unreadable,
    UserErased,
    Message,
    Erased,
}

/// A row, as log or database have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub seq: u64,
    pub at: Timestamp,
    pub id: MessageId,
    pub author: UserId,
    pub kind: Kind,
    pub text: Option<Print>,
    pub edited_at: Option<Timestamp>,
    /// Boxed, since few messages have any.
    pub reactions: Option<Box<Reactions>>,
}

/// The reactions of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reactions {
    /// How many people gave each, in the order in which each was first given.
    given: Vec<(Tag, u64)>,
    marks: BTreeMap<(Tag, UserId), (u64, Print)>,
}

/// A deletion: what it leaves of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its own sequence.
    pub seq: u64,
    pub target: Target,
    pub of: Timestamp,
    pub hash: String,
}

/// A change as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changing {
    pub at: Timestamp,
    pub id: MessageId,
    pub author: UserId,
    pub target: Target,
    what: &'static str,
    reaction: Option<(Tag, bool, Print)>,
    expired: Option<(Timestamp, KeepDays)>,
}

/// All of a room as its log has it.
#[derive(Debug, Default)]
pub struct Said {
    pub rows: Vec<Line>,
    pub changes: BTreeMap<u64, Changing>,
    /// By the sequence of the message.
    pub deletions: HashMap<u64, Deletion>,
    /// Nothing of the room is left.
    pub is_erased: bool,
    /// The room was erased, or more of it has expired, after what is compared: the log may have lost some of that.
    pub loses_later: bool,
    /// Up to which sequence all has expired.
    pub expired: u64,
    /// Messages, by their sequences, that are changed after what is compared: of a deleted one the log may have lost texts already.
    pub changed_later: HashSet<u64>,
    creator: Option<UserId>,
    places: HashMap<(MessageId, UserId), u32>,
    /// Rows before those that are left.
    gone: u32,
}

impl Print {
    fn of(text: &SealedText) -> Self {
        let digest = text.sealed.digest();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self { by: text.by, hash }
    }
}

impl Said {
    /// Takes the room's next event. A log that begins with the room has its `created` first; one that has aged may not.
    pub fn take(&mut self, stored: &SealedStored, began_before: bool) {
        if self.is_erased {
            return;
        }
        let is_known = began_before || self.creator.is_some();
        match &stored.event {
            Event::RoomErased { .. } => *self = Self { is_erased: true, ..Self::default() },
            Event::Created { .. } if is_known => {}
            Event::Created { author, .. } => {
                self.creator = Some(*author);
                self.add(stored);
            }
            _ if !is_known => {}
            event => match event.target() {
                None => self.add(stored),
                Some(target) => self.change(stored, target),
            },
        }
    }

    /// Whether the log has nothing of the room.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.creator.is_none() && !self.is_erased
    }

    /// Who made the room, as far as the log says so.
    pub const fn creator(&self) -> Option<UserId> {
        self.creator
    }

    fn add(&mut self, stored: &SealedStored) {
        let key = (stored.event.id(), stored.event.author());
        let Ok(place) = u32::try_from(self.rows.len()).map(|rows| self.gone + rows) else { return };
        // A copy is the event itself.
        if self.places.contains_key(&key) {
            return;
        }
        self.places.insert(key, place);
        self.rows.extend(Line::of(stored));
    }

    fn change(&mut self, stored: &SealedStored, target: Target) {
        if stored.event.expires().is_some() {
            self.expire(target.seq);
            self.changes.extend(Changing::of(stored).map(|changing| (stored.seq, changing)));
            return;
        }
        if target.seq <= self.expired {
            return;
        }
        let place = self.places.get(&(target.id, target.author));
        let place = place.map(|place| (place - self.gone) as usize);
        let line = place.and_then(|place| self.rows.get_mut(place));
        let is_message = line.as_ref().is_some_and(|line| line.kind == Kind::Message);
        let applies = match (&stored.event, line) {
            (Event::Deleted { .. }, None) => true,
            (_, Some(line)) if is_message => line.take(stored),
            _ => false,
        };
        if !applies {
            return;
        }
        if let Event::Deleted { of, hash, .. } = &stored.event {
            let deletion = Deletion { seq: stored.seq, target, of: *of, hash: hash.clone() };
            match place.and_then(|place| self.rows.get(place)) {
                Some(line) => drop(self.deletions.insert(line.seq, deletion)),
                // Of a message that is gone, all deletions but the first changed nothing when it was there.
                None => {
                    self.deletions.entry(target.seq).or_insert(deletion);
                }
            }
        }
        self.changes.extend(Changing::of(stored).map(|changing| (stored.seq, changing)));
    }
}

impl Said {
    /// All up to this sequence is gone.
    fn expire(&mut self, upto: u64) {
        self.expired = self.expired.max(upto);
        let gone = self.rows.partition_point(|line| line.seq <= self.expired);
        for line in self.rows.drain(..gone) {
            self.places.remove(&(line.id, line.author));
        }
        self.gone += u32::try_from(gone).unwrap_or(u32::MAX);
        self.changes.retain(|seq, changing| changing.counts(*seq, self.expired));
        self.deletions.retain(|seq, _| *seq > self.expired);
    }
}

impl Line {
    fn of(stored: &SealedStored) -> Option<Self> {
        let (kind, text) = match &stored.event {
            Event::Created { name, .. } => (Kind::Created, Some(name)),
            Event::Joined { .. } => (Kind::Joined, None),
            Event::Left { .. } => (Kind::Left, None),
            Event::Retention { keep, .. } => (Kind::Retention(*keep), None),
            Event::Unreadable { .. } => (Kind::Unreadable, None),
            Event::UserErased { .. } => (Kind::UserErased, None),
            Event::Message { body, .. } => (Kind::Message, Some(body)),
            _ => return None,
        };
        let (seq, at) = (stored.seq, stored.at);
        let (id, author) = (stored.event.id(), stored.event.author());
        let text = text.map(Print::of);
        Some(Self { seq, at, id, author, kind, text, edited_at: None, reactions: None })
    }

    /// The row of the database, with all reactions to it.
    pub fn held(kept: &Kept, marks: &[(GivenAt, Mark)]) -> Self {
        use protocol::view::What;
        let (kind, text, edited_at) = match &kept.row.what {
            What::Created { name } => (Kind::Created, Some(name), None),
            What::Joined => (Kind::Joined, None, None),
            What::Left => (Kind::Left, None, None),
            What::Retention { keep } => (Kind::Retention(*keep), None, None),
            What::Unreadable => (Kind::Unreadable, None, None),
            What::UserErased => (Kind::UserErased, None, None),
            What::Message(content) => (Kind::Message, Some(&content.body), content.edited_at),
            What::Erased | What::Unopened => (Kind::Erased, None, None),
        };
        let given = kept.given.iter().map(|given| (given.tag, given.count)).collect();
        let marks = marks
            .iter()
            .map(|(given, mark)| ((mark.tag, mark.user), (given.seq, Print::of(&given.text))))
            .collect();
        let reactions = Reactions { given, marks };
        Self {
            seq: kept.row.seq,
            at: kept.row.at,
            id: kept.row.id,
            author: kept.row.author,
            kind,
            text: text.map(Print::of),
            edited_at,
            reactions: (reactions != Reactions::default()).then(|| Box::new(reactions)),
        }
    }

    /// Changes a message; whether the change counts as one.
    fn take(&mut self, stored: &SealedStored) -> bool {
        match &stored.event {
            Event::Edited { author, body, .. } if *author == self.author => {
                self.text = Some(Print::of(body));
                self.edited_at = Some(stored.at);
                true
            }
            Event::Deleted { .. } => {
                (self.kind, self.text, self.edited_at, self.reactions) = (Kind::Erased, None, None, None);
                true
            }
            Event::Reacted { author, reaction, on, .. } => {
                let reactions = self.reactions.get_or_insert_default();
                let given = (stored.seq, Print::of(&reaction.text));
                let applies = reactions.take((reaction.tag, *author), on.then_some(given));
                if **reactions == Reactions::default() {
                    self.reactions = None;
                }
                applies
            }
            _ => false,
        }
    }
}

impl Reactions {
    fn take(&mut self, key: (Tag, UserId), given: Option<(u64, Print)>) -> bool {
        if self.marks.contains_key(&key) == given.is_some() {
            return true;
        }
        let place = self.given.iter().position(|(tag, _)| *tag == key.0);
        let Some(given) = given else {
            self.marks.remove(&key);
            if let Some(place) = place {
                self.given[place].1 -= 1;
                self.given.retain(|(_, count)| *count > 0);
            }
            return true;
        };
        let is_full = self.marks.len() as u64 >= REACTIONS_MAX;
        match place {
            _ if is_full => return false,
            Some(place) => self.given[place].1 += 1,
            None if self.given.len() >= limits::REACTIONS_SHOWN_MAX => return false,
            None => self.given.push((key.0, 1)),
        }
        self.marks.insert(key, given);
        true
    }
}

impl Changing {
    fn of(stored: &SealedStored) -> Option<Self> {
        let (what, target) = (Changed::of(&stored.event)?, stored.event.target()?);
        Some(Self::new(stored.at, (stored.event.id(), stored.event.author()), target, &what))
    }

    /// The change as the database has it.
    pub fn held(change: &Change) -> Self {
        Self::new(change.at, (change.id, change.author), change.target, &change.what)
    }

    fn new(at: Timestamp, (id, author): (MessageId, UserId), target: Target, what: &Changed) -> Self {
        let mut changing = Self { at, id, author, target, what: "edited", reaction: None, expired: None };
        match what {
            Changed::Edited => {}
            Changed::Deleted { .. } => changing.what = "deleted",
            Changed::Reacted { reaction, on } => {
                changing.what = "reacted";
                changing.reaction = Some((reaction.tag, *on, Print::of(&reaction.text)));
            }
            Changed::Expired { of, keep } => {
                changing.what = "expired";
                changing.expired = Some((*of, *keep));
            }
        }
        changing
    }

    /// Whether it changes its target alone.
    pub const fn is_of_one_row(&self) -> bool {
        self.expired.is_none()
    }

    /// As [`Change::counts`].
    pub const fn counts(&self, seq: u64, expired: u64) -> bool {
        if self.expired.is_some() { seq > expired } else { self.target.seq > expired }
    }
}
