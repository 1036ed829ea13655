//! The single-node edition as its owner runs it: one program, one folder.

use crate::nats::{self, server};
use crate::ports;
use crate::process::{Launch, Program, built, signal};
use crate::usage::Usage;
use broker::{Broker, Credentials};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Longest wait from the start of the program to the first answer of `/readyz`.
pub const START: Duration = Duration::from_secs(90);
/// Longest wait for an orderly stop.
pub const STOP: Duration = Duration::from_secs(40);

/// The program with its folder. Dropping it ends the program and removes the folder.
pub struct Backchat {
    program: Option<Program>,
    launch: Launch,
    port: u16,
    folder: TempDir,
}

/// What `run.json` tells tools.
#[derive(Debug, Deserialize)]
struct Run {
    nats_url: String,
    nats_user: String,
    nats_password: String,
    addresses: RunAddresses,
}

#[derive(Debug, Deserialize)]
struct RunAddresses {
    gateway_operations: String,
}

impl Backchat {
    /// Starts one with the product's own settings and waits until it is ready.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts one with these variables set.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let mut backchat = Self::prepared(settings);
        backchat.start_again().await;
        backchat
    }

    /// One that lets a test send as fast as it can.
    pub async fn without_rate_limit() -> Self {
        Self::with(&UNLIMITED).await
    }

    /// The folder and the command, with nothing running yet.
    pub fn prepared(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let port = ports::free();
        let mut launch = Self::command(port, &folder.path().join("data"), folder.path());
        launch.scratch = Some(folder.path().to_owned());
        for (name, value) in settings {
            launch = launch.set(name, value);
        }
        Self { program: None, launch, port, folder }
    }

    /// The command that runs the program on a port and a DATA folder.
    pub fn command(port: u16, data: &Path, logs: &Path) -> Launch {
        let launch = bare(port, data, logs).argument("--roots").argument(crate::keys::folder());
        with_server(launch)
    }

    /// The same with root keys that it makes itself, beside the data.
    pub fn command_with_its_own_roots(port: u16, data: &Path, logs: &Path) -> Launch {
        with_server(bare(port, data, logs))
    }

    pub fn launch(&self) -> Launch {
        self.launch.clone()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The DATA folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the program (again) and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.start_without_waiting();
        self.ready().await;
    }

    pub fn start_without_waiting(&mut self) {
        self.program = None;
        self.program = Some(Program::start(self.launch.clone()));
    }

    pub async fn ready(&mut self) {
        let address = self.address();
        self.running().ready_at(&address, "/readyz", START).await;
    }

    /// `kill -9` of the program alone.
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// `kill -9` of the broker child alone; gives its process id.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_broker(&self) -> u32 {
        let id = self.broker_id().expect("a broker child runs");
        signal(id, "KILL");
        id
    }

    /// The broker child's process id, where one runs.
    pub fn broker_id(&self) -> Option<u32> {
        let id: u32 = std::fs::read_to_string(self.data().join("broker/pid")).ok()?.trim().parse().ok()?;
        let command = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains("nats").then_some(id)
    }

    /// Asks the program to stop and gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.running().terminate();
        self.running().ended(STOP).await
    }

    pub async fn ended(&mut self, patience: Duration) -> i32 {
        self.running().ended(patience).await
    }

    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    /// The program's own process id.
    pub fn id(&self) -> u32 {
        self.program.as_ref().expect("the program was started").id()
    }

    /// A connection of the test's own to the program's broker.
    ///
    /// # Panics
    /// When `run.json` does not say how.
    pub async fn broker(&self) -> Broker {
        let run = self.run();
        let (user, password) = (Some(run.nats_user), Some(run.nats_password));
        let credentials = Credentials { user, password, ..Credentials::of_nobody(run.nats_url, "tests") };
        nats::connect(credentials).await
    }

    /// A connection for the API of the program's broker.
    ///
    /// # Panics
    /// When `run.json` does not say how.
    pub async fn client(&self) -> async_nats::Client {
        let run = self.run();
        let options = async_nats::ConnectOptions::with_user_and_password(run.nats_user, run.nats_password);
        options.connect(run.nats_url).await.expect("the broker takes a connection")
    }

    /// Where the health and the metrics of its gateway are.
    pub fn gateway_operations(&self) -> String {
        self.run().addresses.gateway_operations
    }

    /// What the program takes and counts.
    pub fn usage(&self) -> Usage {
        Usage::of(self.id(), &self.gateway_operations())
    }

    fn run(&self) -> Run {
        let text = std::fs::read(self.data().join("run.json")).expect("a running backchat writes run.json");
        serde_json::from_slice(&text).expect("run.json says where everything is")
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("the program was started")
    }
}

fn bare(port: u16, data: &Path, logs: &Path) -> Launch {
    Launch::new(&built("backchat"), logs)
        .argument("--listen")
        .argument(format!("127.0.0.1:{port}"))
        .argument("--data")
        .argument(data.to_string_lossy())
}

/// The server comes last, where a test puts another.
fn with_server(launch: Launch) -> Launch {
    launch.argument("--nats-server").argument(server().to_string_lossy())
}

/// No limit on how fast one person sends and searches.
pub const UNLIMITED: [(&str, &str); 4] = [
    ("BACKCHAT_GATEWAY_MESSAGE_BURST", "10000"),
    ("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "10000"),
    ("BACKCHAT_GATEWAY_SEARCH_BURST", "10000"),
    ("BACKCHAT_GATEWAY_SEARCHES_PER_SECOND", "10000"),
];

/// One program for all tests of this process that hurt nothing, without a limit on how fast one person sends. Rooms and names
/// are each test's own. Gives its address.
pub async fn shared() -> String {
    static SHARED: OnceCell<Backchat> = OnceCell::const_new();
    SHARED.get_or_init(Backchat::without_rate_limit).await.address()
}
