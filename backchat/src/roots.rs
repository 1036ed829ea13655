//! The root keys of the single-node edition: made once, outside the data folder, and never made again for data that are there.

use std::path::Path;

use broker::Broker;
use protocol::keys::KeyState;
use protocol::subject;
use sealing::{Root, RootSource, Roots};
use service::process::say;

use crate::Error;
use crate::data::Data;

/// Sees to it that the folder has root keys: a new installation gets its first, and is told to keep a copy.
///
/// # Errors
/// [`Error::Roots`] when they lie among the data, are missing, or can't be read.
pub fn prepare(folder: &Path, data: &Data) -> Result<Roots, Error> {
    refuse_inside(folder, &data.path(""))?;
    match read(folder) {
        Ok(roots) => Ok(roots),
        Err(_) if !data.is_set_up() && is_empty(folder) => make_first(folder),
        Err(why) => {
            Err(Error::Roots(format!("the data in {} can't be opened: {why}", data.path("").display())))
        }
    }
}

/// Reads the root keys of a folder.
///
/// # Errors
/// [`Error::Roots`], which names the folder.
pub fn read(folder: &Path) -> Result<Roots, Error> {
    let read = Roots::read(&RootSource::Folder(folder.to_owned()));
    read.map_err(|fault| Error::Roots(fault.to_string()))
}

/// # Errors
/// [`Error::Roots`] when root keys would lie in the data folder, where every copy of the data would have them.
pub fn refuse_inside(folder: &Path, data: &Path) -> Result<(), Error> {
    if !is_within(folder, data) {
        return Ok(());
    }
    Err(Error::Roots(format!(
        "the root keys must not lie in the data folder ({}), or every copy of the data would open itself: choose another folder with --roots",
        folder.display()
    )))
}

/// Whether these are the root keys of these data, by the canary that the auth service put among the keys. Without one nothing was
/// sealed yet; and what the broker can't answer now the services ask again.
///
/// # Errors
/// [`Error::Roots`] with both folders' names when they are not.
pub async fn check_canary(
    broker: &Broker,
    roots: &Roots,
    (folder, data): (&Path, &Path),
) -> Result<(), Error> {
    let canary = broker.last_confirmed(subject::KEYS_STREAM, subject::CANARY).await.ok().flatten();
    let Some(KeyState::Wrapped { key }) = canary.and_then(|canary| KeyState::decode(&canary.payload)) else {
        return Ok(());
    };
    roots.unwrap(subject::CANARY, &key).map(drop).map_err(|why| {
        Error::Roots(format!(
            "the root keys in {} do not open the data in {}, these are not the root keys of this installation: {why}",
            folder.display(),
            data.display()
        ))
    })
}

fn make_first(folder: &Path) -> Result<Roots, Error> {
    let fault = |why: &dyn std::fmt::Display| Error::Roots(format!("no root key can be made: {why}"));
    let root = Root::random(1).map_err(|error| fault(&error))?;
    let path = sealing::store(folder, &root).map_err(|error| fault(&error))?;
    say(&format!(
        "A root key was made: {}. Whoever has it and the data reads everything; without it nobody does, you neither. \
         Copy it to a safe place now, and never into the same backup as the data.",
        path.display()
    ));
    read(folder)
}

/// Whether there is no such folder, or nothing in it.
fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// Whether a folder, which need not be there yet, would lie in another.
fn is_within(folder: &Path, other: &Path) -> bool {
    let Ok(other) = other.canonicalize() else { return false };
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute
        .ancestors()
        .find_map(|known| known.canonicalize().ok())
        .is_some_and(|known| known.starts_with(&other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn why(prepared: Result<Roots, Error>) -> String {
        prepared.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn new_data_get_a_root_key_and_keep_it() {
        let place = tempfile::tempdir().unwrap();
        let data = Data::take(&place.path().join("data")).await.unwrap();
        let folder = place.path().join("data-roots");
        assert_eq!(prepare(&folder, &data).unwrap().versions(), [1]);
        let mode = fs::metadata(folder.join("root-1")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = fs::read(folder.join("root-1")).unwrap();
        data.mark_set_up().unwrap();
        prepare(&folder, &data).unwrap();
        assert_eq!(fs::read(folder.join("root-1")).unwrap(), key);
    }

    #[tokio::test]
    async fn data_that_are_there_get_no_other_root_key() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        Data::take(&path).await.unwrap().mark_set_up().unwrap();
        let data = Data::take(&path).await.unwrap();
        let folder = place.path().join("data-roots");
        let said = why(prepare(&folder, &data));
        for part in [&path, &folder] {
            assert!(said.contains(&*part.to_string_lossy()), "{said}");
        }
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_folder_with_something_else_is_not_taken_for_root_keys() {
        let place = tempfile::tempdir().unwrap();
        let data = Data::take(&place.path().join("data")).await.unwrap();
        let folder = place.path().join("photos");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("holiday.jpg"), "").unwrap();
        assert!(why(prepare(&folder, &data)).contains("photos"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn root_keys_never_lie_among_the_data() {
        let place = tempfile::tempdir().unwrap();
        let data = Data::take(&place.path().join("data")).await.unwrap();
        std::os::unix::fs::symlink(data.path(""), place.path().join("link")).unwrap();
        for within in ["data", "data/roots", "data/a/b", "data/../data/roots", "link/roots"] {
            let said = why(prepare(&place.path().join(within), &data));
            assert!(said.contains("must not lie in the data folder"), "{within}: {said}");
        }
        for beside in ["data-roots", "roots/data", "data/../elsewhere"] {
            refuse_inside(&place.path().join(beside), &data.path("")).unwrap();
        }
    }
}
