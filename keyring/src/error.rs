use std::fmt;

/// Why a key can't be had.
#[derive(Debug)]
pub enum Error {
    Broker(broker::Error),
    /// There is no key to seal with: it was never made, or it was destroyed.
    NoKey,
    /// A person must mend it: a sentence for the one who started this process.
    Start(String),
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(error) => error.fmt(f),
            Self::NoKey => f.write_str("there is no key to seal with"),
            Self::Start(why) => f.write_str(why),
        }
    }
}
impl std::error::Error for Error {}
