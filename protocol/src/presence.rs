//! What gateways tell each other about who is present and who is writing: soft, never stored, and made whole again when some of
//! it is lost.

use crate::UserId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One running gateway; another one each time it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayId(pub Uuid);

impl GatewayId {
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}
impl Default for GatewayId {
    fn default() -> Self {
        Self::new()
    }
}

/// People in one part of a whole list, at most: some 40 KB of JSON.
pub const PART_PEOPLE_MAX: usize = 1_000;

/// What one gateway says of one room, on `chat.presence.<shard>.<room>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Note {
    /// Who came to this gateway and who went, since the version before this one.
    Changed { gateway: GatewayId, version: u64, came: Vec<UserId>, went: Vec<UserId> },
    /// One part of everybody at this gateway.
    Whole { gateway: GatewayId, version: u64, part: u32, parts: u32, people: Vec<UserId> },
    /// Its version is still this one.
    Still { gateway: GatewayId, version: u64 },
    /// Asks one gateway, or all others, for the whole list.
    Ask { gateway: GatewayId, of: Option<GatewayId> },
    /// It has nobody in the room any more.
    Gone { gateway: GatewayId },
    /// Somebody at this gateway is writing something.
    Typing { gateway: GatewayId, user: UserId },
}

impl Note {
    pub const fn gateway(&self) -> GatewayId {
        match self {
            Self::Changed { gateway, .. }
            | Self::Whole { gateway, .. }
            | Self::Still { gateway, .. }
            | Self::Ask { gateway, .. }
            | Self::Gone { gateway }
            | Self::Typing { gateway, .. } => *gateway,
        }
    }
}

/// A gateway's sign of life, on [`crate::subject::GATEWAYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub gateway: GatewayId,
    /// How many sockets it has. `None`: it takes no more, since it stops or is not ready, or it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u32>,
    /// How many bytes a second it sends to people. `None`: it does not know yet, or it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes_per_second: Option<u64>,
    /// How many shards it knows. `None`: those that there were at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u16>,
}
