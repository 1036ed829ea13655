//! The auth service.
pub mod config;
mod cookies;
mod hashing;
mod limiter;
mod names;
mod next;
mod passwords;
mod proxies;
mod rotation;
mod store;
