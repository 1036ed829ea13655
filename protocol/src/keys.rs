//! Keys of rooms and people as the broker holds them: wrapped under a root key that only gateways and the auth service have.

use crate::{RoomSlug, Timestamp, UserId};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Room(RoomSlug),
    User(UserId),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room.{room}"),
            Self::User(user) => write!(f, "user.{user}"),
        }
    }
}

impl Holder {
    fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "room" => RoomSlug::parse(id).ok().map(Self::Room),
            "user" => id.parse().ok().map(Self::User),
            _ => None,
        }
    }

    /// The subjects of all generations of its key.
    pub fn subjects(&self) -> String {
        format!("chat.keys.{self}.*")
    }

    /// Where it is written that everything of this holder was erased.
    pub fn erasure_subject(&self) -> String {
        format!("chat.keys.erased.{self}")
    }

    /// Reads [`Self::erasure_subject`], as it is stored or as it is republished.
    pub fn of_erasure(subject: &str) -> Option<Self> {
        let mut tokens = subject.split('.').skip(2);
        match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
            (Some("erased"), Some(kind), Some(id), None) => Self::parse(kind, id),
            _ => None,
        }
    }
}

/// Which key of a holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    pub holder: Holder,
    /// From 1 on. A new one begins when an old one may have leaked; old ones stay for reading.
    pub generation: u16,
}

impl KeyName {
    /// New texts are sealed with the first keys of room and author. A box says which ones it is of, so that others may begin one day.
    pub const FIRST: u16 = 1;

    pub const fn first(holder: Holder) -> Self {
        Self { holder, generation: Self::FIRST }
    }

    /// `chat.keys.room.<slug>.<generation>` or `chat.keys.user.<id>.<generation>`.
    pub fn subject(&self) -> String {
        format!("chat.keys.{}.{}", self.holder, self.generation)
    }

    /// Reads a subject, as it is stored or as it is republished.
    pub fn of_subject(subject: &str) -> Option<Self> {
        let mut tokens = subject.split('.').skip(2);
        let holder = Holder::parse(tokens.next()?, tokens.next()?)?;
        let generation = tokens.next()?.parse().ok().filter(|generation| *generation > 0)?;
        tokens.next().is_none().then_some(Self { holder, generation })
    }
}

/// A wrapped key: version of the root (2 bytes) ‖ nonce (12) ‖ sealed key and tag (48). In JSON it is base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapped(pub [u8; Self::BYTES]);

impl Wrapped {
    pub const BYTES: usize = 62;

    /// The version of the root key under which it is wrapped.
    pub const fn root(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped(under root {})", self.root())
    }
}

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Wrapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("not a wrapped key"))
    }
}

/// That everything of a holder is erased: what stands at [`Holder::erasure_subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    pub erased_at: Timestamp,
    /// The keys are destroyed, and the rooms know of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

impl Erasure {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an erasure is plain JSON")
    }

    pub fn decode(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// Since when keys are wrapped under a root key, at [`crate::subject::root_since`]. It is written before the first is: what was
/// erased before then is opened by older root keys alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSince {
    pub since: Timestamp,
}

/// What stands at a key's subject: `{"key":"…"}`, or `{"erased_at":"…"}` after the key was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyState {
    Wrapped { key: Wrapped },
    Erased { erased_at: Timestamp },
}

impl KeyState {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a key's state is plain JSON")
    }

    pub fn decode(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// What a gateway asks the auth service on [`crate::subject::KEY_REQUESTS`]: that a room that is about to be made has a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequest {
    pub room: RoomSlug,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum KeyAnswer {
    /// The key is stored: made now or before.
    Stored,
    Refused {
        reason: String,
    },
}

/// What an operator's tool asks the auth service on [`crate::subject::KEY_ADMIN`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum KeyAdmin {
    /// Reads every key: of 100,000 that takes some seconds.
    Status,
    /// How many people and rooms are being erased?
    Erasing,
    /// Wrap every key under the newest root key; what was begun before goes on.
    Rotate,
    /// Who has this name?
    Person { name: String },
    /// Erase everything of a person or a room. There is no way back.
    Erase { holder: Holder },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum KeyAdminAnswer {
    Status(KeyStatus),
    Erasing {
        holders: u64,
    },
    /// It goes on by itself: ask for the status.
    Started,
    /// Who has the name that was asked for, as they write it.
    Person {
        user: UserId,
        name: String,
    },
    /// Nobody has it.
    NoSuchPerson,
    /// How many keys were destroyed now. Rooms are told of it next: see [`KeyAdmin::Erasing`].
    Erased {
        keys: u64,
    },
    Refused {
        reason: String,
    },
}

/// Which root keys open what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// The root keys that the auth service has.
    pub roots: Vec<u16>,
    /// How many keys, copies that wait to be destroyed among them, are wrapped under each root key; not counted while a
    /// rotation goes on.
    pub under: Vec<UnderRoot>,
    /// Keys that were destroyed.
    pub erased: u64,
    /// People and rooms that are being erased: their keys are destroyed, and not all rooms know of it yet.
    pub erasing: u64,
    pub rotation: Option<Rotation>,
}

/// What the auth service asks the gateways on [`crate::subject::ROOM_ERASURES`]: to write to the rooms what was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomErasures {
    pub holder: Holder,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RoomErasuresAnswer {
    /// Every room has it; so many were told now.
    Told {
        rooms: u64,
    },
    Refused {
        reason: String,
    },
}

/// How many keys are wrapped under one root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderRoot {
    pub root: u16,
    pub keys: u64,
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub done: u64,
    pub of: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_one_key() {
        for text in ["chat.keys.room.tea_x7qa.1", "chat.keys.user.0197b6f0-7d1c-7a54-9c0e-2f3a6f1d9e10.7"] {
            let name = KeyName::of_subject(text).unwrap();
            assert_eq!(name.subject(), text);
            assert_eq!(Holder::of_erasure(&name.holder.erasure_subject()), Some(name.holder.clone()));
            assert_eq!(KeyName::of_subject(&name.holder.erasure_subject()), None);
        }
        for text in [
            "chat.keys.canary",
            "chat.keys.room.general.0",
            "chat.keys.room.general",
            "chat.keys.room.general.1.2",
        ] {
            assert_eq!(KeyName::of_subject(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_there_or_erased() {
        let there = KeyState::Wrapped { key: Wrapped([7; Wrapped::BYTES]) };
        let erased = KeyState::Erased { erased_at: Timestamp::from_millis(0) };
        for state in [there, erased] {
            assert_eq!(KeyState::decode(&state.encode()), Some(state));
        }
        assert_eq!(KeyState::decode(b"{}"), None);
    }
}
