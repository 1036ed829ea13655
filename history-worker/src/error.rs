//! What can go wrong, and whether it passes by itself.

use crate::checkpoint::Parted;
use crate::store::StoreError;
use service::process::Fatal;
use std::fmt;

/// What can go wrong in a history worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The worker can't start as it is configured: a sentence for the person who started it.
    Start(String),
    Broker(broker::Error),
    Database(StoreError),
    /// The log is not the one that was applied. A person must decide.
    Parted(String),
}

impl Error {
    /// Whether trying again from the checkpoint may help.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Start(_) | Self::Parted(_) | Self::Database(StoreError::Refused(_)) => false,
            // A stream made anew is looked at again, and then parted or not.
            Self::Broker(_) | Self::Database(_) => true,
        }
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}
impl From<Parted> for Error {
    fn from(parted: Parted) -> Self {
        Self::Parted(parted.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) | Self::Parted(why) => f.write_str(why),
            Self::Broker(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
        }
    }
}
impl std::error::Error for Error {}

impl Fatal for Error {
    fn is_start_fault(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Database(StoreError::Refused(_)))
    }
}
