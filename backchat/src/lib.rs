//! The single-node edition: the gateway, the history worker, the search worker and the auth service in one process, with both
//! databases embedded, and a real NATS server as a supervised child. It calls the same four `run()`s as the separate programs;
//! nothing here stands in for anything.

mod backup;
mod config;
mod data;
mod doctor;
mod erase;
mod error;
mod ground;
mod history;
mod keys;
mod nats;
mod operator;
mod reach;
mod reader;
mod restore;
mod roots;
mod rotate;
mod run;
mod run_file;
mod search;
mod services;
mod trial;

pub use config::Config;
pub use error::Error;
pub use run::run;
