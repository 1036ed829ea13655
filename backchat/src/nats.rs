//! The NATS server beside us: which program, with what configuration, kept running.

mod child;
mod conf;
mod find;
mod store;

pub use child::Child;
pub use conf::Conf;
pub use find::find;
pub use store::{LEFT_BYTES, limit as store_max};
