//! What is written in files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The files below a folder that hold one of these texts. A file may go while it is looked at.
pub fn files_with(folder: &Path, needles: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files_with(&path, needles));
        } else if std::fs::read(&path).is_ok_and(|bytes| needles.iter().any(|needle| has(&bytes, needle))) {
            found.push(path);
        }
    }
    found
}

/// Writes a file that nobody else on the machine may read, so that whoever reads it finds the old text or the new one.
///
/// # Panics
/// When it can't be written.
pub fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    // One that was left behind may be open to others.
    let _ = fs::remove_file(&beside);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let written = opened.and_then(|mut open| open.write_all(text.as_bytes()));
    written.expect("a file can be written");
    fs::rename(&beside, file).expect("a file can be put in its place");
}

/// Makes a folder into which nobody else on the machine may look, with those above it.
///
/// # Errors
/// When it can't be made, or closed.
pub fn closed_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

fn has(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
}
