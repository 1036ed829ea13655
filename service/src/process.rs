//! How a process starts and stops: configuration, logs, sockets, signals, exit code.
//!
//! Exit codes: 0 it ended as asked, 1 it failed while it ran, 2 it could not start as configured, 130 it was told twice to
//! stop. Each error is one line on standard error.

use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Ask, ConfigFaults, Settings, Source};
use crate::{logs, probe};

/// What still runs this long after `run` returned is abandoned.
pub const LAST_TASKS_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the answer to `probe`.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// The sockets of a service, bound before it starts.
#[derive(Debug)]
pub struct Doors {
    /// Where people and programs come in; a service without pages has none.
    pub public: Option<TcpListener>,
    /// Where operators come in.
    pub operations: TcpListener,
}

/// Where the sockets of a service are to be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorAddresses {
    /// The public address, if the service has one.
    pub public: Option<SocketAddr>,
    /// The operations address.
    pub operations: SocketAddr,
}

impl Doors {
    /// Binds both sockets.
    ///
    /// # Errors
    /// One line that names the address and what is wrong with it.
    pub async fn bind(addresses: DoorAddresses) -> Result<Self, String> {
        let public = match addresses.public {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { public, operations: listen(addresses.operations).await? })
    }
}

/// Binds one address.
///
/// # Errors
/// One line that names the address and what is wrong with it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    bound(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("address {address} is in use by another process"),
        std::io::ErrorKind::PermissionDenied => {
            format!("address {address} needs more rights than this process has")
        }
        std::io::ErrorKind::AddrNotAvailable => format!("address {address} is not one of this machine's"),
        _ => format!("address {address} can't be listened on: {error}"),
    })
}

/// Connections that wait to be accepted. Everybody comes back at once after a gateway was gone; what the kernel has no place for it
/// answers with a cookie or not at all, and the peer believes for seconds that it is connected. The kernel takes less where its own
/// limit (`net.core.somaxconn`) is lower.
const BACKLOG: u32 = 4_096;

fn bound(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does, so that a restart finds its address free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An error that ends a process. It displays as one line for the person who started it.
pub trait Fatal: Display {
    /// Whether the process could not start as it was configured (exit code 2), rather than failed later (1).
    fn is_start_fault(&self) -> bool {
        false
    }
}

/// Runs a service whose sockets are bound first. This is the whole of its `main`.
pub fn main_with<S, R, E>(
    doors: impl FnOnce(&S) -> DoorAddresses,
    run: impl FnOnce(S, Doors, CancellationToken) -> R,
) -> ExitCode
where
    S: Settings,
    R: Future<Output = Result<(), E>>,
    E: Fatal,
{
    main_of(|Serving { settings, is_probe }: Serving<S>, shutdown| {
        let addresses = doors(&settings);
        async move {
            if is_probe {
                return probe_own(addresses.operations).await.map_err(Ended::Probe);
            }
            let doors = Doors::bind(addresses).await.map_err(Ended::Doors)?;
            Box::pin(run(settings, doors, shutdown)).await.map_err(Ended::Run)
        }
    })
}

/// What every service understands beside its own settings.
struct Serving<S> {
    settings: S,
    is_probe: bool,
}

impl<S: Settings> Settings for Serving<S> {
    const SERVICE: &'static str = S::SERVICE;
    const PROGRAM: &'static str = S::PROGRAM;

    fn read(source: &mut Source) -> Self {
        let is_probe = source.command(
            "probe",
            "Asks the one that runs with these settings on this machine whether it is ready; the exit code is 0 if so, else 1",
        );
        Self { settings: S::read(source), is_probe }
    }

    fn take_faults(&mut self, faults: ConfigFaults) -> Result<(), ConfigFaults> {
        self.settings.take_faults(faults)
    }
}

/// Asks whoever has the operations address whether they are ready; an image has no shell to ask with.
async fn probe_own(operations: SocketAddr) -> Result<(), String> {
    let address = probe::reachable(operations);
    let answer = probe::get(address, "/readyz", PROBE_MAX).await;
    let answer = answer.map_err(|error| format!("http://{address}/readyz: {error}"))?;
    let said = format!("http://{address}/readyz answers {}", answer.status);
    if answer.status != 200 {
        return Err(format!("{said}: {}", answer.body.trim_end()));
    }
    say(&said);
    Ok(())
}

/// Keys, passwords and texts are in this process's memory: it is written to no core file, and shown to no other process of its user.
fn keep_memory_private() {
    // Where the system refuses, the process runs on: it is as safe as others there.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}

/// Each socket is an open file, and many systems let a process have 1,024 until it asks for what it may have.
fn ask_for_open_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // It can't be refused: only more than that could.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// How many files and sockets this process may have open; `None` where the system does not say.
#[must_use]
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(now, _)| now)
}

enum Ended<E> {
    Doors(String),
    Probe(String),
    Run(E),
}

impl<E: Display> Display for Ended<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Doors(fault) | Self::Probe(fault) => formatter.write_str(fault),
            Self::Run(error) => error.fmt(formatter),
        }
    }
}

impl<E: Fatal> Fatal for Ended<E> {
    fn is_start_fault(&self) -> bool {
        match self {
            Self::Doors(_) => true,
            Self::Probe(_) => false,
            Self::Run(error) => error.is_start_fault(),
        }
    }
}

/// Runs a program that binds its sockets itself.
pub fn main_of<S, R, E>(run: impl FnOnce(S, CancellationToken) -> R) -> ExitCode
where
    S: Settings,
    R: Future<Output = Result<(), E>>,
    E: Fatal,
{
    keep_memory_private();
    ask_for_open_files();
    // Two providers of rustls are compiled in, and it ends the process at its first use unless one is named. Fails only when
    // one was named before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = match settings::<S>() {
        Ok(Ask::Run(settings)) => settings,
        Ok(Ask::Say(text)) => {
            say(text.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(lines) => return refuse(S::PROGRAM, &lines),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(S::PROGRAM, &[error.to_string()]),
    };
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown).map_err(|error| (error.to_string(), true))?;
        Box::pin(run(settings, shutdown)).await.map_err(|error| (error.to_string(), error.is_start_fault()))
    });
    runtime.shutdown_timeout(LAST_TASKS_MAX);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((line, true)) => refuse(S::PROGRAM, &[line]),
        Err((line, false)) => {
            complain(S::PROGRAM, &line);
            ExitCode::FAILURE
        }
    }
}

fn settings<S: Settings>() -> Result<Ask<S>, Vec<String>> {
    let arguments = config::arguments().map_err(|faults| faults.lines().to_vec())?;
    let asked = config::ask::<S>(&arguments, config::environment());
    let logging = logs::init(S::SERVICE);
    match (asked, logging) {
        (Ok(asked), Ok(())) => Ok(asked),
        (asked, logging) => {
            let mut lines = asked.err().map(|faults| faults.lines().to_vec()).unwrap_or_default();
            lines.extend(logging.err());
            Err(lines)
        }
    }
}

/// Cancels `shutdown` at the first SIGINT or SIGTERM; the second ends the process on the spot with exit code 130.
fn stop_on_signal(shutdown: &CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if shutdown.is_cancelled() {
                exit_now();
            }
            tracing::info!("asked to stop");
            shutdown.cancel();
        }
    });
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a person who asks twice wants no orderly stop")]
fn exit_now() -> ! {
    std::process::exit(130)
}

/// Prints one line for the person at the terminal. What they can no longer read is not an error.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(service: &str, line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{service}: {}", line.replace('\n', " "));
}

fn refuse(service: &str, lines: &[String]) -> ExitCode {
    for line in lines {
        complain(service, line);
    }
    ExitCode::from(2)
}
