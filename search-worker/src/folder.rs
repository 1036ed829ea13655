//! The folder of the index on the disk, which one process alone uses.
//!
//! ```text
//! INDEX/lock       held while the process runs
//! INDEX/current    the number of the index that answers
//! INDEX/replay     the number of one that is made beside it
//! INDEX/<number>/  its files, sealed; `key` is their key, wrapped under a root key
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::keys::Wrapped;
use sealing::{FileKey, Key, Roots};
use tokio::time::{Instant, sleep};

use crate::index::Fault;

/// How long a lock that is taken is waited for: a killed process holds its own until the kernel has cleared it away.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, and creates it where it is missing.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn take(path: &Path) -> Result<Self, String> {
        let fault = |error: io::Error| format!("the index folder {}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        let lock = private(&path.join("lock")).map_err(fault)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("another search worker uses the index folder {}", path.display()));
                }
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            }
        }
    }

    pub fn of(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// The index that answers, if there is one.
    pub fn current(&self) -> Option<u64> {
        self.number("current")
    }

    pub fn set_current(&self, number: u64) -> io::Result<()> {
        self.write("current", number)
    }

    /// The index that is made beside it, if there is one.
    pub fn replaying(&self) -> Option<u64> {
        self.number("replay").filter(|number| Some(*number) != self.current())
    }

    pub fn set_replaying(&self, number: Option<u64>) -> io::Result<()> {
        match number {
            Some(number) => self.write("replay", number),
            None => match fs::remove_file(self.path.join("replay")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// Makes a folder for a new index, with a key of its own; gives its number.
    ///
    /// # Errors
    /// When the disk or the system's randomness fails.
    pub fn make(&self, roots: &Roots) -> io::Result<u64> {
        let number = self.all()?.into_iter().max().unwrap_or(0) + 1;
        let key = Key::random().map_err(io::Error::other)?;
        let wrapped = roots.wrap(&name(number), &key).map_err(io::Error::other)?;
        DirBuilder::new().mode(0o700).create(self.of(number))?;
        write_whole(&self.of(number).join("key"), &wrapped.0)?;
        Ok(number)
    }

    /// The key of an index. One that is wrapped under an older root key is wrapped under the newest.
    ///
    /// # Errors
    /// [`Fault::Unusable`] when it can't be had any more.
    pub fn key(&self, number: u64, roots: &Roots) -> Result<FileKey, Fault> {
        let path = self.of(number).join("key");
        let failed = |error: io::Error| Fault::Failed(error.to_string());
        let wrapped = match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map(Wrapped),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let wrapped = wrapped.map_err(|_| Fault::Unusable("its key is not there".into()))?;
        let key = roots.unwrap(&name(number), &wrapped);
        let key = key.map_err(|error| Fault::Unusable(format!("its key can't be opened: {error}")))?;
        if wrapped.root() != roots.newest().version() {
            let again = roots.wrap(&name(number), &key).map_err(io::Error::other).map_err(failed)?;
            write_whole(&path, &again.0).map_err(failed)?;
        }
        Ok(FileKey::derive(&key))
    }

    pub fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_dir_all(self.of(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what neither answers nor is being made.
    pub fn tidy(&self) -> io::Result<()> {
        let used = [self.current(), self.replaying()];
        for number in self.all()?.into_iter().filter(|number| !used.contains(&Some(*number))) {
            self.remove(number)?;
        }
        Ok(())
    }

    fn all(&self) -> io::Result<Vec<u64>> {
        let entries = fs::read_dir(&self.path)?.flatten();
        Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    fn write(&self, file: &str, number: u64) -> io::Result<()> {
        write_whole(&self.path.join(file), format!("{number}\n").as_bytes())
    }
}

/// Under which name the key of an index is wrapped.
fn name(number: u64) -> String {
    format!("backchat.search.{number}")
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = private(&next)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(next, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealing::Root;

    fn roots(versions: &[u16]) -> Vec<Root> {
        versions.iter().map(|version| Root::random(*version).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_folder_has_one_user() {
        let temp = tempfile::tempdir().unwrap();
        let _first = Folder::take(temp.path()).await.unwrap();
        let second = Folder::take(temp.path()).await.err().unwrap();
        assert!(second.contains("another search worker uses"), "{second}");
    }

    #[tokio::test]
    async fn what_is_not_used_goes() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::take(temp.path()).await.unwrap();
        let roots = Roots::of(roots(&[1])).unwrap();
        let [old, current, next] = [0; 3].map(|_| folder.make(&roots).unwrap());
        folder.set_current(current).unwrap();
        folder.set_replaying(Some(next)).unwrap();
        folder.tidy().unwrap();
        assert!(!folder.of(old).exists() && folder.of(current).exists() && folder.of(next).exists());
        folder.set_current(next).unwrap();
        assert_eq!((folder.current(), folder.replaying()), (Some(next), None), "it has taken over");
    }

    #[tokio::test]
    async fn a_key_opens_with_its_own_roots_and_follows_the_newest() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::take(temp.path()).await.unwrap();
        let (old, new) = (roots(&[1]), roots(&[2]));
        let number = folder.make(&Roots::of(old.clone()).unwrap()).unwrap();
        let others = Roots::of(roots(&[1])).unwrap();
        assert!(matches!(folder.key(number, &others), Err(Fault::Unusable(_))));
        let both = Roots::of([old, new.clone()].concat()).unwrap();
        assert!(folder.key(number, &both).is_ok());
        assert!(folder.key(number, &Roots::of(new).unwrap()).is_ok(), "it was wrapped anew");
        fs::remove_file(folder.of(number).join("key")).unwrap();
        assert!(matches!(folder.key(number, &both), Err(Fault::Unusable(_))));
    }
}
