//! What is known before a batch, and what is written for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use protocol::event::SealedReaction;
use protocol::view::{Reactors, SealedRow, What};
use protocol::{
    Event, KeepDays, MessageId, RoomSlug, SealedEvent, SealedStored, SealedText, Tag, Target, Timestamp,
    UserId, limits,
};
use serde::{Deserialize, Serialize};

use super::{Aside, RoomState, SentKey};

/// Where a row is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub room: RoomSlug,
    pub number: u64,
}

/// Where the event with an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub number: u64,
    pub seq: u64,
}

/// A row as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Without the people who reacted: each has a row of their own.
    pub row: SealedRow,
    /// Which reactions the message has, in the order in which each was first given.
    pub given: Vec<Given>,
    /// Of a message, also of an erased one: the number of the last message before it that was not erased when it came; 0 for
    /// none. So the last message of a room is found again when the one after it is deleted.
    pub before: u64,
    /// Of an erased message: [`protocol::Sealed::hash`] of what is gone.
    pub hash: Option<String>,
}

/// How many people gave a reaction to a message. Which it is, the worker can't read: equal ones have equal tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub tag: Tag,
    pub count: u64,
}

/// One person's reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    pub place: Place,
    pub tag: Tag,
    pub user: UserId,
}

/// When a reaction was given, and its sealed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAt {
    pub seq: u64,
    pub text: SealedText,
}

/// An event that changed a row, as it is kept: without a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub room: RoomSlug,
    pub seq: u64,
    pub at: Timestamp,
    pub id: MessageId,
    pub author: UserId,
    pub target: Target,
    /// The number of the row; 0 for a deleted message that was not in the log any more, and for what is not about one row.
    pub number: u64,
    pub what: Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    Edited,
    Deleted {
        of: Timestamp,
        hash: String,
    },
    Reacted {
        reaction: SealedReaction,
        on: bool,
    },
    /// Not one row, but all up to the target are gone.
    Expired {
        of: Timestamp,
        keep: KeepDays,
    },
}

/// A message or an edit where the log holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogEntry {
    pub room: RoomSlug,
    pub seq: u64,
    pub id: MessageId,
    pub author: UserId,
}

/// Where the log holds a text of a message beside the message itself: an edit, or a copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text {
    /// The sequence of the message.
    pub message: u64,
    pub entry: LogEntry,
}

/// A room that was erased, and the event that says so: what the log and the database have of the room before it must go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub room: RoomSlug,
    pub seq: u64,
    pub id: MessageId,
}

/// That all of a room up to a sequence has expired, and the event that says so: what the log and the database have of it must go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub room: RoomSlug,
    pub seq: u64,
    pub id: MessageId,
    pub upto: u64,
}

/// Why a change changes nothing. It is no fault of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// The message was never in this log, or its entry was gone when the log was read.
    Missing,
    Erased,
    /// An edit by somebody else than the message's author.
    NotTheAuthor,
    /// The message holds as many reactions as one may.
    Full,
    /// What it would change has expired.
    Expired,
    /// The whole room was erased before.
    RoomErased,
}

/// What the database knows already of what a batch is about.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub rooms: HashMap<RoomSlug, RoomState>,
    pub sent: HashMap<SentKey, Sent>,
    pub kept: HashMap<Place, Kept>,
    pub marks: HashSet<Mark>,
    pub texts: Vec<Text>,
}

/// What is to be written for a batch of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// New rows.
    pub rows: BTreeMap<Place, Kept>,
    /// Rows that were there, as they are after the batch.
    pub changed: BTreeMap<Place, Kept>,
    pub changes: Vec<Change>,
    /// Reactions that were given; `None` for those that were taken back.
    pub marks: BTreeMap<Mark, Option<GivenAt>>,
    /// Erased messages, which lose all their reactions.
    pub cleared: BTreeSet<Place>,
    pub texts: Vec<Text>,
    /// Deleted messages (by sequence), whose texts need not be remembered any more.
    pub forgotten: BTreeSet<(RoomSlug, u64)>,
    /// What must go from the log, by sequence.
    pub erase: BTreeMap<u64, LogEntry>,
    pub ended: Vec<Ended>,
    pub expired: Vec<Expired>,
    /// Rooms of which somebody said how long they keep things.
    pub retained: BTreeMap<RoomSlug, KeepDays>,
    pub asides: Vec<Aside>,
    /// The rooms that changed, as they are after the batch.
    pub rooms: BTreeMap<RoomSlug, RoomState>,
    /// Copies of events that are stored already; they are passed over.
    pub duplicates: u64,
    /// Changes that change nothing, by their sequences.
    pub ignored: Vec<(u64, Ignored)>,
    /// Rows that must be known for this batch to be right: it is not to be written, but projected again with them.
    pub unknown: BTreeSet<Place>,
}

impl Place {
    pub fn new(room: &RoomSlug, number: u64) -> Self {
        Self { room: room.clone(), number }
    }
}

impl Kept {
    pub const fn is_message(&self) -> bool {
        matches!(self.row.what, What::Message(_))
    }

    pub const fn is_erased(&self) -> bool {
        matches!(self.row.what, What::Erased)
    }

    /// How many reactions it holds, each person's by itself.
    pub fn reactions(&self) -> u64 {
        self.given.iter().map(|given| given.count).sum()
    }

    /// The row as it is shown. `marks` are all reactions to it; of equal ones the first stands for all. Those of people who were erased
    /// are left out: nobody can read them. They are counted by themselves, since they may have been read later than the row.
    pub fn shown(self, marks: &mut [(GivenAt, Mark)], erased: &[UserId]) -> SealedRow {
        marks.sort_unstable_by_key(|(given, _)| given.seq);
        let mut row = self.row;
        if let What::Message(content) = &mut row.what {
            let reactors = self.given.into_iter().filter_map(|Given { tag, .. }| {
                let is_of_it = |mark: &Mark| mark.tag == tag && !erased.contains(&mark.user);
                let of_it = || marks.iter().filter(|(_, mark)| is_of_it(mark));
                let (first, mark) = of_it().next()?;
                let count = of_it().count() as u64;
                let reaction = SealedReaction { tag, author: mark.user, text: first.text.clone() };
                let by = of_it().map(|(_, mark)| mark.user).take(limits::PEOPLE_NAMED_MAX).collect();
                Some(Reactors { reaction, count, by })
            });
            content.reactions = reactors.collect();
        }
        row
    }
}

impl LogEntry {
    pub fn of(room: &RoomSlug, stored: &SealedStored) -> Self {
        Self { room: room.clone(), seq: stored.seq, id: stored.event.id(), author: stored.event.author() }
    }

    pub fn of_target(room: &RoomSlug, target: Target) -> Self {
        Self { room: room.clone(), seq: target.seq, id: target.id, author: target.author }
    }
}

impl Changed {
    /// `None` for an event that changes no row.
    pub fn of(event: &SealedEvent) -> Option<Self> {
        match event {
            Event::Edited { .. } => Some(Self::Edited),
            Event::Deleted { of, hash, .. } => Some(Self::Deleted { of: *of, hash: hash.clone() }),
            Event::Reacted { reaction, on, .. } => {
                Some(Self::Reacted { reaction: reaction.clone(), on: *on })
            }
            Event::Expired { of, keep, .. } => Some(Self::Expired { of: *of, keep: *keep }),
            Event::Created { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Message { .. }
            | Event::Retention { .. }
            | Event::UserErased { .. }
            | Event::RoomErased { .. }
            | Event::Unreadable { .. } => None,
        }
    }
}

impl Change {
    /// `None` for an event that changes no row.
    pub fn of(room: &RoomSlug, stored: &SealedStored, number: u64) -> Option<Self> {
        let what = Changed::of(&stored.event)?;
        let (id, author, target) = (stored.event.id(), stored.event.author(), stored.event.target()?);
        Some(Self { room: room.clone(), seq: stored.seq, at: stored.at, id, author, target, number, what })
    }
}

impl Change {
    /// Whether it is to be seen still in a room of which all up to a sequence has expired.
    pub const fn counts(&self, expired: u64) -> bool {
        match self.what {
            Changed::Expired { .. } => self.seq > expired,
            _ => self.target.seq > expired,
        }
    }
}

impl Ignored {
    /// All words of [`Ignored::code`].
    pub const CODES: [&str; 6] = [
        "missing_message",
        "erased_message",
        "not_the_author",
        "reactions_full",
        "expired_message",
        "room_erased",
    ];

    /// A word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_message",
            Self::Erased => "erased_message",
            Self::NotTheAuthor => "not_the_author",
            Self::Full => "reactions_full",
            Self::Expired => "expired_message",
            Self::RoomErased => "room_erased",
        }
    }
}

impl Batch {
    /// Events that are in the history with this batch.
    pub fn events(&self) -> u64 {
        (self.rows.len() + self.changes.len() + self.ended.len()) as u64
    }

    /// Entries that are set aside and are no events of the history.
    pub fn asides_alone(&self) -> u64 {
        let unreadable = |kept: &&Kept| matches!(kept.row.what, What::Unreadable);
        self.asides.len().saturating_sub(self.rows.values().filter(unreadable).count()) as u64
    }

    /// Whether log or database have something now that must go, or may have.
    pub fn leaves_something_to_erase(&self) -> bool {
        let is_little = self.erase.is_empty() && self.ended.is_empty() && self.expired.is_empty();
        !is_little || !self.retained.is_empty()
    }

    /// Whether somebody was erased in a room.
    pub fn erases_somebody(&self) -> bool {
        self.rows.values().any(|kept| matches!(kept.row.what, What::UserErased))
    }

    /// Entries of the log that it is made of.
    pub fn entries(&self) -> u64 {
        self.events() + self.duplicates + self.ignored.len() as u64 + self.asides_alone()
    }
}
