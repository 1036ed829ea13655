use std::io::Write as _;
use std::sync::OnceLock;

use proptest::prelude::*;
use sealing::Key;
use tantivy::HasLen as _;
use tantivy::directory::TerminatingWrite as _;
use tempfile::TempDir;

use super::file::CHUNK_BYTES;
use super::*;

fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::random().unwrap())
}

fn folder() -> (TempDir, SealedFolder) {
    let temp = tempfile::tempdir().unwrap();
    let folder = SealedFolder::new(temp.path(), FileKey::derive(key()), 1 << 20);
    (temp, folder)
}

fn put(folder: &SealedFolder, name: &str, bytes: &[u8]) {
    let mut writing = folder.open_write(Path::new(name)).unwrap();
    writing.write_all(bytes).unwrap();
    writing.terminate().unwrap();
}

fn read(folder: &SealedFolder, name: &str) -> io::Result<Vec<u8>> {
    let file = OpenFile::open(folder, Path::new(name))?;
    file.read_bytes(0..file.len()).map(|bytes| bytes.to_vec())
}

fn text(len: usize) -> Vec<u8> {
    b"needle ".iter().copied().cycle().take(len).collect()
}

#[test]
fn a_file_is_read_as_it_was_written_and_is_not_on_the_disk_in_the_open() {
    let (temp, folder) = folder();
    for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 100_000] {
        let name = format!("{len}.idx");
        put(&folder, &name, &text(len));
        assert_eq!(read(&folder, &name).unwrap(), text(len));
        let disk = fs::read(temp.path().join(&name)).unwrap();
        assert!(!disk.windows(6).any(|window| window == b"needle"));
    }
    assert!(!folder.is_forged());
}

#[test]
fn a_small_file_is_replaced_whole() {
    let (_temp, folder) = folder();
    let path = Path::new("meta.json");
    assert!(matches!(folder.atomic_read(path), Err(OpenReadError::FileDoesNotExist(_))));
    for text in [&b"a longer text"[..], b"short"] {
        folder.atomic_write(path, text).unwrap();
        assert_eq!(folder.atomic_read(path).unwrap(), text);
    }
}

#[test]
fn what_is_deleted_can_be_read_by_whoever_has_it_open() {
    let (_temp, folder) = folder();
    put(&folder, "a.idx", &text(50_000));
    let open = folder.get_file_handle(Path::new("a.idx")).unwrap();
    folder.delete(Path::new("a.idx")).unwrap();
    assert!(!folder.exists(Path::new("a.idx")).unwrap());
    assert_eq!(open.read_bytes(40_000..50_000).unwrap().as_slice(), &text(50_000)[40_000..]);
}

#[test]
fn chunks_that_were_moved_cut_or_renamed_do_not_open() {
    let sealed = CHUNK_BYTES + sealing::CHUNK_TAG_BYTES;
    type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));
    let spoil: [Spoil<'_>; 5] = [
        ("swapped", &|file| {
            let mut bytes = fs::read(file).unwrap();
            let (left, right) = bytes[12..].split_at_mut(sealed);
            left.swap_with_slice(&mut right[..sealed]);
            fs::write(file, bytes).unwrap();
        }),
        ("cut", &|file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..12 + 2 * sealed]).unwrap();
        }),
        ("longer", &|file| {
            let mut bytes = fs::read(file).unwrap();
            let chunk = bytes[12..12 + sealed].to_vec();
            bytes.splice(12..12, chunk);
            fs::write(file, bytes).unwrap();
        }),
        ("of another file", &|file| fs::rename(file.with_file_name("b.idx"), file).unwrap()),
        ("emptied", &|file| fs::write(file, "").unwrap()),
    ];
    for (how, spoil) in spoil {
        let (temp, folder) = folder();
        put(&folder, "a.idx", &text(3 * CHUNK_BYTES));
        put(&folder, "b.idx", &text(3 * CHUNK_BYTES));
        spoil(&temp.path().join("a.idx"));
        assert!(read(&folder, "a.idx").is_err(), "{how}");
        assert!(folder.is_forged(), "{how}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_part_is_what_was_written(len in 1..60_000_usize, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let (_temp, folder) = folder();
        put(&folder, "a.idx", &text(len));
        let (one, other) = (from.index(len), to.index(len));
        let range = one.min(other)..one.max(other);
        let file = OpenFile::open(&folder, Path::new("a.idx")).unwrap();
        let part = file.read_bytes(range.clone()).unwrap();
        prop_assert_eq!(part.as_slice(), &text(len)[range]);
    }

    #[test]
    fn no_altered_bit_is_read(len in 1..40_000_usize, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (temp, folder) = folder();
        put(&folder, "a.idx", &text(len));
        let path = temp.path().join("a.idx");
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        prop_assert!(read(&folder, "a.idx").is_err());
    }
}
