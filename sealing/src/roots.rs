//! Root keys: 32 bytes each, kept outside everything that is backed up with the data, in files or by a command.

use crate::key::KEY_BYTES;
use bip39::Mnemonic;
use data_encoding::BASE64URL_NOPAD;
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What the files in a folder of root keys are called, before their version.
const FILE: &str = "root-";
/// How long a command may take that prints the root keys.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are read of a file or a command, at most.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// One root key with its version, from 1 on.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Root {
    version: u16,
    bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.version)
    }
}

/// Where root keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// Files `root-<version>`, each with one line: the key in base64url without padding. Nobody else may read them.
    Folder(PathBuf),
    /// A command for the shell that prints a line `<version> <base64url>` for each.
    Command(String),
}

/// All root keys that a process has.
#[derive(Clone)]
pub struct Roots(BTreeMap<u16, Root>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({:?})", self.versions())
    }
}

/// Why there are no root keys: a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFault(String);

impl fmt::Display for RootFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for RootFault {}

fn fault<T>(why: String) -> Result<T, RootFault> {
    Err(RootFault(why))
}

impl Root {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random(version: u16) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self { version, bytes })
    }

    pub const fn version(&self) -> u16 {
        self.version
    }

    pub(crate) const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The key as 24 English words (BIP-39), for paper.
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy(&self.bytes).expect("32 bytes are 24 words");
        Zeroizing::new(mnemonic.to_string())
    }

    /// Reads 24 words.
    ///
    /// # Errors
    /// [`RootFault`] that names the word which is none, or says that the words do not belong together.
    pub fn of_words(version: u16, words: &str) -> Result<Self, RootFault> {
        let words = Zeroizing::new(words.to_lowercase());
        let mnemonic = match Mnemonic::parse_in_normalized(bip39::Language::English, &words) {
            Ok(mnemonic) => mnemonic,
            Err(bip39::Error::UnknownWord(at)) => {
                let word = words.split_whitespace().nth(at).unwrap_or_default();
                return fault(format!("word {} ({word}) is not one of the words: look at it again", at + 1));
            }
            Err(bip39::Error::BadWordCount(count)) => {
                return fault(format!("these are {count} words, not 24"));
            }
            Err(_) => {
                return fault(
                    "these words do not belong together: one of them is wrong, or their order".into(),
                );
            }
        };
        let (entropy, length) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        if length != KEY_BYTES {
            return fault(format!("these are {} words, not 24", mnemonic.word_count()));
        }
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(&entropy[..KEY_BYTES]);
        Ok(Self { version, bytes })
    }

    fn of_text(version: u16, text: &str) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        let bytes = decoded.as_slice().try_into().ok()?;
        (version > 0).then_some(Self { version, bytes })
    }

    fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(&self.bytes))
    }
}

impl Roots {
    /// Reads all root keys, at least one.
    ///
    /// # Errors
    /// [`RootFault`], which says what to do.
    pub fn read(source: &RootSource) -> Result<Self, RootFault> {
        let (roots, place) = match source {
            RootSource::Folder(folder) => (in_folder(folder)?, folder.display().to_string()),
            RootSource::Command(command) => (of_command(command)?, format!("`{command}`")),
        };
        let count = roots.len();
        match Self::of(roots) {
            Some(roots) => Ok(roots),
            None if count == 0 => fault(format!(
                "there is no root key in {place}: put the root keys of this installation there (files root-1, root-2 …)"
            )),
            None => fault(format!("{place} has two root keys of one version")),
        }
    }

    /// These root keys; `None` when there are none, or two of one version.
    pub fn of(roots: Vec<Root>) -> Option<Self> {
        let count = roots.len();
        let by_version: BTreeMap<_, _> = roots.into_iter().map(|root| (root.version, root)).collect();
        (count > 0 && by_version.len() == count).then_some(Self(by_version))
    }

    /// The one that wraps.
    pub fn newest(&self) -> &Root {
        let (_, newest) = self.0.last_key_value().expect("there is at least one root key");
        newest
    }

    pub fn version(&self, version: u16) -> Option<&Root> {
        self.0.get(&version)
    }

    pub fn versions(&self) -> Vec<u16> {
        self.0.keys().copied().collect()
    }
}

fn in_folder(folder: &Path) -> Result<Vec<Root>, RootFault> {
    let unreadable = |error: io::Error| {
        RootFault(format!(
            "the root keys in {} can't be read ({error}): name the folder that has them (files root-1, root-2 …)",
            folder.display()
        ))
    };
    let mut roots = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix(FILE) {
            roots.push(in_file(&entry.path(), version)?);
        }
    }
    Ok(roots)
}

fn in_file(path: &Path, version: &str) -> Result<Root, RootFault> {
    let shown = path.display();
    let unreadable = |error: io::Error| RootFault(format!("the root key {shown} can't be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return fault(format!("the root key {shown} can be read by others: chmod 600 {shown}"));
    }
    let text = read_text(file).map_err(unreadable)?;
    let root = version.parse().ok().and_then(|version| Root::of_text(version, text.trim()));
    root.ok_or_else(|| {
        RootFault(format!("{shown} is no root key: it must have one line of 43 letters of base64url"))
    })
}

fn read_text(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn of_command(command: &str) -> Result<Vec<Root>, RootFault> {
    let failed = |why: String| RootFault(format!("the command `{command}` gives no root keys: {why}"));
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| failed(error.to_string()))?;
    let Some(out) = child.stdout.take() else { return Err(failed("it has no output".into())) };
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || done.send(read_text(out)));
    let Ok(text) = read.recv_timeout(COMMAND_PATIENCE) else {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("it took longer than {} s", COMMAND_PATIENCE.as_secs())));
    };
    let text = text.map_err(|error| failed(error.to_string()))?;
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it failed ({status})")));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let roots = lines.map(|line| {
        let (version, key) = line.split_once(char::is_whitespace)?;
        Root::of_text(version.parse().ok()?, key.trim())
    });
    let roots: Option<Vec<_>> = roots.collect();
    roots.ok_or_else(|| failed("each line must be a version, a space, and 43 letters of base64url".into()))
}

/// Writes a root key into a folder, as a new file that nobody else may read. Gives its path.
///
/// # Errors
/// [`RootFault`], also when there is such a file.
pub fn store(folder: &Path, root: &Root) -> Result<PathBuf, RootFault> {
    let path = folder.join(format!("{FILE}{}", root.version));
    let failed =
        |error: io::Error| RootFault(format!("the root key can't be written to {}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    let line = Zeroizing::new(format!("{}\n", *root.to_text()));
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // The name must be on the disk as well.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path) -> Result<Roots, String> {
        Roots::read(&RootSource::Folder(folder.to_owned())).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_folder_keeps_roots_for_their_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("roots");
        assert!(read(&folder).unwrap_err().contains("name the folder that has them"));
        let (one, two) = (Root::random(1).unwrap(), Root::random(2).unwrap());
        let path = store(&folder, &one).unwrap();
        store(&folder, &two).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let roots = read(&folder).unwrap();
        assert_eq!(roots.versions(), [1, 2]);
        assert_eq!(roots.newest().bytes, two.bytes);
        assert_eq!(roots.version(1).unwrap().bytes, one.bytes);
        let again = store(&folder, &Root::random(1).unwrap()).unwrap_err();
        assert!(again.to_string().contains("exists"), "{again}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&folder).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "too short").unwrap();
        assert!(read(&folder).unwrap_err().contains("is no root key"));
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.join("root-2")).unwrap();
        fs::write(folder.join("notes"), "of somebody").unwrap();
        assert!(read(&folder).unwrap_err().contains("there is no root key"));
    }

    #[test]
    fn a_command_prints_roots() {
        let ask = |command: &str| {
            Roots::read(&RootSource::Command(command.to_owned())).map_err(|fault| fault.to_string())
        };
        let (one, two) = (Root::random(1).unwrap(), Root::random(2).unwrap());
        let print = format!("printf '2 %s\\n\\n1 %s\\n' {} {}", *two.to_text(), *one.to_text());
        let roots = ask(&print).unwrap();
        assert_eq!((roots.versions(), roots.newest().bytes), (vec![1, 2], two.bytes));
        assert!(ask("exit 3").unwrap_err().contains("it failed"));
        assert!(ask("echo nonsense").unwrap_err().contains("each line must be"));
        assert!(ask("true").unwrap_err().contains("there is no root key"));
        let twice = format!("printf '1 %s\\n1 %s\\n' {} {}", *two.to_text(), *one.to_text());
        assert!(ask(&twice).unwrap_err().contains("two root keys of one version"));
    }

    #[test]
    fn a_root_survives_paper_and_a_slip_of_the_pen_is_named() {
        let root = Root::random(3).unwrap();
        let words = root.words();
        assert_eq!(words.split(' ').count(), 24);
        let read = Root::of_words(3, &words.to_uppercase()).unwrap();
        assert_eq!((read.version, read.bytes), (3, root.bytes));
        let mut slip: Vec<&str> = words.split(' ').collect();
        slip[4] = "backchat";
        let why = Root::of_words(3, &slip.join(" ")).unwrap_err().to_string();
        assert!(why.contains("word 5 (backchat)"), "{why}");
        assert!(Root::of_words(3, "abandon ability").unwrap_err().to_string().contains("not 24"));
        let wrong = ["abandon"; 24].join(" ");
        assert!(Root::of_words(3, &wrong).unwrap_err().to_string().contains("do not belong together"));
    }
}
