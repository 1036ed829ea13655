//! One process: how it is started, whether it is ready, how it is stopped.

use crate::process::{Launch, Program, signal};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After it was taken from those to whom people are sent, and before it is asked to stop: what was under way arrives meanwhile.
const PRE_STOP: Duration = Duration::from_secs(2);
/// How long it may take to stop before it is killed: the gateway's drain, and twenty seconds, as the chart gives it.
const GRACE: Duration = Duration::from_secs(30);

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

    /// The exit code of one that was started and runs no more, without having been asked to stop.
    pub fn ended_with(&mut self) -> Option<i32> {
        if self.is_leaving { None } else { self.program.as_mut()?.exit_code() }
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

    /// Asks it to stop, and kills it after its grace.
    ///
    /// # Errors
    /// A sentence, when it had to be killed, or did not end as something does that was only asked to stop. It runs no more.
    pub async fn stop(&mut self) -> Result<(), String> {
        let Some(mut program) = self.program.take() else { return Ok(()) };
        self.is_ready = false;
        program.terminate();
        let deadline = Instant::now() + GRACE;
        loop {
            match program.exit_code() {
                Some(0) => return Ok(()),
                Some(code) => return Err(format!("{} was asked to stop and ended with {code}", self.name)),
                None if Instant::now() > deadline => {
                    program.kill();
                    return Err(format!("{} had to be killed after its grace", self.name));
                }
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Lets it go as Kubernetes does: people are sent elsewhere, and a little later it is asked to stop.
    ///
    /// # Errors
    /// As [`Piece::stop`].
    pub async fn leave(&mut self) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually::{SOON, eventually};
    use std::path::Path;

    /// A shell that does this when it is asked to stop.
    fn shell(folder: &Path, when_asked: &str) -> Piece {
        let script = format!("trap '{when_asked}' TERM; touch ready; while :; do sleep 0.05; done");
        let launch = Launch::new("/bin/sh".as_ref(), folder)
            .named("shell")
            .words("-c")
            .argument(format!("cd '{}'; {script}", folder.display()));
        Piece::of(Role::Gateway, launch, None, String::new(), "/")
    }

    #[tokio::test]
    async fn one_that_ends_badly_when_it_is_asked_to_stop_is_told() {
        for (when_asked, wanted) in
            [("exit 0", Ok(())), ("exit 1", Err("shell was asked to stop and ended with 1".to_owned()))]
        {
            let folder = tempfile::tempdir().unwrap();
            let mut piece = shell(folder.path(), when_asked);
            piece.start();
            let is_ready = || async { folder.path().join("ready").exists().then_some(()) };
            eventually("it is ready", SOON, is_ready).await;
            assert_eq!(piece.stop().await, wanted);
            assert!(!piece.runs());
        }
    }
}
