//! The index's files, sealed: tantivy sees them in the open, the disk never does.
//!
//! ```text
//! file = "BCS1" ‖ salt (8) ‖ chunk ‖ chunk … ‖ last chunk        a chunk is up to 16 KiB and its tag
//! ```
//!
//! Nothing is forced to the disk: the index is a cache of the log. What a power failure leaves of it does not open, and it is made
//! anew.

mod cache;
mod file;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealing::FileKey;
use tantivy::Directory;
use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{FileHandle, WatchCallback, WatchHandle, WritePtr};

use cache::Cache;
use file::{OpenFile, Writing};

/// A folder of sealed files.
#[derive(Clone)]
pub struct SealedFolder(Arc<Inner>);

struct Inner {
    path: PathBuf,
    key: FileKey,
    cache: Cache,
    is_forged: AtomicBool,
}

impl SealedFolder {
    /// The files in a folder, of which so many bytes are kept in the open in memory.
    pub fn new(path: &Path, key: FileKey, cache_bytes: usize) -> Self {
        let (path, cache) = (path.to_owned(), Cache::new(cache_bytes));
        Self(Arc::new(Inner { path, key, cache, is_forged: AtomicBool::new(false) }))
    }

    /// Whether something was read that is not what was written.
    pub fn is_forged(&self) -> bool {
        self.0.is_forged.load(Ordering::Relaxed)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.0.path) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|it| it.len()).sum()
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.0.path.join(path)
    }

    fn open(&self, path: &Path) -> Result<OpenFile, OpenReadError> {
        OpenFile::open(self, path).map_err(|error| read_fault(error, path))
    }

    /// Nothing that was altered is ever taken for what was written.
    fn forged(&self, file: &str) -> io::Error {
        self.0.is_forged.store(true, Ordering::Relaxed);
        io::Error::new(ErrorKind::InvalidData, format!("{file} is not as it was written"))
    }
}

impl fmt::Debug for SealedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedFolder({})", self.0.path.display())
    }
}

fn read_fault(error: io::Error, path: &Path) -> OpenReadError {
    match error.kind() {
        ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.to_owned()),
        _ => OpenReadError::wrap_io_error(error, path.to_owned()),
    }
}

/// Its name, to which the chunks of a file are bound.
fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Directory for SealedFolder {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.open(path)?))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        fs::remove_file(self.at(path)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError { io_error: Arc::new(error), filepath: path.to_owned() },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.at(path).try_exists().map_err(|error| read_fault(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.at(path));
        let begun = created.and_then(|file| Writing::begin(self.clone(), name(path), file));
        match begun {
            Ok(writing) => Ok(BufWriter::new(Box::new(writing))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(OpenWriteError::FileAlreadyExists(path.to_owned()))
            }
            Err(error) => Err(OpenWriteError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let file = self.open(path)?;
        file.whole().map(|bytes| bytes.to_vec()).map_err(|error| read_fault(error, path))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let next = self.at(Path::new(&format!("{}.next", name(path))));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        let mut writing = Writing::begin(self.clone(), name(path), file)?;
        writing.write_all(data)?;
        writing.end()?;
        fs::rename(next, self.at(path))
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whoever writes the index also says when it is read anew.
    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

#[cfg(test)]
mod tests;
