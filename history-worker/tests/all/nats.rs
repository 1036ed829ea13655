//! A real NATS server on a port and a store of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::{Broker, Credentials, setup};

pub struct Nats {
    child: Child,
    pub port: u16,
}

impl Nats {
    /// Starts a server whose data is in `store`.
    pub fn start(store: &Path) -> Self {
        Self::start_on(store, free_port())
    }

    pub fn start_on(store: &Path, port: u16) -> Self {
        Self::run(Command::new(program()), store, port)
    }

    /// Starts a server at which nobody may publish on `subject`.
    pub fn start_refusing(store: &Path, subject: &str) -> Self {
        std::fs::create_dir_all(store).unwrap();
        let conf = store.join("refusing.conf");
        let user = format!("user: all, password: all, permissions: {{ publish: {{ deny: \"{subject}\" }} }}");
        let text = format!("authorization: {{ users: [ {{ {user} }} ] }}\nno_auth_user: all\n");
        std::fs::write(&conf, text).unwrap();
        let mut program = Command::new(program());
        program.arg("-c").arg(conf);
        Self::run(program, store, free_port())
    }

    fn run(mut program: Command, store: &Path, port: u16) -> Self {
        let child = program
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        Self { child, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn connect(&self) -> Broker {
        let credentials = Credentials::of_nobody(self.url(), "history-worker-tests");
        Broker::connect(&credentials, Duration::from_secs(20)).await.unwrap()
    }

    /// A connection, after the set-up step.
    pub async fn set_up(&self, shards: u16) -> Broker {
        let broker = self.connect().await;
        setup::create(&broker, broker::Layout { shards, replicas: None, raise: false }).await.unwrap();
        broker
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `NATS_SERVER`, else the one on PATH, else the one that `make` fetches.
fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("NATS_SERVER") {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .chain([home.join(".cache/backchat/nats/bin/nats-server")])
        .find(|candidate| candidate.is_file());
    found.expect("no nats-server found: name one in NATS_SERVER, or run `make test`, which fetches it")
}
