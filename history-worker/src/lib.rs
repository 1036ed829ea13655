//! The history worker: reads the log into the database and answers questions about it.

pub mod checkpoint;
pub mod projection;
pub mod store;
