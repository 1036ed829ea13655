//! What can go wrong, whose fault it is, and whether to try again.

use crate::{hashing, store};
use service::process::Fatal;
use std::fmt;
use std::time::Duration;

/// What can go wrong in the auth service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The service can't start: a sentence for the person who started it.
    Start(String),
    /// The broker, at the start. Afterwards its absence is waited out.
    Broker(broker::Error),
    /// The database.
    Database(store::Error),
    /// Too many passwords are being hashed.
    Busy,
    /// Too many wrong passwords; the next try is looked at after this time.
    TooManyTries(Duration),
    /// Something of this machine failed, such as its source of randomness.
    Internal(&'static str),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Caller,
    Us,
    Broker,
    Database,
}

impl Error {
    /// The HTTP status that says it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooManyTries(_) => 429,
            Self::Busy | Self::Database(store::Error::Unavailable(_) | store::Error::Conflict) => 503,
            Self::Broker(error) if error.is_passing() => 503,
            Self::Start(_) | Self::Broker(_) | Self::Database(_) | Self::Internal(_) => 500,
        }
    }

    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyTries(_) => Fault::Caller,
            Self::Start(_) | Self::Busy | Self::Internal(_) => Fault::Us,
            Self::Broker(_) => Fault::Broker,
            Self::Database(_) => Fault::Database,
        }
    }

    /// After what time the same request may succeed; `None`: not by itself.
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::TooManyTries(wait) => Some(*wait),
            _ if self.status() == 503 => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// What programs are told it is.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyTries(_) => "too_many_tries",
            Self::Busy => "busy",
            _ if self.status() == 503 => "unavailable",
            _ => "internal",
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Database(error)
    }
}
impl From<hashing::Busy> for Error {
    fn from(_: hashing::Busy) -> Self {
        Self::Busy
    }
}
impl From<getrandom::Error> for Error {
    fn from(_: getrandom::Error) -> Self {
        Self::Internal("the machine gives no random numbers")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => f.write_str(why),
            Self::Broker(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Busy => f.write_str("too many passwords are being hashed"),
            Self::TooManyTries(_) => f.write_str("too many wrong passwords"),
            Self::Internal(what) => f.write_str(what),
        }
    }
}
impl std::error::Error for Error {}

impl Fatal for Error {
    fn is_start_fault(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}
