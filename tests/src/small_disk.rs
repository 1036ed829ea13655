//! A disk that can be filled: a small file system in memory, mounted where this machine lets us.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Written at once while the disk is being filled; less than this may stay free.
const PIECE: [u8; 4_096] = [b'x'; 4_096];

/// The disk. Dropping it unmounts it.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// An empty one of so many MiB; `None` when this process may not mount one.
    ///
    /// # Panics
    /// When there is no room for a folder.
    pub fn of(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let size = format!("size={mib}m");
        let mount = ["mount", "-t", "tmpfs", "-o", &size, "tests"];
        run(&mount, folder.path()).then_some(Self(folder))
    }

    /// The folder that is the disk.
    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Fills it to its last page.
    ///
    /// # Panics
    /// When it can't be written at all.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file can be made");
        while ballast.write_all(&PIECE).is_ok() {}
    }

    /// Takes away what [`SmallDisk::fill`] wrote.
    pub fn free(&self) {
        // A disk that was not filled has none.
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(&["umount", "-l"], self.0.path());
    }
}

fn run(command: &[&str], folder: &Path) -> bool {
    let [program, arguments @ ..] = command else { return false };
    let done = Command::new(program).args(arguments).arg(folder).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}
