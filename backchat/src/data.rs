//! The data folder: who may use it, what version it has, where things are in it.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// The version of the layout below. A higher one was written by a newer backchat.
const VERSION: u32 = 1;

/// How long a lock that is taken is waited for, and the pause between two tries.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A file in a folder into which a backup is being restored.
const RESTORING: &str = "restoring";

/// What may lie in a data folder that was never finished setting up (and what file systems put into a new disk).
const OURS: [&str; 9] =
    ["lock", "version", RESTORING, "run.json", "broker", "auth", "history", "search", "lost+found"];

/// A data folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct Data {
    root: PathBuf,
    is_set_up: bool,
    _lock: File,
}

impl Data {
    /// Takes the folder, and creates it where it is missing. Nothing is touched unless it is ours or empty, its version is
    /// known, and nobody else uses it.
    ///
    /// # Errors
    /// [`Error::DataNewer`], [`Error::DataInUse`], or [`Error::Data`] with a reason for a person.
    pub async fn take(path: &Path) -> Result<Self, Error> {
        let fault = |why: String| Error::Data { path: path.to_owned(), why };
        let is_set_up = inspect(path)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| fault(describe(&error)))?;
        let lock = lock(path).await?;
        // A folder that somebody made for us may be open to others, and may belong to somebody else.
        if let Err(error) = fs::set_permissions(path, Permissions::from_mode(0o700)) {
            tracing::warn!(%error, "the data folder can't be closed to other users");
        }
        let root = fs::canonicalize(path).map_err(|error| fault(describe(&error)))?;
        Ok(Self { root, is_set_up, _lock: lock })
    }

    /// The folder, which must be set up already: nothing is created.
    ///
    /// # Errors
    /// As [`Self::take`]; [`Error::Data`] also when no chat was ever run with it.
    pub async fn take_set_up(path: &Path) -> Result<Self, Error> {
        if inspect(path)? {
            return Self::take(path).await;
        }
        Err(Error::Data { path: path.to_owned(), why: "no chat was ever run with it".to_owned() })
    }

    /// Notes that what is in the folder is restored, and may be removed when that is begun again.
    ///
    /// # Errors
    /// [`Error::Data`] when it can't be written.
    pub fn mark_restoring(&self) -> Result<(), Error> {
        self.write_private(RESTORING, "")
    }

    /// Whether an earlier start finished the set-up.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.is_set_up
    }

    /// Remembers that the set-up is finished.
    ///
    /// # Errors
    /// [`Error::Data`] when it can't be written.
    pub fn mark_set_up(&self) -> Result<(), Error> {
        self.write_private("version", &format!("{VERSION}\n"))
    }

    /// A file or folder in the data folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Creates a folder that only this user can enter.
    ///
    /// # Errors
    /// [`Error::Data`] when it can't be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        created.map(|()| path).map_err(|error| self.fault(name, &error))
    }

    /// Writes a file that only this user can read, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Data`] when it can't be written.
    pub fn write_private(&self, name: &str, text: &str) -> Result<(), Error> {
        let (path, next) = (self.path(name), self.path(&format!("{name}.next")));
        let written = private(&next).and_then(|mut file| {
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)
        });
        written.map_err(|error| self.fault(name, &error))
    }

    fn fault(&self, name: &str, error: &std::io::Error) -> Error {
        Error::Data { path: self.path(name), why: describe(error) }
    }
}

/// Says so when a folder holds anything: what is restored needs a place of its own.
///
/// # Errors
/// [`Error::Data`], also when it can't be read.
pub fn refuse_unless_free(path: &Path) -> Result<(), Error> {
    let fault = |why: String| Error::Data { path: path.to_owned(), why };
    match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault(describe(&error))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(fault(
                "it is not empty: a backup is restored into a new folder; nothing was changed".to_owned(),
            )),
        },
    }
}

/// Removes what a restore that was cut short has left, if it is that.
///
/// # Errors
/// [`Error::Data`] when it is something else, or can't be removed.
pub fn clear(path: &Path) -> Result<(), Error> {
    let fault = |why: String| Error::Data { path: path.to_owned(), why };
    if inspect(path)? && !path.join(RESTORING).exists() {
        return Err(fault(
            "it holds a chat, where a backup is to be restored first: move it away".to_owned(),
        ));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(describe(&error))),
        _ => Ok(()),
    }
}

/// Moves a folder that was restored to its place.
///
/// # Errors
/// [`Error::Data`] when something is there.
pub fn move_restored(from: &Path, to: &Path) -> Result<(), Error> {
    let moved = fs::rename(from, to).and_then(|()| fs::remove_file(to.join(RESTORING)));
    moved.map_err(|error| Error::Data { path: to.to_owned(), why: describe(&error) })
}

/// Looks without touching: whether the folder is set up. A missing or empty one is not, and is fine.
fn inspect(path: &Path) -> Result<bool, Error> {
    let fault = |why: String| Error::Data { path: path.to_owned(), why };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fault(describe(&error))),
    };
    match fs::read_to_string(path.join("version")) {
        Ok(text) => match text.trim().parse() {
            Ok(found) if found > VERSION => {
                Err(Error::DataNewer { path: path.to_owned(), found, known: VERSION })
            }
            Ok(_) => Ok(true),
            Err(_) => Err(fault("its file `version` does not hold a number".to_owned())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_foreign = |name: &str| !OURS.contains(&name.trim_end_matches(".next"));
            match entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .find(|name| is_foreign(name))
            {
                Some(name) => Err(fault(format!("it is not empty and not backchat's, it holds {name:?}"))),
                None => Ok(false),
            }
        }
        Err(error) => Err(fault(describe(&error))),
    }
}

/// Waits a moment for a lock that is taken: a killed process holds its own until the kernel has cleared it away.
async fn lock(path: &Path) -> Result<File, Error> {
    let fault = |error: &std::io::Error| Error::Data { path: path.to_owned(), why: describe(error) };
    let mut file = private(&path.join("lock")).map_err(|error| fault(&error))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_PAUSE).await,
            Err(TryLockError::WouldBlock) => {
                let pid =
                    fs::read_to_string(path.join("lock")).ok().and_then(|text| text.trim().parse().ok());
                return Err(Error::DataInUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(fault(&error)),
        }
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| fault(&error))?;
    Ok(file)
}

/// Opens for writing a file that only this user can read. What is in it stays.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => format!("not writable ({error})"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "not a folder".to_owned(),
        ErrorKind::NotFound => format!("can't be created ({error})"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(path: &Path) -> Result<Data, Error> {
        Data::take(path).await
    }

    #[tokio::test]
    async fn a_missing_folder_is_created_for_its_user_alone() {
        let temp = tempfile::tempdir().unwrap();
        let data = take(&temp.path().join("a/b")).await.unwrap();
        assert!(!data.is_set_up());
        let mode = fs::metadata(temp.path().join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[tokio::test]
    async fn what_was_set_up_once_stays_so() {
        let temp = tempfile::tempdir().unwrap();
        take(temp.path()).await.unwrap().mark_set_up().unwrap();
        assert!(take(temp.path()).await.unwrap().is_set_up());
    }

    #[tokio::test]
    async fn a_set_up_that_was_cut_short_is_done_again() {
        let temp = tempfile::tempdir().unwrap();
        take(temp.path()).await.unwrap().folder("broker").unwrap();
        assert!(!take(temp.path()).await.unwrap().is_set_up());
    }

    #[tokio::test]
    async fn a_folder_in_use_names_its_user() {
        let temp = tempfile::tempdir().unwrap();
        let _first = take(temp.path()).await.unwrap();
        match take(temp.path()).await {
            Err(Error::DataInUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("the folder is in use: {other:?}"),
        }
    }

    #[tokio::test]
    async fn data_of_a_newer_version_is_not_touched() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("version"), "2\n").unwrap();
        assert!(matches!(take(temp.path()).await, Err(Error::DataNewer { found: 2, known: 1, .. })));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn somebodys_folder_is_not_taken() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("holiday.jpg"), "").unwrap();
        assert!(take(temp.path()).await.unwrap_err().to_string().ends_with("it holds \"holiday.jpg\""));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn only_what_a_restore_has_left_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        let (chat, cut) = (temp.path().join("chat"), temp.path().join("cut"));
        take(&chat).await.unwrap().mark_set_up().unwrap();
        assert!(clear(&chat).unwrap_err().to_string().contains("holds a chat"));
        let data = take(&cut).await.unwrap();
        data.mark_restoring().unwrap();
        data.mark_set_up().unwrap();
        drop(data);
        clear(&cut).unwrap();
        assert!(chat.exists() && !cut.exists());
        clear(&cut).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_not_a_folder() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(take(&file).await.unwrap_err().to_string().ends_with("not a folder"));
        assert!(take(&file.join("data")).await.unwrap_err().to_string().ends_with("not a folder"));
    }

    #[tokio::test]
    async fn a_private_file_is_replaced_whole() {
        let temp = tempfile::tempdir().unwrap();
        let data = take(temp.path()).await.unwrap();
        data.write_private("run.json", "a longer text").unwrap();
        data.write_private("run.json", "short").unwrap();
        assert_eq!(fs::read_to_string(data.path("run.json")).unwrap(), "short");
        assert_eq!(fs::metadata(data.path("run.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
