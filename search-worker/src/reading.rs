//! Entries of the log, read as changes of the index: opened with the keys, which only here and in the gateways are known.

use std::collections::HashMap;

use broker::{Broker, Record};
use keyring::{Keyring, sealed};
use protocol::state::RoomState;
use protocol::subject::{self, Shard};
use protocol::{Event, RoomSlug, SealedEvent, SealedStored, Target, Text, Timestamp, UserId};

use crate::index::Change;
use crate::schema::{Key, Message};

/// What entries are read with.
pub struct Reading<'a> {
    pub broker: &'a Broker,
    pub keyring: &'a Keyring,
    pub shard: Shard,
}

/// What entries of the log mean for the index.
#[derive(Default)]
pub struct Read {
    pub changes: Vec<Change>,
    /// Entries that this program can't read.
    pub unreadable: u64,
}

/// Messages of the entries in hand, by their sequence: whoever edits one is compared with its author.
type Originals = HashMap<u64, (UserId, Timestamp)>;

impl Reading<'_> {
    /// Reads entries in their order.
    ///
    /// # Errors
    /// When the broker can't be asked for keys or originals; then nothing was read.
    pub async fn read(&self, records: &[Record]) -> Result<Read, keyring::Error> {
        let mut read = Read::default();
        let mut rooms: HashMap<RoomSlug, Vec<SealedStored>> = HashMap::new();
        for record in records {
            let event = SealedEvent::decode(&record.payload).ok();
            match (subject::room_of(&record.subject), event) {
                (Some(room), Some(event)) if is_of_interest(&event) => {
                    rooms.entry(room).or_default().push(SealedStored {
                        seq: record.seq,
                        at: record.at,
                        event,
                    });
                }
                (Some(_), Some(_)) => {}
                _ => read.unreadable += 1,
            }
        }
        for (room, events) in rooms {
            self.read_room(&room, events, &mut read.changes).await?;
        }
        Ok(read)
    }

    async fn read_room(
        &self,
        room: &RoomSlug,
        events: Vec<SealedStored>,
        changes: &mut Vec<Change>,
    ) -> Result<(), keyring::Error> {
        let mut originals = Originals::new();
        for stored in sealed::events(self.keyring, room, events).await? {
            let (seq, at) = (stored.seq, stored.at);
            match stored.event {
                Event::Message { author, body, .. } => {
                    originals.insert(seq, (author, at));
                    changes.extend(self.message(room, (seq, author, at), body).map(Change::Put));
                }
                Event::Edited { author, target, body, .. } if author == target.author && target.seq < seq => {
                    if let Some(at) = self.stored_at(room, target, &originals).await? {
                        let message = self.message(room, (target.seq, author, at), body);
                        changes.extend(message.map(Change::Replace));
                    }
                }
                Event::Deleted { target, .. } if target.seq < seq => {
                    changes.push(Change::Remove(Key::new(self.shard, target.seq)));
                }
                Event::Expired { target, .. } if target.seq < seq => {
                    originals.retain(|original, _| *original > target.seq);
                    changes.push(Change::RemoveUpTo(room.clone(), Key::new(self.shard, target.seq)));
                }
                Event::UserErased { author, .. } => {
                    changes.push(Change::RemoveAuthor(author, Some(room.clone())));
                }
                Event::RoomErased { .. } => changes.push(Change::RemoveRoom(room.clone())),
                _ => {}
            }
        }
        Ok(())
    }

    /// A message as the index has it; `None` when its text can't be had.
    fn message(
        &self,
        room: &RoomSlug,
        (seq, author, at): (u64, UserId, Timestamp),
        body: Text,
    ) -> Option<Message> {
        let Text::Plain(body) = body else { return None };
        let (key, text) = (Key::new(self.shard, seq), body.as_str().to_owned());
        Some(Message { key, room: room.clone(), author, at, text })
    }

    /// When the message was stored that its author edits; `None` when it is not there any more, or is another's.
    async fn stored_at(
        &self,
        room: &RoomSlug,
        target: Target,
        originals: &Originals,
    ) -> Result<Option<Timestamp>, keyring::Error> {
        if let Some((author, at)) = originals.get(&target.seq) {
            return Ok((*author == target.author).then_some(*at));
        }
        if target.seq <= self.expired(room).await? {
            return Ok(None);
        }
        let record = self.broker.get(&self.shard.stream(), target.seq).await?;
        let record = record.filter(|record| record.subject == self.shard.log(room));
        Ok(record.and_then(|record| match SealedEvent::decode(&record.payload) {
            Ok(Event::Message { id, author, .. }) if id == target.id && author == target.author => {
                Some(record.at)
            }
            _ => None,
        }))
    }
}

impl Reading<'_> {
    /// Up to which sequence all of a room has expired, though the log may still have it for a moment.
    async fn expired(&self, room: &RoomSlug) -> Result<u64, keyring::Error> {
        let state = self.broker.last(&self.shard.stream(), &self.shard.room(room)).await?;
        Ok(match state.map(|state| serde_json::from_slice(&state.payload)) {
            Some(Ok(RoomState::There(room))) => room.expired,
            _ => 0,
        })
    }
}

const fn is_of_interest(event: &SealedEvent) -> bool {
    matches!(
        event,
        Event::Message { .. }
            | Event::Edited { .. }
            | Event::Deleted { .. }
            | Event::Expired { .. }
            | Event::UserErased { .. }
            | Event::RoomErased { .. }
    )
}
