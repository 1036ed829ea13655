//! The broker's streams and subjects. Nothing else spells them.

use crate::{RoomSlug, SessionId, UserId};
use serde::{Deserialize, Serialize};

/// The stream that says how this installation is laid out.
pub const INSTALLATION_STREAM: &str = "INSTALLATION";
pub const INSTALLATION: &str = "chat.installation";

/// People's display names.
pub const PROFILES_STREAM: &str = "PROFILES";
pub const PROFILES: &str = "chat.profile.>";
pub const PROFILES_LIVE: &str = "chat.profilelive.>";

/// Signs of life of gateways: never stored.
pub const GATEWAYS: &str = "chat.presence.gateways";

/// The keys that sign session tokens, and the sessions that were revoked.
pub const SESSIONS_STREAM: &str = "SESSIONS";
pub const SESSIONS: &str = "chat.session.>";
pub const SESSIONS_LIVE: &str = "chat.sessionlive.>";

/// The keys of rooms and people, wrapped; written by the auth service alone.
pub const KEYS_STREAM: &str = "KEYS";
pub const KEYS: &str = "chat.keys.>";
pub const KEYS_LIVE: &str = "chat.keyslive.>";
/// A key that opens nothing: whoever can unwrap it has the root keys of this installation.
pub const CANARY: &str = "chat.keys.canary";
/// That everything of a person or room was erased.
pub const ERASURES: &str = "chat.keys.erased.>";
pub const ERASURES_LIVE: &str = "chat.keyslive.erased.>";
/// Where the auth service is asked for a new room's key.
pub const KEY_REQUESTS: &str = "keys.room";
/// Where the gateways are told what was erased, so that one of them writes it to the rooms.
pub const ROOM_ERASURES: &str = "rooms.erase";
/// Where the gateways are told what of a room is too old, so that one of them writes it to the room.
pub const ROOM_EXPIRIES: &str = "rooms.expire";
/// Where history workers say that they live.
pub const WORKERS: &str = "history.workers";
/// Since when keys are wrapped under a root key.
pub fn root_since(version: u16) -> String {
    format!("chat.keys.root.{version}")
}
/// Reads [`root_since`].
pub fn root_of_since(subject: &str) -> Option<u16> {
    subject.strip_prefix("chat.keys.root.")?.parse().ok()
}
/// Where an operator's tool asks the auth service about all keys.
pub const KEY_ADMIN: &str = "keys.admin";
/// Where an operator's tool asks the auth service for all accounts, for a backup.
pub const ACCOUNT_COPIES: &str = "accounts.copies";

/// The queue of search workers.
pub const SEARCH_QUERIES: &str = "chat.query.search";

/// A stream that keeps the last value of each of its subjects, and shows it elsewhere as soon as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Republished {
    pub stream: &'static str,
    pub subjects: &'static str,
    /// What its subjects are called where the broker shows what it has stored.
    pub live: &'static str,
    /// Nothing makes its values anew. So none ends by age, none is dropped for another, and they are not purged: only one by one
    /// can they be erased.
    pub irreplaceable: bool,
}

pub const REPUBLISHED: [Republished; 3] = [
    Republished { stream: KEYS_STREAM, subjects: KEYS, live: KEYS_LIVE, irreplaceable: true },
    Republished { stream: PROFILES_STREAM, subjects: PROFILES, live: PROFILES_LIVE, irreplaceable: false },
    Republished { stream: SESSIONS_STREAM, subjects: SESSIONS, live: SESSIONS_LIVE, irreplaceable: false },
];

pub fn profile(user: UserId) -> String {
    format!("chat.profile.{user}")
}
pub fn session_key(key_id: &str) -> String {
    format!("chat.session.key.{key_id}")
}
pub fn session_revoked(session: SessionId) -> String {
    format!("chat.session.revoked.{session}")
}

/// One part of the log: every room belongs to one shard for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard(pub u16);

/// The shards of an installation. Those that were added later hold the rooms whose codes name them, so that a room's shard never
/// changes and is known from its code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    /// How many there were at first: codes that name no shard are spread over them, for ever.
    first: u16,
    /// How many there are.
    count: u16,
}

impl Shards {
    /// As many as there can ever be.
    pub const MAX: u16 = 256;

    /// `first` of them from the beginning, `count` now. At least one, and never fewer than at first.
    pub const fn new(first: u16, count: u16) -> Self {
        let first = if first == 0 { 1 } else { first };
        Self { first, count: if count < first { first } else { count } }
    }

    /// So many from the beginning.
    pub const fn at_first(count: u16) -> Self {
        Self::new(count, count)
    }

    /// How many there are.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// How many there were at first.
    pub const fn first(self) -> u16 {
        self.first
    }

    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.count).map(Shard)
    }

    /// The shard of a room: the one that its code names, if it is one of those that were added, else by [`hash`] of the code modulo
    /// the number of shards at first. `None`: it names one that is not among these. That may have been added since they were read,
    /// so whoever has these can't say anything of the room.
    pub fn of(self, room: &RoomSlug) -> Option<Shard> {
        match room.named_shard().filter(|named| (self.first..Self::MAX).contains(named)) {
            Some(added) => (added < self.count).then_some(Shard(added)),
            None => Some(Shard((hash(room) % u64::from(self.first)) as u16)),
        }
    }

    /// The code of a new room, so that rooms are spread over the first `known` shards: where one that was added is meant, it names it.
    pub fn spread(self, room: RoomSlug, known: u16) -> RoomSlug {
        let meant = (hash(&room) % u64::from(known.clamp(self.first, self.count))) as u16;
        if meant < self.first { room } else { room.naming(meant) }
    }
}

/// FNV-1a (64 bit) of a room's code.
fn hash(room: &RoomSlug) -> u64 {
    room.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Shard {
    pub fn stream(self) -> String {
        format!("CHAT_{}", self.0)
    }
    /// All subjects that the shard's stream stores.
    pub fn subjects(self) -> [String; 4] {
        ["log", "member", "room", "message"].map(|kind| format!("chat.{kind}.{}.>", self.0))
    }
    pub fn log(self, room: &RoomSlug) -> String {
        format!("chat.log.{}.{room}", self.0)
    }
    /// The shard's whole log.
    pub fn log_all(self) -> String {
        format!("chat.log.{}.>", self.0)
    }
    /// Where the broker shows what it has stored on [`Shard::log`].
    pub fn live(self, room: &RoomSlug) -> String {
        format!("chat.live.{}.{room}", self.0)
    }
    pub fn live_all(self) -> String {
        format!("chat.live.{}.>", self.0)
    }
    pub fn member(self, user: UserId, room: &RoomSlug) -> String {
        format!("chat.member.{}.{user}.{room}", self.0)
    }
    /// All rooms of one person in this shard.
    pub fn member_rooms(self, user: UserId) -> String {
        format!("chat.member.{}.{user}.*", self.0)
    }
    /// Everybody who is or was in a room.
    pub fn members(self, room: &RoomSlug) -> String {
        format!("chat.member.{}.*.{room}", self.0)
    }
    pub fn room(self, room: &RoomSlug) -> String {
        format!("chat.room.{}.{room}", self.0)
    }
    /// What stands at the addresses of all rooms of the shard.
    pub fn room_all(self) -> String {
        format!("chat.room.{}.*", self.0)
    }
    /// What became of the message at `seq` of a room.
    pub fn message(self, room: &RoomSlug, seq: u64) -> String {
        format!("chat.message.{}.{room}.{seq}", self.0)
    }
    /// What became of each message of a room that was changed.
    pub fn messages(self, room: &RoomSlug) -> String {
        format!("chat.message.{}.{room}.*", self.0)
    }
    /// Who is present and who is typing in a room: from gateway to gateway, never stored.
    pub fn presence(self, room: &RoomSlug) -> String {
        format!("chat.presence.{}.{room}", self.0)
    }
    /// That a room has news, at most once a second from each gateway; never stored.
    pub fn head(self, room: &RoomSlug) -> String {
        format!("chat.head.{}.{room}", self.0)
    }
    pub fn head_all(self) -> String {
        format!("chat.head.{}.*", self.0)
    }
    /// The queue of workers that answer for this shard's history.
    pub fn history_queries(self) -> String {
        format!("chat.query.history.{}", self.0)
    }
    /// Where one worker gives the pieces of one snapshot.
    pub fn snapshot_pieces(self, snapshot: uuid::Uuid) -> String {
        format!("chat.query.snapshot.{}.{}", self.0, snapshot.simple())
    }
}

/// The room's slug in a subject that ends with it.
pub fn room_of(subject: &str) -> Option<RoomSlug> {
    RoomSlug::parse(subject.rsplit('.').next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_room_stays_in_its_shard() {
        let room = RoomSlug::parse("tea_x7qa").unwrap();
        // Frozen figures: a change here would move every room that exists.
        assert_eq!(Shards::at_first(1).of(&room), Some(Shard(0)));
        assert_eq!(Shards::at_first(8).of(&room), Some(Shard(5)));
        assert_eq!(Shards::new(8, 256).of(&room), Some(Shard(5)), "wherever new rooms go");
        assert_eq!(reached(Shards::at_first(8), 8).len(), 8, "200 rooms reach every one of 8 shards");
    }

    /// The shards of 200 new rooms.
    fn reached(shards: Shards, known: u16) -> BTreeSet<Shard> {
        let spread = (0..200).map(|n| shards.spread(room(&format!("r_{n}")), known));
        spread.map(|room| shards.of(&room).expect("it is one of these")).collect()
    }

    fn room(code: &str) -> RoomSlug {
        RoomSlug::parse(code).unwrap()
    }

    #[test]
    fn new_rooms_reach_shards_that_were_added_once_these_are_known() {
        let raised = Shards::new(2, 5);
        assert_eq!(reached(raised, 5).len(), 5);
        assert_eq!(reached(raised, 2).len(), 2);
        assert_eq!(reached(raised, 9).len(), 5);
        let again = Shards::new(2, 8);
        for n in 0..200 {
            let made = raised.spread(room(&format!("r_{n}")), 5);
            assert_eq!(raised.of(&made), again.of(&made), "{made} does not move");
        }
    }

    #[test]
    fn a_code_that_names_no_shard_which_could_be_added_is_hashed() {
        let shards = Shards::new(4, 8);
        for code in
            ["tea_x7qa__256", "tea_x7qa__3", "tea_x7qa__", "tea_x7qa__65536", "__", "tea_x7qa__-7", "tea_7"]
        {
            if let Ok(room) = RoomSlug::parse(code) {
                assert!(shards.of(&room).is_some_and(|shard| shard.0 < 4), "{code}");
            }
        }
        assert_eq!(shards.of(&room("tea_x7qa__7")), Some(Shard(7)));
    }

    #[test]
    fn a_room_of_a_shard_that_is_not_known_yet_is_looked_for_nowhere_else() {
        let made = room("tea_x7qa").naming(12);
        assert_eq!(Shards::new(8, 16).of(&made), Some(Shard(12)));
        assert_eq!(Shards::at_first(8).of(&made), None);
        assert_eq!(Shards::new(8, 12).of(&made), None);
        assert_eq!(Shards::new(8, 12).of(&room("tea_x7qa__255")), None, "there may be so many one day");
    }

    #[test]
    fn a_subject_gives_its_room_back() {
        let room = RoomSlug::parse("tea_x7qa").unwrap();
        assert_eq!(room_of(&Shard(0).live(&room)), Some(room));
        assert_eq!(room_of("chat.log.0.Not A Room"), None);
    }
}
