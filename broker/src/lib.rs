//! The broker, NATS JetStream, as backchat uses it. The one crate that names `async_nats`.
//!
//! Few verbs serve every piece: [`Broker::publish`] and [`Broker::publish_batch`] write,
//! [`Broker::last`], [`Broker::last_many`] and [`Broker::read_after`] read what is stored,
//! [`Broker::subscribe`] hears what is being stored, [`Follower`] keeps up with a stream through all
//! faults, [`Broker::ask`] and [`Broker::serve`] are
//! questions between services, [`Broker::tell`] and [`Broker::hear`] what they say in passing.
//! Nothing here creates a stream but [`setup`], and [`Broker::restore`] from a backup.

mod again;
mod ask;
mod backup;
mod connection;
mod error;
mod examine;
mod follow;
mod installation;
mod lag;
mod layout;
mod life;
mod live;
mod lookups;
mod permissions;
mod read;
pub mod setup;
mod soft;
mod write;

pub use ask::{Question, Questions};
pub use backup::{StreamBackup, StreamRestore};
pub use connection::{Broker, Connection, Credentials};
pub use error::Error;
pub use examine::{Account, Replica, Server, StreamReport, refused_rights};
pub use follow::Follower;
pub use lag::Lag;
pub use layout::{Difference, Layout, is_made_anew, stream_names};
pub use live::{LiveRecord, Subscription};
pub use permissions::{Permissions, SETUP, USERS, authorization};
pub use read::{Batch, Record, StreamInfo};
pub use soft::Hearing;
pub use write::{BatchEntry, Expect, Stored};
