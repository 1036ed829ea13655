//! The keys of rooms and people in use, and texts into boxes and out of them: what whoever has the root keys does with texts,
//! the gateways and the search worker.

mod alarms;
pub mod cache;
mod error;
mod keys;
pub mod sealed;

pub use alarms::Alarms;
pub use error::Error;
pub use keys::{Keyring, Opener, Texts};
