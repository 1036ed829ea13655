//! What is written in files.

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

/// Writes a file so that whoever reads it finds the old text or the new one.
///
/// # Panics
/// When it can't be written.
pub fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).expect("a file can be written");
    std::fs::rename(&beside, file).expect("a file can be put in its place");
}

fn has(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
}
