//! One process: how it is started, whether it is ready, how it is stopped.

use crate::process::{Launch, Program, signal};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After it was taken from those to whom people are sent, and before it is asked to stop: what was under way arrives meanwhile.
const PRE_STOP: Duration = Duration::from_secs(2);
/// How long it may take to stop before it is killed: the gateway's drain, and ten seconds.
const GRACE: Duration = Duration::from_secs(20);

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Gateway,
    HistoryWorker,
    SearchWorker,
    Auth,
    Nats,
    SurrealDb,
    Edge,
}

impl Role {
    pub const ALL: [Self; 7] = [
        Self::Nats,
        Self::SurrealDb,
        Self::Auth,
        Self::HistoryWorker,
        Self::SearchWorker,
        Self::Gateway,
        Self::Edge,
    ];

    /// How the names of its settings begin.
    pub fn prefix(self) -> String {
        format!("BACKCHAT_{}", self.to_string().to_uppercase().replace('-', "_"))
    }

    /// Whether people come to it through the edge.
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Gateway | Self::Auth)
    }

    /// Whether it keeps something on a disk, so that its successor can't start before it has ended.
    pub const fn keeps_something(self) -> bool {
        matches!(self, Self::Nats | Self::SurrealDb | Self::SearchWorker | Self::Edge)
    }
}

/// The name of its program, for those that are ours.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::HistoryWorker => "history-worker",
            Self::SearchWorker => "search-worker",
            Self::Auth => "auth-service",
            Self::Nats => "nats",
            Self::SurrealDb => "surrealdb",
            Self::Edge => "edge",
        })
    }
}

pub struct Piece {
    pub role: Role,
    pub name: String,
    /// Where it is used.
    pub address: Option<String>,
    /// Where it says how it is.
    pub operations: String,
    pub ready_path: &'static str,
    /// Whether it said so when it was last asked.
    pub is_ready: bool,
    /// Nobody is sent to it any more.
    pub is_leaving: bool,
    launch: Launch,
    program: Option<Program>,
}

impl Piece {
    /// One that is not started yet. `operations` is where it says at `ready_path` how it is.
    pub fn of(
        role: Role,
        launch: Launch,
        port: Option<u16>,
        operations: String,
        ready_path: &'static str,
    ) -> Self {
        let address = port.map(|port| format!("127.0.0.1:{port}"));
        let name = launch.name.clone();
        Self {
            role,
            name,
            address,
            operations,
            ready_path,
            is_ready: false,
            is_leaving: false,
            launch,
            program: None,
        }
    }

    /// Starts it (again).
    pub fn start(&mut self) {
        self.is_ready = false;
        self.program = None;
        self.program = Some(Program::start(self.launch.clone()));
    }

    /// Whether it was started and runs no more, without having been asked to.
    pub fn has_ended(&mut self) -> bool {
        !self.is_leaving && self.program.as_mut().is_some_and(|program| !program.is_running())
    }

    pub fn id(&self) -> Option<u32> {
        self.program.as_ref().map(Program::id)
    }

    /// Whether it was started, and not stopped since. One that ended by itself is started again.
    pub const fn runs(&self) -> bool {
        self.program.is_some()
    }

    /// `kill -9`, and it stays away until it is started.
    pub fn goes(&mut self) {
        self.is_ready = false;
        self.program = None;
    }

    /// What it is started with.
    pub fn settings(&self) -> &[(String, String)] {
        &self.launch.environment
    }

    /// `kill -9`; whoever looks next starts it again.
    pub fn kill(&self) {
        if let Some(id) = self.id() {
            signal(id, "KILL");
        }
    }

    /// Asks it to stop, and kills it after its grace. Gives whether it stopped by itself.
    pub async fn stop(&mut self) -> bool {
        let Some(mut program) = self.program.take() else { return true };
        self.is_ready = false;
        program.terminate();
        let deadline = Instant::now() + GRACE;
        while program.is_running() {
            if Instant::now() > deadline {
                program.kill();
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Lets it go as Kubernetes does: people are sent elsewhere, and a little later it is asked to stop.
    pub async fn leave(&mut self) -> bool {
        sleep(PRE_STOP).await;
        self.stop().await
    }

    /// As the list of processes has it, while it runs.
    pub fn listed(&self) -> Option<Value> {
        let (role, name, pid) = (self.role.to_string(), &self.name, self.id()?);
        Some(
            json!({ "role": role, "name": name, "pid": pid, "address": self.address, "operations": self.operations }),
        )
    }
}
