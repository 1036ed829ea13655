//! A real SurrealDB server on a port and a store of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use service::probe;
use surrealdb::engine::any::{self, Any};
use surrealdb::opt::auth::Root;

use super::nats::free_port;
use super::worker::{eventually, signalled};

/// The user of the whole server, and the worker's, who may do what it needs in its database. Their passwords are their names.
const ROOT: &str = "root";
const WORKER: &str = "worker";
/// The worker's password as the server keeps it, hashed as cheaply as can be: it logs in again and again, and this server is not
/// built for speed.
const WORKER_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$Y7nRLQA085Lz3toV9oRaTw";

pub struct Surreal {
    child: Child,
    port: u16,
}

impl Surreal {
    /// Starts a server whose data is in `store`, and makes what is missing there.
    pub async fn start(store: &Path) -> Self {
        let server = Self::start_on(store, free_port());
        server.ready().await;
        server.set_up().await;
        server
    }

    /// The same server again.
    pub fn start_on(store: &Path, port: u16) -> Self {
        let child = Command::new(program())
            .args(["start", "--no-banner", "--username", ROOT, "--password", ROOT, "--bind"])
            .arg(format!("127.0.0.1:{port}"))
            .arg(format!("surrealkv://{}?sync=every", store.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the SurrealDB server starts");
        Self { child, port }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub async fn ready(&self) {
        let address = ([127, 0, 0, 1], self.port).into();
        eventually("the SurrealDB server answers", async || {
            let answer = probe::get(address, "/health", Duration::from_secs(1)).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// The databases that the worker uses. Its tokens run out at once, as those of a worker do that runs for long.
    async fn set_up(&self) {
        let mut statements = "DEFINE NAMESPACE IF NOT EXISTS chat; USE NS chat;".to_owned();
        for database in ["history", "more"] {
            statements.push_str(&format!(
                "DEFINE DATABASE IF NOT EXISTS {database}; USE DB {database};
                 DEFINE USER IF NOT EXISTS {WORKER} ON DATABASE PASSHASH '{WORKER_HASH}' ROLES EDITOR DURATION FOR TOKEN 1s;"
            ));
        }
        self.asked(&statements).await;
    }

    /// Runs statements as the user of the whole server.
    pub async fn asked(&self, statements: &str) {
        self.client().await.query(statements).await.unwrap().check().unwrap();
    }

    /// A connection of that user.
    pub async fn client(&self) -> surrealdb::Surreal<Any> {
        let client = eventually("the SurrealDB server lets somebody in", async || {
            any::connect(format!("ws://127.0.0.1:{}", self.port)).await.ok()
        })
        .await;
        client.signin(Root { username: ROOT.to_owned(), password: ROOT.to_owned() }).await.unwrap();
        client
    }

    /// A database as the worker's setting names it.
    pub fn address(&self, database: &str) -> String {
        format!("ws://{WORKER}:{WORKER}@127.0.0.1:{}/chat/{database}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It stands still until [`Surreal::resume`].
    pub fn pause(&self) {
        signalled(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        signalled(self.child.id(), "CONT");
    }
}

impl Drop for Surreal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let given = std::env::var_os("SURREALDB_SERVER");
    given.map(PathBuf::from).expect(
        "name a SurrealDB server in SURREALDB_SERVER: `scripts/surrealdb-server` compiles one and prints it, `make test` does both",
    )
}
