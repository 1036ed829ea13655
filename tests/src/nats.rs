//! A real NATS server on a port and in a folder of its own.

use crate::eventually::eventually;
use crate::ports;
use crate::process::{Launch, Program};
use crate::services::Servers;
use broker::{Broker, Credentials};
use std::path::{Path, PathBuf};
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
    launch: Launch,
    folder: TempDir,
}

/// A server that is to be made.
pub struct Draft {
    /// How the harness calls it.
    pub name: String,
    pub port: u16,
    /// Where its streams are kept; a folder of its own when nothing is said. It is unmounted and removed when this process
    /// ends and has not done so.
    pub store: Option<PathBuf>,
    /// Bytes of streams that it keeps, at most; as many as it finds free when nothing is said.
    pub store_bytes_max: Option<u64>,
    /// Lines of its settings besides the usual ones.
    pub settings: String,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: "nats-server".into(),
            port: ports::free(),
            store: None,
            store_bytes_max: None,
            settings: String::new(),
        }
    }
}

impl Draft {
    /// The server, not running yet.
    ///
    /// # Panics
    /// When there is no server to start.
    pub fn prepared(self) -> Nats {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let scratch = self.store.clone();
        let store = self.store.unwrap_or_else(|| folder.path().join("store"));
        let limit =
            self.store_bytes_max.map_or_else(String::new, |bytes| format!(", max_file_store: {bytes}"));
        let settings = format!(
            "listen: \"127.0.0.1:{}\"\nmax_payload: 1MB\njetstream {{ store_dir: {store:?}, sync_interval: always{limit} }}\n{}",
            self.port, self.settings,
        );
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, settings).expect("a file can be written");
        let mut launch = Launch::new(&server(), folder.path())
            .named(&self.name)
            .argument("-c")
            .argument(file.to_string_lossy());
        launch.scratch = scratch;
        Nats { port: self.port, program: None, launch, folder }
    }

    /// The server, running and answering.
    ///
    /// # Panics
    /// When there is no server to start, or it does not answer in time.
    pub async fn start(self) -> Nats {
        let mut nats = self.prepared();
        nats.restart().await;
        nats
    }
}

impl Nats {
    /// Starts an empty one and waits until it answers.
    ///
    /// # Panics
    /// When there is no server to start, or it does not answer in time.
    pub async fn start() -> Self {
        Draft::default().start().await
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port and store; ends it first where it still runs.
    pub async fn restart(&mut self) {
        self.start_without_waiting();
        self.greets().await;
    }

    pub fn start_without_waiting(&mut self) {
        self.program = None;
        self.program = Some(Program::start(self.launch.clone()));
    }

    /// Waits until it takes connections.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn greets(&self) {
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
    pub async fn pause(&mut self) {
        self.running().pause().await;
    }

    pub fn resume(&mut self) {
        self.running().resume();
    }

    /// Memory that it takes, while it runs.
    pub fn memory(&self) -> Option<crate::process::Memory> {
        self.program.as_ref()?.memory()
    }

    /// The folder with its settings, its log, and what it stored.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("the server was started")
    }

    /// A connection of the test's own.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn connect(&self) -> Broker {
        connect(Credentials::of_nobody(self.url(), "tests")).await
    }

    /// A connection for the broker's own API.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.expect("the broker takes a connection")
    }
}

impl Servers for Nats {
    fn urls(&self) -> String {
        self.url()
    }

    fn replicas(&self) -> usize {
        1
    }

    fn folders(&self) -> Vec<&Path> {
        vec![self.folder()]
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
