//! What changes rooms and memberships: each an event of the log with the state that it leaves beside it, both stored or neither.

use super::{Directory, happened_at, room};
use crate::{Error, slug, tries::Tries};
use broker::{BatchEntry, Expect};
use keyring::sealed;
use protocol::{
    Event, KeepDays, MessageId, RoomSlug, SealedEvent, SealedStored, Target, Timestamp, UserId,
    keys::{Holder, KeyAnswer, KeyRequest},
    retention::RoomExpiry,
    state::{Membership, Role, Room, RoomState},
    subject::{self, Shard},
};
use std::{collections::BTreeSet, time::Duration};

/// How long a change is tried that the broker does not store at once: about as long as its servers take to have a leader again.
const PATIENCE: Duration = Duration::from_secs(8);
/// Addresses that a new room tries.
const ADDRESSES_MAX: usize = 8;
/// Memberships read at once of a person who is erased.
const ERASED_AT_ONCE: usize = 1_000;
/// How long the auth service is waited for, which makes a new room's key.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

/// An event that changes a state beside the log.
enum Turn {
    Member { user: UserId, to: Membership, event: SealedEvent },
    RoomErased { id: MessageId },
    Retention { id: MessageId, user: UserId, keep: KeepDays },
    Expired { id: MessageId, target: Target, keep: KeepDays },
}

impl Directory {
    /// Makes a room in one of the shards that every gateway knows, `known` of them; its maker is its first member and owner.
    ///
    /// # Errors
    /// When the broker does not store it.
    pub async fn create(&self, user: UserId, name: &str, known: u16) -> Result<RoomSlug, Error> {
        let mut tries = Tries::within(PATIENCE);
        for _ in 0..ADDRESSES_MAX {
            let room = self.shards.spread(slug::slug(name), known);
            if self.create_at(&room, (user, name), &mut tries).await? {
                return Ok(room);
            }
        }
        Err(broker::Error::Conflict.into())
    }

    /// Makes a room at this address. False when there is another.
    async fn create_at(
        &self,
        room: &RoomSlug,
        (user, name): (UserId, &str),
        tries: &mut Tries,
    ) -> Result<bool, Error> {
        let shard = self.shard(room)?;
        self.make_key(room).await?;
        let id = MessageId::new();
        let created = Event::Created { id, author: user, name: name.to_owned() };
        let created = sealed::seal(&self.keyring, room, &created).await?;
        let Event::Created { name: title, .. } = &created else { return Err(Error::NoRoom) };
        let described = RoomState::There(Room::new(title.clone(), user));
        let entries = [
            entry(shard.log(room), Expect::LastSequence(0), created.encode()),
            entry(shard.room(room), Expect::LastSequence(0), state(&described)),
            entry(
                shard.member(user, room),
                Expect::LastSequence(0),
                state(&Membership::Member { role: Role::Owner }),
            ),
        ];
        loop {
            let Err(error) = self.broker.publish_batch(&entries).await else { return Ok(true) };
            // It may be stored or not, or on its way: the room's state tells.
            let error = match self.room(room).await {
                Ok(Some(found)) => return Ok(found.name.by == id),
                Ok(None) => error.into(),
                Err(error) => error,
            };
            if !tries.again(&error).await {
                return Err(error);
            }
        }
    }

    /// Has the auth service make a room's key, if there is none. A key without a room is harmless.
    async fn make_key(&self, room: &RoomSlug) -> Result<(), Error> {
        let request = KeyRequest { room: room.clone() };
        match self.broker.ask(subject::KEY_REQUESTS.to_owned(), &request, KEY_PATIENCE).await {
            Ok(KeyAnswer::Stored) => Ok(()),
            Ok(KeyAnswer::Refused { reason }) => {
                tracing::warn!(%room, reason, "there is no key for a new room");
                Err(Error::NoKey)
            }
            Err(error) => {
                tracing::warn!(%room, %error, "the auth service does not answer: new rooms have to wait");
                Err(Error::NoKey)
            }
        }
    }

    /// Makes a person a member of a room that exists. Joining twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NoRoom`], or when the broker does not store it.
    pub async fn join(&self, user: UserId, room: &RoomSlug) -> Result<(), Error> {
        if self.room(room).await?.is_none() {
            return Err(Error::NoRoom);
        }
        let event = SealedEvent::Joined { id: MessageId::new(), author: user };
        self.change(user, room, Membership::Member { role: Role::Member }, event).await.map(drop)
    }

    /// Ends a person's membership. Leaving twice changes nothing.
    ///
    /// # Errors
    /// When the broker does not store it.
    pub async fn leave(&self, user: UserId, room: &RoomSlug) -> Result<(), Error> {
        let event = SealedEvent::Left { id: MessageId::new(), author: user };
        self.change(user, room, Membership::Gone, event).await.map(drop)
    }

    async fn change(
        &self,
        user: UserId,
        room: &RoomSlug,
        to: Membership,
        event: SealedEvent,
    ) -> Result<bool, Error> {
        self.turn(room, &Turn::Member { user, to, event }).await
    }

    /// Stores the event and the state beside it, both or neither; a race is settled by looking again. False when there is nothing
    /// to be changed.
    async fn turn(&self, room: &RoomSlug, turn: &Turn) -> Result<bool, Error> {
        let mut tries = Tries::within(PATIENCE);
        loop {
            match self.turn_once(room, turn).await {
                Err(error) if tries.again(&error).await => {}
                turned => return turned,
            }
        }
    }

    async fn turn_once(&self, room: &RoomSlug, turn: &Turn) -> Result<bool, Error> {
        let Some(entries) = self.entries(room, turn).await? else { return Ok(false) };
        self.broker.publish_batch(&entries).await?;
        Ok(true)
    }

    /// What is to be stored as things are now.
    async fn entries(&self, slug: &RoomSlug, turn: &Turn) -> Result<Option<[BatchEntry; 2]>, Error> {
        let shard = self.shard(slug)?;
        let (event, subject, seq, after) = match turn {
            Turn::Member { user, to, event } => {
                let (seq, now) = self.membership(*user, slug).await?;
                if now == Membership::Erased && to.is_member() {
                    return Err(Error::NoRoom);
                }
                if !now.becomes(*to) {
                    return Ok(None);
                }
                (event.encode(), shard.member(*user, slug), seq, state(to))
            }
            Turn::RoomErased { id } => {
                let Some((seq, Room { creator: author, .. })) = self.room_now(slug).await? else {
                    return Ok(None);
                };
                let after = RoomState::Erased { erased_at: Timestamp::now() };
                (SealedEvent::RoomErased { id: *id, author }.encode(), shard.room(slug), seq, state(&after))
            }
            Turn::Retention { id, user, keep } => {
                let (seq, room) = self.room_now(slug).await?.ok_or(Error::NoRoom)?;
                if room.keep == *keep {
                    return Ok(None);
                }
                let event = SealedEvent::Retention { id: *id, author: *user, keep: *keep };
                let after = RoomState::There(Room { keep: *keep, ..room });
                (event.encode(), shard.room(slug), seq, state(&after))
            }
            Turn::Expired { id, target, keep } => {
                let Some((seq, room)) = self.room_now(slug).await? else { return Ok(None) };
                if room.keep.is_forever() || room.keep != *keep || target.seq <= room.expired {
                    return Ok(None);
                }
                let (target, author) = (*target, room.creator);
                let of = self.happened_last(slug).await?;
                let event = SealedEvent::Expired { id: *id, author, target, of, keep: *keep };
                let after = RoomState::There(Room { expired: target.seq, ..room });
                (event.encode(), shard.room(slug), seq, state(&after))
            }
        };
        Ok(Some([
            entry(shard.log(slug), Expect::Anything, event),
            entry(subject, Expect::LastSequence(seq), after),
        ]))
    }

    /// The room as the leader of its stream has it, with the sequence of its state.
    async fn room_now(&self, slug: &RoomSlug) -> Result<Option<(u64, Room)>, Error> {
        let shard = self.shard(slug)?;
        let found = self.broker.last_confirmed(&shard.stream(), &shard.room(slug)).await?;
        Ok(found.and_then(|record| Some((record.seq, room(&record)?))))
    }

    /// When something happened last in a room.
    async fn happened_last(&self, slug: &RoomSlug) -> Result<Timestamp, Error> {
        let shard = self.shard(slug)?;
        let last = self.broker.last_confirmed(&shard.stream(), &shard.log(slug)).await?;
        let last = last.ok_or(Error::NoRoom)?;
        Ok(happened_at(&SealedStored::read(last.seq, last.at, &last.payload).0))
    }

    /// Tells a room how long it is to keep what happens in it.
    ///
    /// # Errors
    /// [`Error::NoRoom`], or when the broker does not store it.
    pub async fn set_retention(&self, user: UserId, room: &RoomSlug, keep: KeepDays) -> Result<(), Error> {
        let turn = Turn::Retention { id: MessageId::new(), user, keep };
        self.turn(room, &turn).await.map(drop)
    }

    /// Writes to a room that all up to a row has expired, if the room keeps things for so long and does not know it yet.
    ///
    /// # Errors
    /// When the broker does not store it.
    pub async fn expire(&self, RoomExpiry { room, target, keep }: RoomExpiry) -> Result<(), Error> {
        let turn = Turn::Expired { id: MessageId::new(), target, keep };
        self.turn(&room, &turn).await.map(drop)
    }

    /// Writes to the rooms that everything of a person or of the room itself is erased, and gives to how many: none is told twice.
    ///
    /// # Errors
    /// When the broker does not store it; what is missing is written when it is asked for again.
    pub async fn erase(&self, holder: &Holder) -> Result<u64, Error> {
        match holder {
            Holder::Room(room) => {
                let turn = Turn::RoomErased { id: MessageId::new() };
                self.turn(room, &turn).await.map(u64::from)
            }
            Holder::User(user) => {
                // Rooms of shards that were added since this gateway started would not be told: another gateway knows them.
                if self.broker.installation_record().await?.shards() != self.shards {
                    return Err(Error::UnknownShard);
                }
                let mut told = 0;
                for shard in self.shards.all() {
                    for room in self.all_rooms_of(shard, *user).await? {
                        // Of a room that is erased itself nothing is left to be told.
                        if self.room(&room).await?.is_some() {
                            let event = SealedEvent::UserErased { id: MessageId::new(), author: *user };
                            let erased = self.change(*user, &room, Membership::Erased, event);
                            told += u64::from(erased.await?);
                        }
                    }
                }
                Ok(told)
            }
        }
    }

    /// The rooms of a shard in which a person ever was.
    async fn all_rooms_of(&self, shard: Shard, user: UserId) -> Result<BTreeSet<RoomSlug>, Error> {
        let (mut rooms, mut after) = (BTreeSet::new(), 0);
        loop {
            let (stream, subject) = (shard.stream(), shard.member_rooms(user));
            let batch = self.broker.read_after(&stream, &subject, after, ERASED_AT_ONCE).await?;
            rooms.extend(batch.records.iter().filter_map(|record| subject::room_of(&record.subject)));
            match batch.records.last() {
                Some(last) if batch.more => after = last.seq,
                _ => return Ok(rooms),
            }
        }
    }
}

fn entry(subject: String, expect: Expect, payload: Vec<u8>) -> BatchEntry {
    BatchEntry { subject, expect, payload: payload.into(), trace: None }
}

fn state(state: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state is plain JSON")
}
