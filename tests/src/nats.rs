//! A real NATS server on a port and in a folder of its own.

use crate::eventually::eventually;
use crate::ports;
use crate::process::{Launch, Program};
use broker::{Broker, Credentials};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Atomic batches came with this version.
const VERSION_NEEDED: (u32, u32) = (2, 12);

/// The server. Dropping it ends it and removes what it stored.
pub struct Nats {
    port: u16,
    program: Option<Program>,
    folder: TempDir,
}

impl Nats {
    /// Starts an empty one and waits until it answers.
    ///
    /// # Panics
    /// When there is no server to start, or it does not answer in time.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut nats = Self { port: ports::free(), program: None, folder };
        let settings = format!(
            "listen: \"127.0.0.1:{}\"\nmax_payload: 1MB\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            nats.port,
            nats.folder.path().join("store"),
        );
        std::fs::write(nats.folder.path().join("nats.conf"), settings).expect("a file can be written");
        nats.restart().await;
        nats
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port and store; ends it first where it still runs.
    pub async fn restart(&mut self) {
        self.program = None;
        let launch = Launch::new(&server(), self.folder.path())
            .argument("-c")
            .argument(self.folder.path().join("nats.conf").to_string_lossy());
        self.program = Some(Program::start(launch));
        let address = self.address();
        eventually("the NATS server greets", Duration::from_secs(30), || greets(&address)).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running().kill();
        self.program = None;
    }

    /// Stops it in order.
    pub async fn stop(&mut self) {
        self.running().terminate();
        self.running().ended(Duration::from_secs(30)).await;
        self.program = None;
    }

    /// Stops it where it stands: connections stay open and say nothing.
    pub fn pause(&mut self) {
        self.running().pause();
    }

    pub fn resume(&mut self) {
        self.running().resume();
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("the server was started")
    }

    /// A connection of the test's own.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn connect(&self) -> Broker {
        connect(Credentials { url: self.url(), user: None, password: None, name: "tests".into() }).await
    }
}

/// A connection of the test's own to a broker that asks for credentials.
///
/// # Panics
/// When none comes about.
pub async fn connect(credentials: Credentials) -> Broker {
    Broker::connect(&credentials, Duration::from_secs(20)).await.expect("the broker takes a connection")
}

async fn greets(address: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await.ok()?;
    (&greeting == b"INFO").then_some(())
}

/// The server to run: what `NATS_SERVER` names, else one on `PATH` that is new enough, else the pinned one that
/// `make test` fetches.
///
/// # Panics
/// When there is none.
pub fn server() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let pinned = PathBuf::from(home).join(".cache/backchat/nats/bin/nats-server");
    let candidates = named.into_iter().chain([PathBuf::from("nats-server"), pinned]);
    candidates
        .into_iter()
        .find(is_new_enough)
        .expect("a nats-server of 2.12 or newer (`make test` fetches one)")
}

fn is_new_enough(program: &PathBuf) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.rsplit('v').next().unwrap_or_default();
    let mut numbers = version.trim().split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= VERSION_NEEDED)
}
