//! How long a room keeps what happens in it, and how what is too old goes.

use crate::{RoomSlug, Target};
use serde::{Deserialize, Serialize};

/// For how many days a room keeps what happens in it; for ever, unless somebody says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct KeepDays(u16);

impl KeepDays {
    pub const FOREVER: Self = Self(0);
    /// Ten years.
    pub const MAX: u16 = 3_650;

    /// So many days, 0 for ever; `None` for more than [`KeepDays::MAX`].
    pub const fn new(days: u16) -> Option<Self> {
        if days <= Self::MAX { Some(Self(days)) } else { None }
    }

    /// How many days; 0 for ever.
    pub const fn get(self) -> u16 {
        self.0
    }

    pub const fn is_forever(&self) -> bool {
        self.0 == 0
    }
}

impl From<KeepDays> for u16 {
    fn from(days: KeepDays) -> Self {
        days.get()
    }
}

impl TryFrom<u16> for KeepDays {
    type Error = &'static str;

    fn try_from(days: u16) -> Result<Self, Self::Error> {
        Self::new(days).ok_or("more days than a room can be told to keep things")
    }
}

/// What the history worker asks the gateways on [`crate::subject::ROOM_EXPIRIES`]: to write to the room that all up to a row has
/// expired. They refuse what the room's own state does not ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomExpiry {
    pub room: RoomSlug,
    /// The last row that is too old.
    pub target: Target,
    pub keep: KeepDays,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RoomExpiryAnswer {
    /// It is in the log, or nothing needs to be: the room is gone, keeps things longer now, or knows it already.
    Settled,
    Refused {
        reason: String,
    },
}
