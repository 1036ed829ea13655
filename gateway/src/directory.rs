//! Rooms and memberships, as the broker alone decides them: the state beside the log.

use crate::{Error, keyring::Keyring, sealed, slug};
use broker::{BatchEntry, Broker, Expect, Record};
use protocol::{
    Event, MessageId, RoomSlug, SealedEvent, SealedStored, Timestamp, UserId,
    keys::{Holder, KeyAnswer, KeyRequest},
    state::{Membership, Role, Room, RoomState},
    subject::{self, Shard},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// Tries to find a free address for a new room, or to settle a race.
const TRIES_MAX: usize = 8;
/// Memberships read at once of a person who is erased.
const ERASED_AT_ONCE: usize = 1_000;
/// How long the auth service is waited for, which makes a new room's key.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

pub struct Directory {
    broker: Broker,
    keyring: Arc<Keyring>,
    shards: u16,
}

/// An event that changes a state beside the log.
enum Turn {
    Member { user: UserId, to: Membership, event: SealedEvent },
    RoomErased { id: MessageId },
}

impl Turn {
    const fn id(&self) -> MessageId {
        match self {
            Self::Member { event, .. } => event.id(),
            Self::RoomErased { id } => *id,
        }
    }
}

/// A room in a person's list.
pub struct MyRoom {
    pub slug: RoomSlug,
    pub name: String,
    /// What happened last in it, if that can be read.
    pub last: Option<SealedStored>,
}

impl Directory {
    pub const fn new(broker: Broker, keyring: Arc<Keyring>, shards: u16) -> Self {
        Self { broker, keyring, shards }
    }

    fn shard(&self, room: &RoomSlug) -> Shard {
        Shard::of(room, self.shards)
    }

    /// What a room is; `None` when there is none at this address.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn room(&self, slug: &RoomSlug) -> Result<Option<Room>, Error> {
        let shard = self.shard(slug);
        let (stream, subject) = (shard.stream(), shard.room(slug));
        let record = match self.broker.last(&stream, &subject).await? {
            // A replica that lags may not know a new room yet: the leader's word counts.
            None => self.broker.last_confirmed(&stream, &subject).await?,
            some => some,
        };
        Ok(record.and_then(|record| room(&record)))
    }

    /// Whether a person is a member of a room.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn is_member(&self, user: UserId, room: &RoomSlug) -> Result<bool, Error> {
        Ok(self.role(user, room).await?.is_some())
    }

    /// What a person is in a room; `None` for one who is no member.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn role(&self, user: UserId, room: &RoomSlug) -> Result<Option<Role>, Error> {
        Ok(match self.membership(user, room).await?.1 {
            Membership::Member { role } => Some(role),
            Membership::Gone | Membership::Erased => None,
        })
    }

    /// The sequence of a person's membership state in a room (0: none) and the state.
    async fn membership(&self, user: UserId, room: &RoomSlug) -> Result<(u64, Membership), Error> {
        let shard = self.shard(room);
        let (stream, subject) = (shard.stream(), shard.member(user, room));
        let quick = self.broker.last(&stream, &subject).await?.map(|record| membership(&record));
        match quick {
            Some(found) if found.1.is_member() => Ok(found),
            // Nobody is turned away by a replica that lags.
            _ => {
                let confirmed = self.broker.last_confirmed(&stream, &subject).await?;
                Ok(confirmed.map_or((0, Membership::Gone), |record| membership(&record)))
            }
        }
    }

    /// Makes a room; its maker is its first member and owner.
    ///
    /// # Errors
    /// When the broker does not store it.
    pub async fn create(&self, user: UserId, name: &str) -> Result<RoomSlug, Error> {
        let mut last = Error::NoRoom;
        for _ in 0..TRIES_MAX {
            let room = slug::slug(name);
            let shard = self.shard(&room);
            let id = MessageId::new();
            self.make_key(&room).await?;
            let created = Event::Created { id, author: user, name: name.to_owned() };
            let created = sealed::seal(&self.keyring, &room, &created).await?;
            let Event::Created { name: title, .. } = &created else { return Err(Error::NoRoom) };
            let described = RoomState::There(Room { name: title.clone(), creator: user });
            let entries = vec![
                entry(shard.log(&room), Expect::LastSequence(0), created.encode()),
                entry(shard.room(&room), Expect::LastSequence(0), state(&described)),
                entry(
                    shard.member(user, &room),
                    Expect::LastSequence(0),
                    state(&Membership::Member { role: Role::Owner }),
                ),
            ];
            match self.broker.publish_batch(&id.to_string(), entries).await {
                Ok(_) => return Ok(room),
                // The address is taken: another suffix.
                Err(error @ broker::Error::Conflict) => last = error.into(),
                // It may be stored or not: the room's state tells.
                Err(error) => match self.room(&room).await? {
                    Some(found) if found.creator == user => return Ok(room),
                    _ => return Err(error.into()),
                },
            }
        }
        Err(last)
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
        let mut last = broker::Error::Conflict;
        for attempt in 0..TRIES_MAX {
            let (id, Some(entries)) = (turn.id(), self.entries(room, turn).await?) else { return Ok(false) };
            match self.broker.publish_batch(&format!("{id}-{attempt}"), entries).await {
                Ok(_) => return Ok(true),
                Err(error @ (broker::Error::Conflict | broker::Error::TimedOut)) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// What is to be stored as things are now.
    async fn entries(&self, slug: &RoomSlug, turn: &Turn) -> Result<Option<Vec<BatchEntry>>, Error> {
        let shard = self.shard(slug);
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
                let found = self.broker.last_confirmed(&shard.stream(), &shard.room(slug)).await?;
                let there = found.and_then(|record| Some((record.seq, room(&record)?.creator)));
                let Some((seq, author)) = there else { return Ok(None) };
                let after = RoomState::Erased { erased_at: Timestamp::now() };
                (SealedEvent::RoomErased { id: *id, author }.encode(), shard.room(slug), seq, state(&after))
            }
        };
        Ok(Some(vec![
            entry(shard.log(slug), Expect::Anything, event),
            entry(subject, Expect::LastSequence(seq), after),
        ]))
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
                let mut told = 0;
                for shard in Shard::all(self.shards) {
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

    /// A person's rooms, the one with the newest event first.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn rooms_of(&self, user: UserId) -> Result<Vec<MyRoom>, Error> {
        let mut rooms = Vec::new();
        for shard in Shard::all(self.shards) {
            rooms.extend(self.members_rooms(shard, &[shard.member_rooms(user)]).await?);
        }
        newest_first(&mut rooms);
        Ok(rooms)
    }

    /// Those of these rooms of which a person is a member, the one with the newest event first.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn mine_among(&self, user: UserId, rooms: &BTreeSet<RoomSlug>) -> Result<Vec<MyRoom>, Error> {
        let mut by_shard: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
        for room in rooms {
            let shard = self.shard(room);
            by_shard.entry(shard).or_default().push(shard.member(user, room));
        }
        let mut mine = Vec::new();
        for (shard, subjects) in by_shard {
            mine.extend(self.members_rooms(shard, &subjects).await?);
        }
        newest_first(&mut mine);
        Ok(mine)
    }

    /// The rooms whose membership states match these subjects and say "member".
    async fn members_rooms(&self, shard: Shard, subjects: &[String]) -> Result<Vec<MyRoom>, Error> {
        let members = self.broker.last_many(&shard.stream(), subjects).await?;
        let mine: Vec<RoomSlug> = members
            .iter()
            .filter(|record| membership(record).1.is_member())
            .filter_map(|record| subject::room_of(&record.subject))
            .collect();
        if mine.is_empty() { Ok(Vec::new()) } else { self.described(shard, &mine).await }
    }

    async fn described(&self, shard: Shard, slugs: &[RoomSlug]) -> Result<Vec<MyRoom>, Error> {
        let states: Vec<_> = slugs.iter().map(|slug| shard.room(slug)).collect();
        let logs: Vec<_> = slugs.iter().map(|slug| shard.log(slug)).collect();
        let stream = shard.stream();
        let by_room = |records: Vec<Record>| -> HashMap<RoomSlug, Record> {
            records
                .into_iter()
                .filter_map(|record| Some((subject::room_of(&record.subject)?, record)))
                .collect()
        };
        let states = by_room(self.broker.last_many(&stream, &states).await?);
        let mut lasts = by_room(self.broker.last_many(&stream, &logs).await?);
        let rooms = slugs.iter().filter_map(|slug| Some((slug.clone(), room(states.get(slug)?)?)));
        let rooms: Vec<_> = rooms.collect();
        let names = sealed::names(&self.keyring, &rooms).await?;
        let described = rooms.into_iter().zip(names).map(|((slug, _), name)| {
            let last = lasts.remove(&slug).and_then(|record| {
                let event = SealedEvent::decode(&record.payload).ok()?;
                Some(SealedStored { seq: record.seq, at: record.at, event })
            });
            MyRoom { slug, name, last }
        });
        Ok(described.collect())
    }
}

fn newest_first(rooms: &mut [MyRoom]) {
    rooms.sort_by_key(|room| std::cmp::Reverse(room.last.as_ref().map(|last| last.at)));
}

/// The room that a state tells of; `None` for one that was erased.
fn room(record: &Record) -> Option<Room> {
    match serde_json::from_slice(&record.payload).ok()? {
        RoomState::There(room) => Some(room),
        RoomState::Erased { .. } => None,
    }
}

fn membership(record: &Record) -> (u64, Membership) {
    (record.seq, serde_json::from_slice(&record.payload).unwrap_or(Membership::Gone))
}

const fn entry(subject: String, expect: Expect, payload: Vec<u8>) -> BatchEntry {
    BatchEntry { subject, expect, payload }
}

fn state(state: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state is plain JSON")
}
