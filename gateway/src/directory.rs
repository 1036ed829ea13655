//! Rooms and memberships, as the broker alone decides them: the state beside the log. Here they are read; [`change`] changes them.

mod change;

use crate::Error;
use broker::{Broker, Record};
use futures_util::{StreamExt, TryStreamExt, stream};
use keyring::{Keyring, sealed};
use protocol::{
    Event, RoomSlug, SealedStored, Timestamp, UserId,
    state::{Membership, Role, Room, RoomState},
    subject::{self, Shard, Shards},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Shards that are asked at once for a person's rooms: one after the other, many would take long.
const SHARDS_AT_ONCE: usize = 16;

pub struct Directory {
    broker: Broker,
    keyring: Arc<Keyring>,
    shards: Shards,
}

/// A room in a person's list.
pub struct MyRoom {
    pub slug: RoomSlug,
    pub name: String,
    /// What happened last in it, if that can be read.
    pub last: Option<SealedStored>,
}

impl Directory {
    pub const fn new(broker: Broker, keyring: Arc<Keyring>, shards: Shards) -> Self {
        Self { broker, keyring, shards }
    }

    fn shard(&self, room: &RoomSlug) -> Result<Shard, Error> {
        self.shards.of(room).ok_or(Error::UnknownShard)
    }

    /// What a room is; `None` when there is none at this address.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn room(&self, slug: &RoomSlug) -> Result<Option<Room>, Error> {
        let shard = self.shard(slug)?;
        let (stream, subject) = (shard.stream(), shard.room(slug));
        let record = match self.broker.last(&stream, &subject).await? {
            // A replica that lags may not know a new room yet: the leader's word counts.
            None => self.broker.last_confirmed(&stream, &subject).await?,
            some => some,
        };
        Ok(record.and_then(|record| room(&record)))
    }

    /// Up to which sequence all of a room has expired; 0 where nothing has. For a moment log and history have it still.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn expired(&self, room: &RoomSlug) -> Result<u64, Error> {
        Ok(self.room(room).await?.map_or(0, |room| room.expired))
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
        let shard = self.shard(room)?;
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

    /// A person's rooms, the one with the newest event first.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn rooms_of(&self, user: UserId) -> Result<Vec<MyRoom>, Error> {
        let of_shard =
            |shard: Shard| async move { self.members_rooms(shard, &[shard.member_rooms(user)]).await };
        let found = stream::iter(self.shards.all()).map(of_shard).buffered(SHARDS_AT_ONCE);
        let mut rooms: Vec<MyRoom> = found.try_concat().await?;
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
            let shard = self.shard(room)?;
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
            let last = lasts.remove(&slug);
            let last = last.map(|last| SealedStored::read(last.seq, last.at, &last.payload).0);
            MyRoom { slug, name, last }
        });
        Ok(described.collect())
    }
}

fn newest_first(rooms: &mut [MyRoom]) {
    rooms.sort_by_key(|room| std::cmp::Reverse(room.last.as_ref().map(happened_at)));
}

/// When something happened last in a room whose last event this is. That things expire is nothing that happens.
const fn happened_at(last: &SealedStored) -> Timestamp {
    match &last.event {
        Event::Expired { of, .. } => *of,
        _ => last.at,
    }
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
