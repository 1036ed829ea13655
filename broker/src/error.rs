use std::fmt;

/// What can go wrong with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no connection now; the client goes on trying by itself.
    Disconnected,
    /// No answer in time. What was asked may or may not have happened.
    TimedOut,
    /// Nobody listens: the stream or the service is not there.
    NobodyThere(String),
    /// Somebody was first: a subject had another last sequence than expected, or a batch
    /// repeated an id that was stored already, or the stream was made meanwhile. Read the state and decide again.
    Conflict,
    /// Too few servers are there for so many copies of a stream: those of a cluster that just started may not know each other yet.
    NoPlace(String),
    /// The broker stores no more: its disk, or a limit set on the stream, is full.
    StorageFull,
    /// The broker has no such user, or with another password.
    Denied(String),
    /// The broker refused, for this reason.
    Refused(String),
    /// The broker's answer could not be read.
    Malformed(&'static str),
    /// The broker holds something else than this program expects; a person must look.
    Setup(String),
}

impl Error {
    /// Whether the same request may succeed when it is sent again.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Disconnected | Self::TimedOut | Self::NobodyThere(_) | Self::NoPlace(_) | Self::StorageFull
        )
    }

    /// The error in a JetStream API answer (`{"error": {"err_code": …, "description": …}}`), by the
    /// server's table of error codes.
    pub(crate) fn of_api(err_code: u64, description: &str) -> Self {
        match err_code {
            10_058 | 10_071 | 10_164 | 10_201 => Self::Conflict,
            10_023 | 10_047 | 10_077 | 10_122 => Self::StorageFull,
            // The same message is being stored at this moment for an earlier request, or the servers have no leader to
            // decide it now: nothing is known before it is asked again.
            10_008 | 10_009 | 10_158 => Self::TimedOut,
            10_005 => Self::NoPlace(description.to_owned()),
            10_059 => Self::NobodyThere(description.to_owned()),
            _ => Self::Refused(format!("{description} ({err_code})")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("not connected to the broker"),
            Self::TimedOut => f.write_str("the broker did not answer in time"),
            Self::NobodyThere(what) => write!(f, "nobody answers for {what}"),
            Self::Conflict => f.write_str("somebody else was first"),
            Self::NoPlace(why) => {
                write!(f, "too few NATS servers are there for so many copies of a stream: {why}")
            }
            Self::StorageFull => f.write_str("the broker's storage is full"),
            Self::Denied(url) => write!(f, "the broker at {url} refuses this user and password"),
            Self::Refused(why) => write!(f, "the broker refused: {why}"),
            Self::Malformed(what) => write!(f, "the broker's answer has no {what}"),
            Self::Setup(why) => f.write_str(why),
        }
    }
}
impl std::error::Error for Error {}

impl From<async_nats::client::RequestError> for Error {
    fn from(error: async_nats::client::RequestError) -> Self {
        use async_nats::client::RequestErrorKind as Kind;
        match error.kind() {
            Kind::TimedOut => Self::TimedOut,
            Kind::NoResponders => Self::NobodyThere("the request".into()),
            _ => Self::Refused(error.to_string()),
        }
    }
}
