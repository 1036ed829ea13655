//! Root keys: 32 bytes each, kept outside everything that is backed up with the data, in files or by a command.

use crate::key::KEY_BYTES;
use bip39::Mnemonic;
use data_encoding::BASE64URL_NOPAD;
use nix::unistd::geteuid;
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What the files in a folder of root keys are called, before their version.
const FILE: &str = "root-";
/// How long a command may take that prints the root keys.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are read of a file or a command, at most.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// What a root key of version 0 is told.
const NO_VERSION: &str = "root keys are counted from 1: there is no version 0";
/// Bytes of 24 English words, at most: none is longer than 8 letters.
const WORDS_BYTES_MAX: usize = 24 * 9;

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
        let mut root = Self { version, bytes: [0; KEY_BYTES] };
        getrandom::fill(&mut root.bytes)?;
        Ok(root)
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
        // At once large enough: a text that grows leaves copies of its beginning behind.
        let mut text = Zeroizing::new(String::with_capacity(WORDS_BYTES_MAX));
        for (at, word) in mnemonic.words().enumerate() {
            if at > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// Reads 24 words.
    ///
    /// # Errors
    /// [`RootFault`] that names the word which is none, or says that the words do not belong together.
    pub fn of_words(version: u16, words: &str) -> Result<Self, RootFault> {
        if version == 0 {
            return fault(NO_VERSION.into());
        }
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
        let mut root = Self { version, bytes: [0; KEY_BYTES] };
        root.bytes.copy_from_slice(&entropy[..KEY_BYTES]);
        Ok(root)
    }

    fn of_text(version: u16, text: &str) -> Option<Self> {
        let mut root = Self { version, bytes: [0; KEY_BYTES] };
        let has_length = BASE64URL_NOPAD.decode_len(text.len()).ok()? == KEY_BYTES;
        let decoded = has_length && BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut root.bytes).is_ok();
        (version > 0 && decoded).then_some(root)
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
            RootSource::Command(command) => (of_command(command, COMMAND_PATIENCE)?, format!("`{command}`")),
        };
        let count = roots.len();
        match Self::of(roots) {
            Some(roots) => Ok(roots),
            None if count == 0 => fault(format!(
                "there is no root key in {place}: put the root keys of this installation there (files root-1, root-2 …)"
            )),
            None => fault(format!("{place} has two root keys of one version: take away the wrong one")),
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
    let metadata = file.metadata().map_err(unreadable)?;
    if is_open_to_others(metadata.mode(), metadata.uid() == geteuid().as_raw()) {
        return fault(format!("the root key {shown} can be read by others: chmod 600 {shown}"));
    }
    let text = read_text(file).map_err(unreadable)?;
    let root = version.parse().ok().and_then(|version| Root::of_text(version, text.trim()));
    root.ok_or_else(|| {
        RootFault(format!("{shown} is no root key: it must have one line of 43 letters of base64url"))
    })
}

/// A file of another owner can be read through its group alone: so a secret of Kubernetes with an `fsGroup` is mounted, with mode 0440.
const fn is_open_to_others(mode: u32, is_ours: bool) -> bool {
    let others = if is_ours { 0o077 } else { 0o037 };
    mode & others != 0
}

fn read_text(from: impl Read) -> io::Result<Zeroizing<String>> {
    // At once larger than what is read: a text that grows leaves copies of its beginning behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * TEXT_BYTES_MAX));
    from.take(TEXT_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn of_command(command: &str, patience: Duration) -> Result<Vec<Root>, RootFault> {
    let failed = |why: String| RootFault(format!("the command `{command}` gives no root keys: {why}"));
    let text = output(command, patience).map_err(failed)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let roots = lines.map(|line| {
        let (version, key) = line.split_once(char::is_whitespace)?;
        Root::of_text(version.parse().ok()?, key.trim())
    });
    let roots: Option<Vec<_>> = roots.collect();
    roots.ok_or_else(|| failed("each line must be a version, a space, and 43 letters of base64url".into()))
}

/// What a command prints, or what is wrong with it.
fn output(command: &str, patience: Duration) -> Result<Zeroizing<String>, String> {
    let deadline = Instant::now() + patience;
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let Some(out) = child.stdout.take() else { return Err("it has no output".into()) };
    let (done, read) = mpsc::channel();
    thread::spawn(move || done.send(read_text(out)));
    let text = read.recv_timeout(patience).ok();
    // It may have closed its output and go on.
    let Some((text, status)) = text.zip(ended(&mut child, deadline)) else {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("it took longer than {} s", patience.as_secs()));
    };
    let text = text.map_err(|error| error.to_string())?;
    if status.success() { Ok(text) } else { Err(format!("it failed ({status})")) }
}

/// Its end, if that comes in time.
#[expect(clippy::disallowed_methods, reason = "a service that starts has nothing else to do")]
fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Writes a root key into a folder, as a new file that nobody else may read. Gives its path.
///
/// # Errors
/// [`RootFault`], also when there is such a file.
pub fn store(folder: &Path, root: &Root) -> Result<PathBuf, RootFault> {
    if root.version == 0 {
        return fault(NO_VERSION.into());
    }
    let path = folder.join(format!("{FILE}{}", root.version));
    let failed =
        |error: io::Error| RootFault(format!("the root key can't be written to {}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    let line = Zeroizing::new(format!("{}\n", *root.to_text()));
    if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_all()) {
        // Half a key would stand in the way of the whole one, and of all others.
        let _ = fs::remove_file(&path);
        return Err(failed(error));
    }
    // The name must be on the disk as well.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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

        for open in [0o644, 0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let why = read(&folder).unwrap_err();
            assert!(why.contains("chmod 600") && why.contains("root-1"), "{open:o}: {why}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Of another owner, as a mounted secret is.
        assert!(!is_open_to_others(0o100_440, false) && !is_open_to_others(0o100_400, false));
        assert!([0o100_444, 0o100_460, 0o100_441].iter().all(|mode| is_open_to_others(*mode, false)));
        fs::write(&path, "too short").unwrap();
        assert!(read(&folder).unwrap_err().contains("is no root key"));
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.join("root-2")).unwrap();
        fs::write(folder.join("notes"), "of somebody").unwrap();
        assert!(read(&folder).unwrap_err().contains("there is no root key"));
    }

    #[test]
    fn a_file_that_is_no_root_is_named() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), &Root::random(1).unwrap()).unwrap();
        let line = fs::read_to_string(folder.path().join("root-1")).unwrap();
        assert_eq!(line.trim_end().len(), 43);
        let named = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let why = read(folder.path()).map(drop);
            fs::remove_file(&path).unwrap();
            why
        };
        let (short, long, two) = (&line[..42], format!("A{line}"), format!("{line}{line}"));
        for (name, text) in [
            ("root-", &*line),
            ("root-0", &line),
            ("root-2.bak", &line),
            ("root-65536", &line),
            ("root-2", ""),
            ("root-2", short),
            ("root-2", &long),
            ("root-2", &two),
            ("root-2", &"*".repeat(43)),
        ] {
            let why = named(name, text).unwrap_err();
            assert!(why.contains(&format!("{name} is no root key")), "{name}: {why}");
            assert!(!why.contains(short), "a root key is shown");
        }
        let why = named("root-01", &line).unwrap_err();
        assert!(why.contains("two root keys of one version"), "{why}");
        assert_eq!(named("roots.txt", &line), Ok(()));
    }

    #[test]
    fn roots_are_counted_from_1() {
        let folder = tempfile::tempdir().unwrap();
        let none = Root::random(0).unwrap();
        assert!(store(folder.path(), &none).unwrap_err().to_string().contains("no version 0"));
        assert!(Root::of_words(0, &none.words()).unwrap_err().to_string().contains("no version 0"));
        assert!(Roots::of(vec![]).is_none());
    }

    #[test]
    fn a_command_that_does_not_end_is_not_waited_for() {
        for command in ["exec sleep 20", "exec >&-; sleep 20"] {
            let began = Instant::now();
            let why = of_command(command, Duration::from_millis(200)).unwrap_err().to_string();
            assert!(why.contains("it took longer than") && why.contains(command), "{why}");
            assert!(began.elapsed() < Duration::from_secs(10), "{command}");
        }
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
        let why = ask("exit 3").unwrap_err();
        assert!(why.contains("`exit 3`") && why.contains("it failed (exit status: 3)"), "{why}");
        let why = ask(&format!("{print}; exit 1")).unwrap_err();
        assert!(why.contains("it failed"), "what a failed command printed was taken");
        assert!(ask("printf '\\377'").is_err());
        assert!(ask("yes | head -c 200000").is_err());
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
        let twelve = format!("{} about", ["abandon"; 11].join(" "));
        assert!(Root::of_words(3, &twelve).unwrap_err().to_string().contains("12 words, not 24"));
        assert!(words.capacity() <= WORDS_BYTES_MAX, "the words were copied as they grew");
        let wrong = ["abandon"; 24].join(" ");
        assert!(Root::of_words(3, &wrong).unwrap_err().to_string().contains("do not belong together"));
    }
}
