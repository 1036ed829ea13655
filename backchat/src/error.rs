//! What can keep backchat from running, each as one line for the person who started it.

use std::fmt;
use std::path::PathBuf;

use service::process::Fatal;

/// Why backchat does not run.
#[derive(Debug)]
pub enum Error {
    /// The address can't be listened on. The text names it.
    Address(String),
    /// The data folder can't be used.
    Data { path: PathBuf, why: String },
    /// Another backchat has the data folder.
    DataInUse { path: PathBuf, pid: Option<u32> },
    /// The data was written by a newer backchat.
    DataNewer { path: PathBuf, found: u32, known: u32 },
    /// The root keys can't be used.
    Roots(String),
    /// What was asked for is not done. The text says why.
    Refused(String),
    /// The history is not what the log says, in so many places.
    Differs(u64),
    /// So many things are wrong.
    Faults(u64),
    /// So many rooms were not made anew.
    Left(u64),
    /// No NATS server was found.
    NatsMissing,
    /// The NATS server is too old, or is none.
    NatsUnfit { path: PathBuf, found: Option<String>, needed: &'static str },
    /// The NATS server does not come up.
    Broker(String),
    /// One of the three services ended.
    Service { name: &'static str, why: String, is_start_fault: bool },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) | Self::Refused(why) => formatter.write_str(why),
            Self::Data { path, why } => write!(formatter, "data folder {}: {why}", path.display()),
            Self::DataInUse { path, pid: Some(pid) } => {
                write!(formatter, "data folder {} is in use by another backchat (pid {pid})", path.display())
            }
            Self::DataInUse { path, pid: None } => {
                write!(formatter, "data folder {} is in use by another backchat", path.display())
            }
            Self::DataNewer { path, found, known } => write!(
                formatter,
                "data folder {} has version {found}, but this backchat knows versions up to {known}: use a newer backchat",
                path.display()
            ),
            Self::Roots(why) => formatter.write_str(why),
            Self::Differs(1) => formatter.write_str("the history differs from the log in one place"),
            Self::Differs(places) => write!(formatter, "the history differs from the log in {places} places"),
            Self::Faults(1) => formatter.write_str("one fault was found"),
            Self::Faults(faults) => write!(formatter, "{faults} faults were found"),
            Self::Left(1) => formatter.write_str("one room stays as it is"),
            Self::Left(rooms) => write!(formatter, "{rooms} rooms stay as they are"),
            Self::NatsMissing => formatter.write_str(
                "no nats-server was found: put version 2.12 or newer on PATH, or name it with --nats-server",
            ),
            Self::NatsUnfit { path, found: Some(found), needed } => {
                write!(
                    formatter,
                    "{} is version {found}, but version {needed} or newer is needed",
                    path.display()
                )
            }
            Self::NatsUnfit { path, found: None, .. } => {
                write!(formatter, "{} is not a nats-server that runs on this machine", path.display())
            }
            Self::Broker(why) => write!(formatter, "the NATS server does not come up: {why}"),
            Self::Service { name, why, .. } => write!(formatter, "the {name} ended: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl Fatal for Error {
    fn is_start_fault(&self) -> bool {
        match self {
            Self::Service { is_start_fault, .. } => *is_start_fault,
            Self::Differs(_) | Self::Faults(_) | Self::Left(_) => false,
            _ => true,
        }
    }
}
