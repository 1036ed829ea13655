use std::fmt;

/// What can go wrong in a gateway.
#[derive(Debug)]
pub enum Error {
    /// The broker, on the way of a request or a frame.
    Broker(broker::Error),
    /// No such room, or none that this person may see.
    NoRoom,
    /// The person is no member of the room.
    NotAMember,
    /// The room is in a shard that was added since this gateway started, if it is anywhere: another gateway may know.
    UnknownShard,
    /// There is no key to seal with: the auth service, which makes them, did not answer, or it was destroyed.
    NoKey,
    /// The gateway can't start: a sentence for the person who started it.
    Start(String),
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<keyring::Error> for Error {
    fn from(error: keyring::Error) -> Self {
        match error {
            keyring::Error::Broker(error) => Self::Broker(error),
            keyring::Error::NoKey => Self::NoKey,
            keyring::Error::Start(why) => Self::Start(why),
        }
    }
}

impl Error {
    /// Whether it may be another way in a moment, without anybody doing something about it.
    pub fn may_pass(&self) -> bool {
        let Self::Broker(error) = self else { return false };
        *error == broker::Error::Conflict || error.is_passing() && *error != broker::Error::StorageFull
    }

    /// The HTTP status that says it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Broker(error) if error.is_passing() => 503,
            Self::NoKey | Self::UnknownShard => 503,
            Self::Broker(broker::Error::Conflict) => 409,
            Self::Broker(_) | Self::Start(_) => 500,
            Self::NoRoom => 404,
            Self::NotAMember => 403,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(error) => error.fmt(f),
            Self::NoKey => f.write_str("there is no key to seal with"),
            Self::UnknownShard => f.write_str("the room is in a shard that this gateway does not know"),
            Self::NoRoom => f.write_str("no such room"),
            Self::NotAMember => f.write_str("not a member of this room"),
            Self::Start(why) => f.write_str(why),
        }
    }
}
impl std::error::Error for Error {}

impl service::process::Fatal for Error {
    fn is_start_fault(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}
