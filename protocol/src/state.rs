//! The state beside the log: the last value on a subject of its own, kept by the broker.

use crate::{KeepDays, MessageId, RoomSlug, SealedText, Timestamp, UserId, subject::Shards};
use serde::{Deserialize, Serialize};

/// What a person is in a room: `chat.member.<shard>.<user>.<room>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Membership {
    Member {
        role: Role,
    },
    Gone,
    /// Everything that the person wrote was erased. It stays so.
    Erased,
}

impl Membership {
    pub const fn is_member(self) -> bool {
        matches!(self, Self::Member { .. })
    }

    /// Whether this state changes when it is to be another: members stay what they are when they join again, and nobody leaves twice.
    pub const fn becomes(self, to: Self) -> bool {
        match (self, to) {
            (Self::Erased, _) => false,
            (_, Self::Erased) => true,
            _ => self.is_member() != to.is_member(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Member,
}

impl Role {
    /// Whether it may delete what others wrote.
    pub const fn may_moderate(self) -> bool {
        matches!(self, Self::Owner)
    }
}

/// What became of a message that was changed: `chat.message.<shard>.<room>.<sequence of the message>`, written in one
/// batch with each change, right behind its event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageState {
    /// Its edits before the last one, and the last one: oldest first.
    pub edits: Vec<Edit>,
    /// The id of the event that deleted it.
    pub deleted: Option<MessageId>,
}

/// One edit of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub id: MessageId,
    /// Where the edit's event is stored. The state that an edit itself writes can't know it yet, and has 0 there: the event
    /// lies just before the state.
    pub seq: u64,
}

impl MessageState {
    /// Reads a state that is stored at `seq`.
    pub fn read(seq: u64, payload: &[u8]) -> Option<Self> {
        let mut state: Self = serde_json::from_slice(payload).ok()?;
        if let Some(last) = state.edits.last_mut()
            && last.seq == 0
        {
            last.seq = seq.saturating_sub(1);
        }
        Some(state)
    }
}

/// What stands at a room's address: `chat.room.<shard>.<room>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RoomState {
    There(Room),
    /// It was erased. Its address is never used again.
    Erased {
        erased_at: Timestamp,
    },
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The name as the `created` event has it, to which it is bound.
    #[serde(flatten)]
    pub name: SealedText,
    pub creator: UserId,
    #[serde(default, skip_serializing_if = "KeepDays::is_forever")]
    pub keep: KeepDays,
    /// Everything up to this sequence has expired; 0 for nothing.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub expired: u64,
}

impl Room {
    /// One that was just made.
    pub const fn new(name: SealedText, creator: UserId) -> Self {
        Self { name, creator, keep: KeepDays::FOREVER, expired: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_nothing(seq: &u64) -> bool {
    *seq == 0
}

/// What others see of a person: `chat.profile.<user>`. One whose name is empty was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
}

/// A key that signs session tokens: `chat.session.key.<key id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    /// The Ed25519 public key, 32 bytes, base64url.
    pub public: String,
    /// From when on no token of this key is valid.
    pub retired_at: Option<Timestamp>,
}

/// A session that ended before its tokens did: `chat.session.revoked.<session>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub user: UserId,
    pub at: Timestamp,
}

/// How this installation is laid out: written by the set-up step to `chat.installation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    pub format: u32,
    pub id: uuid::Uuid,
    /// Into how many shards the log was cut at first.
    pub shards: u16,
    /// Into how many it is cut since shards were added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_to: Option<u16>,
}

impl Installation {
    /// The newest layout that this code reads: one to which shards were added.
    pub const FORMAT: u32 = 2;

    /// A new one.
    pub fn new(id: uuid::Uuid, shards: u16) -> Self {
        Self { format: 1, id, shards, raised_to: None }
    }

    /// The same with so many shards. Code that knows no added shards would look for their rooms elsewhere, so it is to refuse.
    #[must_use]
    pub fn raised(&self, count: u16) -> Self {
        Self { format: 2, raised_to: Some(count), ..self.clone() }
    }

    /// Its shards.
    pub fn shards(&self) -> Shards {
        Shards::new(self.shards, self.raised_to.unwrap_or(self.shards))
    }
}

/// That a room has news, on `chat.head.<shard>.<room>`: said in passing, at most once a second by each gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub room: RoomSlug,
    /// The sequence of the room's newest event, as far as its gateway knows.
    pub seq: u64,
}
