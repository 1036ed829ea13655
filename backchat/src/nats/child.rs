//! The NATS server as a child process: started, started again when it dies, and stopped last.
//!
//! A thread of its own holds the child. The kernel is asked to end the child with its parent, and by "parent" it means the
//! thread that started it; a thread of the async runtime may end before the process does.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;
use crate::data::Data;

/// Pauses before a dead server is started again: they double from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// A server that ran this long was well, and the pauses begin anew.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// How long a server may take to stop when asked, before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// Where things are that the child needs and leaves.
#[derive(Debug, Clone)]
struct Files {
    program: PathBuf,
    conf: PathBuf,
    log: PathBuf,
    pid: PathBuf,
}

/// The supervised server.
#[derive(Debug)]
pub struct Child {
    files: Files,
    state: Arc<(Mutex<State>, Condvar)>,
    news: watch::Receiver<News>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
}

/// What the thread tells.
#[derive(Debug, Clone, Default)]
struct News {
    pid: Option<u32>,
    deaths: u32,
    /// Why the latest death.
    cause: String,
    ended: bool,
}

impl Child {
    /// Ends a server that an earlier backchat left behind, and starts one with the configuration at `DATA/broker/nats.conf`.
    ///
    /// # Errors
    /// [`Error::Broker`] when no thread can be had or the old server does not end.
    pub async fn start(program: PathBuf, data: &Data) -> Result<Self, Error> {
        let file = |name: &str| data.path("broker").join(name);
        let files = Files { program, conf: file("nats.conf"), log: file("nats.log"), pid: file("pid") };
        end_orphan(&files).await?;
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let (teller, news) = watch::channel(News::default());
        let supervisor = Supervisor { files: files.clone(), state: state.clone(), news: teller };
        let spawned = thread::Builder::new().name("nats-server".to_owned()).spawn(move || supervisor.run());
        spawned.map_err(|error| Error::Broker(error.to_string()))?;
        Ok(Self { files, state, news })
    }

    /// Returns when the server has died `deaths` times, with the reason that it gave.
    pub async fn died(&self, deaths: u32) -> String {
        let mut news = self.news.clone();
        // The thread tells until it has ended, so that an error means that it has.
        let cause = match news.wait_for(|news| news.deaths >= deaths).await {
            Ok(news) => news.cause.clone(),
            Err(_) => "it was stopped".to_owned(),
        };
        last_complaint(&self.files.log).unwrap_or(cause)
    }

    /// Asks the server to stop, waits, and kills it if it must.
    pub async fn stop(&self) {
        lock(&self.state.0).stopping = true;
        self.state.1.notify_all();
        let pid = self.news.borrow().pid;
        let mut news = self.news.clone();
        for signal in ["TERM", "KILL"] {
            if let Some(pid) = pid.filter(|pid| is_server(*pid, &self.files.conf)) {
                send(pid, signal).await;
            }
            if timeout(STOP_MAX, news.wait_for(|news| news.ended)).await.is_ok() {
                return;
            }
            tracing::warn!("the NATS server does not stop");
        }
    }
}

struct Supervisor {
    files: Files,
    state: Arc<(Mutex<State>, Condvar)>,
    news: watch::Sender<News>,
}

impl Supervisor {
    fn run(self) {
        let mut pause = PAUSE_FIRST;
        while !self.is_stopping() {
            let started = Instant::now();
            let cause = match self.run_once() {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            if self.is_stopping() {
                break;
            }
            if started.elapsed() > WELL_AFTER {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(cause, pause_ms = pause.as_millis(), "the NATS server ended and is started again");
            self.news.send_modify(|news| {
                news.deaths += 1;
                news.cause = cause;
            });
            self.rest(pause);
            pause = (pause * 2).min(PAUSE_LAST);
        }
        let _ = fs::remove_file(&self.files.pid);
        self.news.send_modify(|news| news.ended = true);
    }

    /// Starts the server and waits for its end.
    fn run_once(&self) -> std::io::Result<ExitStatus> {
        let log = OpenOptions::new().create(true).append(true).open(&self.files.log)?;
        let mut child = command(&self.files)
            // A signal from the terminal is for backchat, which stops the server after everything else.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        fs::write(&self.files.pid, format!("{}\n", child.id()))?;
        self.news.send_modify(|news| news.pid = Some(child.id()));
        // A stop that came between the check and the start found no process to tell.
        if self.is_stopping() {
            child.kill()?;
        }
        let status = child.wait();
        self.news.send_modify(|news| news.pid = None);
        status
    }

    fn is_stopping(&self) -> bool {
        lock(&self.state.0).stopping
    }

    fn rest(&self, pause: Duration) {
        let state = lock(&self.state.0);
        let _ = self.state.1.wait_timeout_while(state, pause, |state| !state.stopping);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `setpriv` replaces itself with the server, so that the process is the server's; where it is missing, a server that outlives a
/// killed backchat is ended at the next start.
fn command(files: &Files) -> Command {
    let mut command = match setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(&files.program);
            command
        }
        None => Command::new(&files.program),
    };
    command.arg("--config").arg(&files.conf);
    command
}

fn setpriv() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|program| program.is_file())
}

async fn end_orphan(files: &Files) -> Result<(), Error> {
    let pid = fs::read_to_string(&files.pid).ok().and_then(|text| text.trim().parse().ok());
    let Some(pid) = pid.filter(|pid| is_server(*pid, &files.conf)) else { return Ok(()) };
    tracing::info!(pid, "ending the NATS server that an earlier backchat left behind");
    for signal in ["TERM", "KILL"] {
        send(pid, signal).await;
        let deadline = Instant::now() + STOP_MAX;
        while is_server(pid, &files.conf) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    if is_server(pid, &files.conf) {
        return Err(Error::Broker(format!("process {pid}, left by an earlier backchat, can't be ended")));
    }
    Ok(())
}

/// Whether the process is a server that runs with our configuration file. A number alone says nothing: it may be another's by now.
fn is_server(pid: u32, conf: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| argument == conf.as_os_str().as_encoded_bytes())
}

async fn send(pid: u32, signal: &str) {
    let script = format!("kill -s {signal} {pid}");
    let sent = tokio::process::Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().await;
    if let Err(error) = sent {
        tracing::warn!(%error, pid, signal, "the signal was not sent");
    }
}

/// The last line of the server's log in which it says why it can't go on.
fn last_complaint(log: &Path) -> Option<String> {
    const TAIL: usize = 16 * 1024;
    let bytes = fs::read(log).ok()?;
    let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned();
    let line = tail.lines().rev().find(|line| line.contains("[FTL]") || line.starts_with("nats-server: "))?;
    let complaint = line.split_once("[FTL] ").map_or(line, |(_, complaint)| complaint);
    Some(complaint.trim_start_matches("nats-server: ").to_owned())
}
