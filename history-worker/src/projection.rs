//! What the log's entries mean for the database: which rows are written, which entries are set aside, which are copies.
//!
//! Pure. Given the same log, any cut into batches gives the same rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use broker::Record;
use bytes::Bytes;

use crate::changes::{Changes, Sent};
use protocol::event::Unreadable;
use protocol::subject::{Shard, room_of};
use protocol::{Event, MessageId, RoomSlug, StoredEvent, Target, Timestamp, UserId, limits};

/// Which part of the log is projected, and into how many parts it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub shard: Shard,
    pub shards: u16,
}

/// What is kept of a room beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomState {
    pub name: String,
    pub creator: UserId,
    /// Events in the room: they are numbered 1 to `count`, in the order of the log.
    pub count: u64,
    /// The sequence of the last of them.
    pub last_seq: u64,
    /// The number of the last event that is a message, deleted or not; 0 when there is none.
    pub last_message: u64,
}

/// What makes an event one event, however often it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SentKey {
    pub room: RoomSlug,
    pub author: UserId,
    pub id: MessageId,
}

/// Why an entry of the log is not in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Unreadable(Unreadable),
    /// A room was created that was there already.
    RoomExists,
    /// The room belongs to another shard, in whose log its events are.
    OtherShard,
}

/// An entry that is kept beside the history, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    pub seq: u64,
    pub at: Timestamp,
    pub subject: String,
    pub reason: Reason,
    /// Its first bytes, at most [`limits::EVENT_BYTES_MAX`]: what is longer is no event in any version.
    pub payload: Bytes,
    /// How long it is in the log, in bytes.
    pub bytes: usize,
}

/// An entry of the log that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Event { room: RoomSlug, event: StoredEvent },
    Aside(Aside),
}

/// An event with its number in its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    pub room: RoomSlug,
    pub number: u64,
    pub event: StoredEvent,
}

/// What the database knows already of the rooms and ids in a batch.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub rooms: HashMap<RoomSlug, RoomState>,
    pub sent: HashMap<SentKey, Sent>,
}

/// What is to be written for a batch of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub events: Vec<Numbered>,
    pub asides: Vec<Aside>,
    /// The rooms that changed, as they are after the batch.
    pub rooms: BTreeMap<RoomSlug, RoomState>,
    /// What was sent in this batch, or changed by it, as it is after the batch.
    pub sent: BTreeMap<SentKey, Sent>,
    pub changes: Changes,
    /// Copies of events that are stored already; they are passed over.
    pub duplicates: u64,
}

impl SentKey {
    pub fn of(room: &RoomSlug, event: &Event) -> Self {
        Self { room: room.clone(), author: event.author(), id: event.id() }
    }

    pub fn of_target(room: &RoomSlug, target: Target) -> Self {
        Self { room: room.clone(), author: target.author, id: target.id }
    }
}

impl Reason {
    /// A word for metrics and for the database.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable(Unreadable::TooLarge(_)) => "too_large",
            Self::Unreadable(Unreadable::NotAnEvent) => "not_an_event",
            Self::Unreadable(Unreadable::Version(_)) => "version",
            Self::Unreadable(Unreadable::Kind) => "kind",
            Self::Unreadable(Unreadable::Fields) => "fields",
            Self::Unreadable(Unreadable::Subject) => "subject",
            Self::Unreadable(Unreadable::NoRoom) => "no_room",
            Self::RoomExists => "room_exists",
            Self::OtherShard => "other_shard",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(unreadable) => unreadable.fmt(f),
            Self::RoomExists => f.write_str("its room was created before"),
            Self::OtherShard => f.write_str("its room belongs to another shard"),
        }
    }
}

impl Aside {
    fn of(record: &Record, reason: Reason) -> Self {
        let kept = record.payload.len().min(limits::EVENT_BYTES_MAX);
        Self {
            seq: record.seq,
            at: record.at,
            subject: record.subject.clone(),
            reason,
            payload: record.payload.slice(..kept),
            bytes: record.payload.len(),
        }
    }
}

/// Reads an entry by itself: what its subject and its bytes say.
pub fn read(part: Part, record: &Record) -> Entry {
    match room_and_event(part, record) {
        Ok((room, event)) => {
            Entry::Event { room, event: StoredEvent { seq: record.seq, at: record.at, event } }
        }
        Err(reason) => Entry::Aside(Aside::of(record, reason)),
    }
}

fn room_and_event(part: Part, record: &Record) -> Result<(RoomSlug, Event), Reason> {
    let no_room = Reason::Unreadable(Unreadable::Subject);
    let room = room_of(&record.subject).ok_or(no_room)?;
    // More tokens than one after the shard: no reader of the room's own subject sees such an entry.
    if record.subject != part.shard.log(&room) {
        return Err(no_room);
    }
    if Shard::of(&room, part.shards) != part.shard {
        return Err(Reason::OtherShard);
    }
    let event = Event::decode(&record.payload).map_err(Reason::Unreadable)?;
    Ok((room, event))
}

/// The rooms and ids about which [`project`] must know.
pub fn asked(entries: &[Entry]) -> (HashSet<RoomSlug>, HashSet<SentKey>) {
    let (mut rooms, mut sent) = (HashSet::new(), HashSet::new());
    for entry in entries {
        let Entry::Event { room, event } = entry else { continue };
        rooms.insert(room.clone());
        sent.insert(SentKey::of(room, &event.event));
        sent.extend(event.event.target().map(|target| SentKey::of_target(room, target)));
    }
    (rooms, sent)
}

/// Numbers the events of a batch, in the order of the log, after what is known, and applies the changes among them.
pub fn project(part_of_log: &[Record], entries: Vec<Entry>, known: &Known) -> Batch {
    let mut batch = Batch::default();
    for (record, entry) in part_of_log.iter().zip(entries) {
        let (room, event) = match entry {
            Entry::Event { room, event } => (room, event),
            Entry::Aside(aside) => {
                batch.asides.push(aside);
                continue;
            }
        };
        let key = SentKey::of(&room, &event.event);
        if known.sent.contains_key(&key) || batch.sent.contains_key(&key) {
            batch.duplicates += 1;
            continue;
        }
        if let Err(reason) = take(&mut batch, known, (room, key), event) {
            batch.asides.push(Aside::of(record, reason));
        }
    }
    batch
}

fn take(
    batch: &mut Batch,
    known: &Known,
    (room, key): (RoomSlug, SentKey),
    event: StoredEvent,
) -> Result<(), Reason> {
    let before = batch.rooms.get(&room).or_else(|| known.rooms.get(&room));
    if let Some(target) = event.event.target() {
        if before.is_none() {
            return Err(Reason::Unreadable(Unreadable::NoRoom));
        }
        let of_target = SentKey::of_target(&room, target);
        let state = batch.sent.get(&of_target).or_else(|| known.sent.get(&of_target)).cloned();
        batch.sent.insert(key, Sent::change(event.seq));
        if let Some(state) = batch.changes.take(&room, state, &event) {
            batch.sent.insert(of_target, state);
        }
        return Ok(());
    }
    let state = after(before, &event)?;
    batch.sent.insert(key, Sent::row(state.count, &event));
    batch.events.push(Numbered { room: room.clone(), number: state.count, event });
    batch.rooms.insert(room, state);
    Ok(())
}

/// The room as it is after the event, if the event can happen in it.
fn after(before: Option<&RoomState>, event: &StoredEvent) -> Result<RoomState, Reason> {
    let mut state = match (before, &event.event) {
        (None, Event::Created { author, name, .. }) => {
            RoomState { name: name.clone(), creator: *author, count: 0, last_seq: 0, last_message: 0 }
        }
        (None, _) => return Err(Reason::Unreadable(Unreadable::NoRoom)),
        (Some(_), Event::Created { .. }) => return Err(Reason::RoomExists),
        (Some(state), _) => state.clone(),
    };
    state.count += 1;
    state.last_seq = event.seq;
    if matches!(event.event, Event::Message { .. }) {
        state.last_message = state.count;
    }
    Ok(state)
}

#[cfg(test)]
#[path = "projection_tests.rs"]
mod tests;
