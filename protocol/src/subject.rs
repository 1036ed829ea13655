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

impl Shard {
    /// The shard of a room among `shards`: FNV-1a (64 bit) of the slug, modulo their number.
    /// The number is fixed when the system is set up, since another one would move rooms.
    pub fn of(room: &RoomSlug, shards: u16) -> Self {
        let hash = room.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self((hash % u64::from(shards.max(1))) as u16)
    }

    pub fn all(shards: u16) -> impl Iterator<Item = Self> {
        (0..shards).map(Self)
    }

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

    #[test]
    fn a_room_stays_in_its_shard() {
        let room = RoomSlug::parse("tea_x7qa").unwrap();
        // Frozen figures: a change here would move every room that exists.
        assert_eq!(Shard::of(&room, 1), Shard(0));
        assert_eq!(Shard::of(&room, 8), Shard::of(&room, 8));
        let spread: std::collections::BTreeSet<_> =
            (0..200).map(|n| Shard::of(&RoomSlug::parse(&format!("r_{n}")).unwrap(), 8)).collect();
        assert_eq!(spread.len(), 8, "200 rooms reach every one of 8 shards");
    }

    #[test]
    fn a_subject_gives_its_room_back() {
        let room = RoomSlug::parse("tea_x7qa").unwrap();
        assert_eq!(room_of(&Shard(0).live(&room)), Some(room));
        assert_eq!(room_of("chat.log.0.Not A Room"), None);
    }
}
