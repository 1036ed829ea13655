//! How much of the disk the streams may take.
//!
//! A server that is not told takes three quarters of what is free at its start, whatever it has stored by then: a disk that is half
//! full would be full to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes that the streams leave on the disk, for databases and index beside them. The broker takes nothing more then, and says so.
pub const LEFT_BYTES: u64 = 1 << 30;
/// The size of a block, as a file counts its own.
const BLOCK_BYTES: u64 = 512;

/// What the streams in this folder may take in all, in bytes.
///
/// # Errors
/// When folder or disk can't be looked at.
pub fn limit(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(all_but_a_rest(taken(folder)?, disk.blocks_available().saturating_mul(disk.fragment_size())))
}

/// Of a small disk less is left.
fn all_but_a_rest(taken: u64, free: u64) -> u64 {
    taken + free - LEFT_BYTES.min(free / 4)
}

fn taken(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { taken(&entry.path())? } else { found.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_counts_as_room_and_a_rest_is_left() {
        assert_eq!(all_but_a_rest(60 << 30, 40 << 30), 99 << 30);
        assert_eq!(all_but_a_rest(0, 400), 300);
        assert_eq!(all_but_a_rest(7, 0), 7);
    }

    #[test]
    fn files_in_folders_are_counted_as_the_disk_does() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        let before = taken(temp.path()).unwrap();
        fs::write(temp.path().join("a/b/1.blk"), vec![1; 1 << 20]).unwrap();
        assert!((1 << 20..2 << 20).contains(&(taken(temp.path()).unwrap() - before)));
        assert!(limit(temp.path()).unwrap() > 1 << 20);
    }
}
