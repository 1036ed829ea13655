use std::fmt;

use service::process::Fatal;

/// Why the search worker ends.
#[derive(Debug)]
pub enum Error {
    /// It can't start as it is set up; a person must look.
    Start(String),
    Broker(broker::Error),
    /// A task of this process ended by itself.
    Lost(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => f.write_str(why),
            Self::Broker(error) => error.fmt(f),
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
        match error {
            broker::Error::Setup(why) => Self::Start(why),
            other => Self::Broker(other),
        }
    }
}

impl From<keyring::Error> for Error {
    fn from(error: keyring::Error) -> Self {
        match error {
            keyring::Error::Broker(error) => error.into(),
            other => Self::Start(other.to_string()),
        }
    }
}
