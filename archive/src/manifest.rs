//! The list of a backup's files.

use protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of the backchat that made it.
    pub made_by: String,
    pub made_at: Timestamp,
    /// Into how many shards the log is cut.
    pub shards: u16,
    pub files: Vec<FileEntry>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// The format that this code writes, and the newest that it reads.
    pub const FORMAT: u32 = 1;
    /// A list that is longer is none of ours.
    pub(crate) const BYTES_MAX: u64 = 1024 * 1024;

    /// The entry of a file, if the backup has it.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }

    /// How many bytes all files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
