//! The root keys of the single-node edition: made once, outside the data folder, and never made again for data that are there.

use std::path::Path;

use sealing::{Root, RootSource, Roots};
use service::process::say;

use crate::Error;
use crate::data::Data;

/// Sees to it that the folder has root keys: a new installation gets its first, and is told to keep a copy.
///
/// # Errors
/// [`Error::Roots`] when they lie among the data, are missing, or can't be read.
pub fn prepare(folder: &Path, data: &Data) -> Result<(), Error> {
    if is_within(folder, &data.path("")) {
        return Err(Error::Roots(format!(
            "the root keys must not lie in the data folder ({}), or every copy of the data would open itself: choose another folder with --roots",
            folder.display()
        )));
    }
    let source = RootSource::Folder(folder.to_owned());
    match Roots::read(&source) {
        Ok(_) => Ok(()),
        Err(_) if !data.is_set_up() && is_empty(folder) => make_first(folder),
        Err(why) => {
            Err(Error::Roots(format!("the data in {} can't be opened: {why}", data.path("").display())))
        }
    }
}

fn make_first(folder: &Path) -> Result<(), Error> {
    let fault = |why: &dyn std::fmt::Display| Error::Roots(format!("no root key can be made: {why}"));
    let root = Root::random(1).map_err(|error| fault(&error))?;
    let path = sealing::store(folder, &root).map_err(|error| fault(&error))?;
    say(&format!(
        "A root key was made: {}. Whoever has it and the data reads everything; without it nobody does, you neither. \
         Copy it to a safe place now, and never into the same backup as the data.",
        path.display()
    ));
    Ok(())
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
