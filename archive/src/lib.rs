//! A backup as files, in a folder or in a bucket of an S3-like store: what each is, that none was changed, and that none is missing.
//!
//! [`Archive::create`] writes one, [`Archive::open`] reads it. The list of its files, with their sizes and SHA-256, is written last:
//! without it there is no backup, so that one that was cut short is never taken for a whole one. What is in the files is their
//! owners' business: streams of the broker as the broker gives them, everything else as compressed lines of JSON ([`LinesWriter`],
//! [`Lines`]).

mod error;
mod lines;
mod manifest;
mod place;
mod read;
mod write;

pub use error::Error;
pub use lines::{Lines, Packer};
pub use manifest::{FileEntry, Manifest};
pub use place::Archive;
pub use read::{Content, Opened};
pub use write::{FileWriter, LinesWriter, Written};

/// The names of the files.
pub mod names {
    use protocol::subject::Shard;

    /// The list of all others.
    pub const MANIFEST: &str = "backup.json";
    /// People's accounts.
    pub const ACCOUNTS: &str = "accounts.jsonl.gz";

    /// What the history has of a shard.
    #[must_use]
    pub fn history(shard: Shard) -> String {
        format!("history-{}.jsonl.gz", shard.0)
    }

    /// A stream of the broker, and what the broker says of it.
    #[must_use]
    pub fn stream(name: &str) -> String {
        format!("stream-{name}.tar.s2")
    }
    #[must_use]
    pub fn stream_description(name: &str) -> String {
        format!("stream-{name}.json")
    }
}

#[cfg(test)]
mod tests;
