//! Writing a backup, file by file.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use object_store::buffered::BufWriter;
use object_store::{ObjectStoreExt, PutPayload};
use protocol::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::{Archive, Error, FileEntry, Manifest, Packer, names};

/// Bytes that are sent to a store at once.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// A backup that is being written.
pub struct Written {
    archive: Archive,
    shards: u16,
    files: Arc<Mutex<Vec<FileEntry>>>,
}

/// A file that is being written. One that is dropped before its end is no part of the backup.
pub struct FileWriter {
    name: String,
    to: BufWriter,
    hash: Sha256,
    bytes: u64,
    files: Arc<Mutex<Vec<FileEntry>>>,
}

/// A file of lines of JSON that is being written.
pub struct LinesWriter {
    file: FileWriter,
    packer: Packer,
    lines: u64,
}

impl Written {
    pub(crate) fn new(archive: Archive, shards: u16) -> Self {
        Self { archive, shards, files: Arc::default() }
    }

    /// Begins a file.
    #[must_use]
    pub fn file(&self, name: &str) -> FileWriter {
        let to =
            BufWriter::with_capacity(Arc::clone(&self.archive.store), self.archive.path(name), PART_BYTES);
        FileWriter {
            name: name.to_owned(),
            to,
            hash: Sha256::new(),
            bytes: 0,
            files: Arc::clone(&self.files),
        }
    }

    /// Begins a file of lines.
    #[must_use]
    pub fn lines(&self, name: &str) -> LinesWriter {
        LinesWriter { file: self.file(name), packer: Packer::new(), lines: 0 }
    }

    /// Writes the list of the files, which makes them a backup.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn finish(self) -> Result<Manifest, Error> {
        let mut files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        self.archive.sync(&names).await?;
        let manifest = Manifest {
            format: Manifest::FORMAT,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: Timestamp::now(),
            shards: self.shards,
            files,
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::Failed(error.to_string()))?;
        self.archive.store.put(&self.archive.path(names::MANIFEST), PutPayload::from(text)).await?;
        self.archive.sync(&[names::MANIFEST]).await?;
        Ok(manifest)
    }
}

impl FileWriter {
    /// Adds to the file.
    ///
    /// # Errors
    /// [`Error::Failed`], here and below.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        self.hash.update(&piece);
        self.bytes += piece.len() as u64;
        self.to.put(piece).await.map_err(Error::from)
    }

    /// Ends the file; gives how many bytes it has.
    pub async fn finish(mut self) -> Result<u64, Error> {
        self.to.shutdown().await.map_err(|error| Error::Failed(error.to_string()))?;
        let sha256 = HEXLOWER.encode(&self.hash.finalize());
        let entry = FileEntry { name: self.name, bytes: self.bytes, sha256 };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(self.bytes)
    }
}

impl LinesWriter {
    /// Adds a line.
    ///
    /// # Errors
    /// [`Error::Failed`], here and below.
    pub async fn push(&mut self, line: &impl Serialize) -> Result<(), Error> {
        self.lines += 1;
        match self.packer.push(line)? {
            Some(piece) => self.file.write(piece).await,
            None => Ok(()),
        }
    }

    /// How many lines it has.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Ends the file; gives how many bytes it has.
    pub async fn finish(mut self) -> Result<u64, Error> {
        self.file.write(self.packer.rest()?).await?;
        self.file.finish().await
    }
}
