use std::fmt;

use protocol::subject::Shard;
use service::process::Fatal;

use crate::checkpoint::Parted;
use crate::store::StoreError;

/// Why the history worker ends, or one of its shards begins anew.
#[derive(Debug)]
pub enum Error {
    /// It can't start as it is set up; a person must look.
    Start(String),
    Broker(broker::Error),
    Store(StoreError),
    /// The log is not the one that was applied. Nothing was changed.
    Parted {
        shard: Shard,
        parted: Parted,
    },
    /// A task of this process ended by itself.
    Lost(&'static str),
}

impl Error {
    /// Whether trying again may help, so that the worker goes on.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Start(_) | Self::Parted { .. } | Self::Lost(_) => false,
            Self::Broker(error) => !matches!(error, broker::Error::Setup(_)),
            Self::Store(error) => !matches!(error, StoreError::Relaid),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => f.write_str(why),
            Self::Broker(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Parted { shard, parted } => write!(f, "shard {}: {parted}", shard.0),
            Self::Lost(what) => write!(f, "{what} ended unexpectedly"),
        }
    }
}

impl std::error::Error for Error {}

impl Fatal for Error {
    fn is_start_fault(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
