//! Starting the programs that are measured, each in a session of its own, and ending them whatever happens to us.

use std::{
    env,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// Ports are taken from below those that the system gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What is to be run.
pub struct Launch {
    name: String,
    command: Command,
}

/// A program that runs. Dropping it kills it; so does our own end.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// A program to be run. It gets none of our environment's settings for backchat.
    pub fn of(path: &Path) -> Launch {
        // `setpriv` ties its life to ours. `setsid` gives it a session of its own, in which the scheduler groups it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "setsid"]).arg(path);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("BACKCHAT_")) {
            command.env_remove(name);
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Launch { name, command }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it is gone.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    pub fn stop(&mut self, patience: Duration) -> Result<(), String> {
        let kill = format!("kill -s TERM {}", self.id());
        // A program that is gone needs no signal.
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let deadline = Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return Err(format!("{} does not stop", self.name));
            }
            pause(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until `is_so`.
    ///
    /// # Errors
    /// When the program ends before, or it takes longer than `patience`; with the end of its log.
    pub fn until(&mut self, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        while !is_so() {
            let ended = !matches!(self.child.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(5).collect();
                let how = if ended { "ended" } else { "is not ready" };
                return Err(format!("{} {how}; its log ends, newest first: {}", self.name, end.join(" | ")));
            }
            pause(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Launch {
    pub fn argument(&mut self, argument: &str) -> &mut Self {
        self.command.arg(argument);
        self
    }

    pub fn set(&mut self, variable: &str, value: &str) -> &mut Self {
        self.command.env(variable, value);
        self
    }

    /// Starts it, with its log in a folder.
    pub fn start(&mut self, folder: &Path) -> Result<Program, String> {
        let fault = |error: std::io::Error| format!("{} can't be started: {error}", self.name);
        let log = folder.join(format!("{}.log", self.name));
        let out = File::create(&log).map_err(fault)?;
        let error_out = out.try_clone().map_err(fault)?;
        let command = self.command.stdin(Stdio::null()).stdout(out).stderr(error_out);
        let child = command.spawn().map_err(fault)?;
        Ok(Program { name: self.name.clone(), child, log })
    }

    /// Runs it to its end.
    pub fn run(&mut self, folder: &Path) -> Result<(), String> {
        let mut program = self.start(folder)?;
        match program.child.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => {
                let log = std::fs::read_to_string(&program.log).unwrap_or_default();
                Err(format!("{} failed: {}", self.name, log.trim().replace('\n', " | ")))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the benchmark's own thread waits, and serves nobody")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A program of this workspace, built beside this one.
pub fn built(name: &str) -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name(name);
    let missing = || format!("{name} is not built: run `make bench`, which builds it");
    path.is_file().then_some(path).ok_or_else(missing)
}

/// The NATS server that `NATS_SERVER` names, else the one on `PATH`.
pub fn nats_server() -> Result<PathBuf, String> {
    let path = env::var_os("NATS_SERVER").map_or_else(|| PathBuf::from("nats-server"), PathBuf::from);
    let runs = Command::new(&path).arg("--version").stdout(Stdio::null()).status();
    let missing =
        || format!("{} does not run: name a NATS server in NATS_SERVER (`make bench` does)", path.display());
    if runs.is_ok_and(|status| status.success()) { Ok(path) } else { Err(missing()) }
}

/// A port on 127.0.0.1 that nobody listens on, given out once in this process.
pub fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    for _ in PORTS {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, PORTS.start + offset)).is_ok() {
            return Ok(PORTS.start + offset);
        }
    }
    Err(format!("no free port from {} to {}", PORTS.start, PORTS.end))
}

/// Whether a program answers 200 at a path of its operations address.
pub fn says_yes(operations: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(operations)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
