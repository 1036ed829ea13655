//! Running a real program: started with settings, hurt by signals, its log shown when a test fails.

use crate::eventually::eventually;
use crate::http;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Lines of a program's log that a failing test shows.
const LOG_LINES_SHOWN: usize = 60;

/// What to run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// How the harness calls it.
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// What it reads at its standard input.
    pub input: Option<String>,
    /// Where its output is kept; every start adds to it.
    pub log: PathBuf,
    /// A folder of the program alone, to be unmounted and removed when this process ends and has not removed it.
    pub scratch: Option<PathBuf>,
}

impl Launch {
    pub fn new(program: &Path, folder: &Path) -> Self {
        let name = program.file_name().map_or_else(|| "program".into(), |name| name.to_string_lossy());
        Self {
            log: folder.join(format!("{name}.log")),
            name: name.into_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            scratch: None,
        }
    }

    pub fn named(mut self, name: &str) -> Self {
        self.log.set_file_name(format!("{name}.log"));
        name.clone_into(&mut self.name);
        self
    }

    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The words of a command line, each an argument.
    pub fn words(self, words: &str) -> Self {
        words.split(' ').fold(self, Self::argument)
    }

    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    pub fn set(mut self, variable: &str, value: impl ToString) -> Self {
        self.environment.push((variable.into(), value.to_string()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // What the machine's owner has set must not change a test.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BACKCHAT_"))
        {
            command.env_remove(name);
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it can't be started or does not end within `patience`.
    pub async fn to_the_end(&self, patience: Duration) -> Ended {
        let mut program = Program::start(self.clone());
        let code = program.ended(patience).await;
        Ended { code, output: program.log() }
    }
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// Both its outputs.
    pub output: String,
}

/// Memory of a running program that is not swapped out, in KiB: now, and at most since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub resident_kib: u64,
    pub peak_kib: u64,
}

/// A program that runs. Dropping it kills it and what it started.
pub struct Program {
    launch: Launch,
    child: Child,
    leash: Child,
}

impl Program {
    /// Starts it, at the head of a process group of its own.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(launch: Launch) -> Self {
        let log = File::options().create(true).append(true).open(&launch.log).expect("a log can be written");
        let error_log = log.try_clone().expect("a file has a second handle");
        let mut command = launch.command();
        command.stdout(log).stderr(error_log).process_group(0);
        if let Some(input) = &launch.input {
            let file = launch.log.with_extension("input");
            std::fs::write(&file, input).expect("an input can be written");
            command.stdin(File::open(file).expect("what was written can be read"));
        }
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} can't be started: {error}", launch.program.display()));
        let leash = leash(child.id(), launch.scratch.as_deref());
        Self { launch, child, leash }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        signal(self.id(), "TERM");
    }

    /// Has it crash, and says whether the system wrote its memory to a core file.
    ///
    /// # Panics
    /// When it can't be waited for.
    pub fn crashes(&mut self) -> bool {
        signal(self.id(), "ABRT");
        self.child.wait().expect("a child can be waited for").core_dumped()
    }

    /// Stops it where it stands: its connections stay open and say nothing.
    ///
    /// # Panics
    /// When a thread of it goes on.
    pub async fn pause(&self) {
        pause(self.id()).await;
    }

    pub fn resume(&self) {
        signal(self.id(), "CONT");
    }

    pub fn is_running(&mut self) -> bool {
        self.exit_code().is_none()
    }

    /// The exit code, 128 and the signal's number when a signal ended it; `None` while it runs.
    ///
    /// # Panics
    /// When it can't be waited for.
    pub fn exit_code(&mut self) -> Option<i32> {
        let ended = self.child.try_wait().expect("a child can be waited for");
        ended.map(|status| status.code().unwrap_or(128 + status.signal().unwrap_or(0)))
    }

    /// Waits for its end and gives the exit code.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    pub async fn ended(&mut self, patience: Duration) -> i32 {
        let what = format!("{} ends", self.launch.name);
        eventually(&what, patience, || {
            let ended = self.exit_code();
            async move { ended }
        })
        .await
    }

    /// Waits until `GET path` at `address` answers 200.
    ///
    /// # Panics
    /// When the program ends, or is not ready after `patience`.
    pub async fn ready_at(&mut self, address: &str, path: &str, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let last = match http::Ask::get(path).try_send(address).await {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => error,
            };
            let name = &self.launch.name;
            assert!(matches!(self.child.try_wait(), Ok(None)), "{name} ended before it was ready");
            assert!(tokio::time::Instant::now() < deadline, "{name} is not ready after {patience:?}: {last}");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Memory that it takes; `None` when it has ended.
    pub fn memory(&self) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        Some(Memory { resident_kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }

    /// What it has said so far, on both its outputs.
    pub fn log(&self) -> String {
        fs::read(&self.launch.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        signal_group(self.id(), "KILL");
        let _ = self.child.wait();
        let _ = self.leash.kill();
        let _ = self.leash.wait();
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

impl Program {
    #[expect(clippy::print_stderr, reason = "the test runner keeps it and shows it beside the failure")]
    fn show_log(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        eprintln!("--- {} said at last:\n{}", self.launch.name, shown.join("\n"));
    }
}

/// Ends the program's group when this process ends in whatever way: only then does the pipe close that it reads.
fn leash(group: u32, scratch: Option<&Path>) -> Child {
    const SCRIPT: &str = r#"read -r _; kill -s KILL -- "-$1" 2>/dev/null; [ -z "$2" ] || { sleep 1; umount -l -- "$2" 2>/dev/null; rm -rf -- "$2"; }"#;
    waits_for_the_end(&[SCRIPT, "leash", &group.to_string()], &[scratch.unwrap_or(Path::new(""))])
}

/// A shell whose input ends when this process does.
fn waits_for_the_end(words: &[&str], paths: &[&Path]) -> Child {
    Command::new("sh")
        .arg("-c")
        .args(words)
        .args(paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("there is a shell")
}

/// Has a folder removed when this process ends in whatever way.
pub fn goes_with_this_process(folder: &Path) -> Child {
    const SCRIPT: &str = r#"read -r _; rm -rf -- "$1""#;
    waits_for_the_end(&[SCRIPT, "folder"], &[folder])
}

/// Sends a signal to one process.
pub fn signal(process: u32, signal: &str) {
    shell_kill(signal, &process.to_string());
}

/// Stops a process where it stands, and waits until each of its threads does: on a busy machine they run on for
/// milliseconds after the signal, which is long enough to store a message.
///
/// # Panics
/// When a thread still runs after five seconds.
async fn pause(process: u32) {
    signal(process, "STOP");
    let what = format!("process {process} stands still");
    eventually(&what, Duration::from_secs(5), || async { stands(process).then_some(()) }).await;
}

/// Whether every thread of a process is stopped (`T` in proc_pid_stat(5)).
fn stands(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 't']))
    })
}

fn signal_group(group: u32, signal: &str) {
    shell_kill(signal, &format!("-{group}"));
}

fn shell_kill(signal: &str, target: &str) {
    let kill = format!("kill -s {signal} -- {target} 2>/dev/null");
    let _ = Command::new("sh").args(["-c", &kill]).status();
}

/// A program of this workspace, built beside the test that asks for it.
///
/// # Panics
/// When it was not built.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo build --workspace` first (make test does)")
    })
}

/// Where what a run leaves to be looked at goes: the folder above the one with the built programs.
pub fn target_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    let debug = own.ancestors().find(|folder| folder.join("deps").is_dir());
    debug.and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_owned)
}
