//! Several NATS servers that are one broker: each on ports and in a folder of its own, hurt by its number.

use crate::eventually::eventually;
use crate::http::Ask;
use crate::nats::{Draft, Nats, connect};
use crate::ports;
use crate::services::Servers;
use broker::{Broker, Credentials};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait until all servers have found each other and what they store.
const HEALTHY: Duration = Duration::from_secs(90);
/// Longest wait for one answer of a server's own API.
const ANSWER: Duration = Duration::from_secs(3);

/// The servers. Dropping them ends them and removes what they stored.
pub struct Cluster {
    servers: Vec<Nats>,
    /// Where each tells its health.
    monitors: Vec<String>,
}

impl Cluster {
    /// Starts so many, and waits until they are one.
    ///
    /// # Panics
    /// When they are not in time.
    pub async fn start(count: usize) -> Self {
        Self::on(vec![None; count]).await
    }

    /// Starts one for each of these folders in which streams are to be kept (`None`: a folder of the server's own).
    ///
    /// # Panics
    /// When they are not one in time.
    pub async fn on(stores: Vec<Option<PathBuf>>) -> Self {
        let routes: Vec<_> = stores.iter().map(|_| format!("127.0.0.1:{}", ports::free())).collect();
        let monitors: Vec<_> = stores.iter().map(|_| format!("127.0.0.1:{}", ports::free())).collect();
        let all: Vec<_> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
        let all = all.join(", ");
        let servers = stores.into_iter().zip(routes.iter().zip(&monitors)).enumerate().map(
            |(number, (store, (route, monitor)))| {
                let name = name(number);
                // Clients are not told of the other servers, so that a test decides which ones they know, and by what way.
                let settings = format!(
                    "server_name: \"{name}\"\nhttp: \"{monitor}\"\n\
                     cluster {{ name: tests, listen: \"{route}\", routes: [{all}], no_advertise: true }}\n"
                );
                Draft { name, store, settings, ..Draft::default() }.prepared()
            },
        );
        let mut cluster = Self { servers: servers.collect(), monitors };
        cluster.servers.iter_mut().for_each(Nats::start_without_waiting);
        cluster.healthy().await;
        cluster
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    pub fn url(&self, server: usize) -> String {
        self.servers[server].url()
    }

    pub fn address(&self, server: usize) -> String {
        self.servers[server].address()
    }

    /// One of the servers.
    pub fn server(&self, server: usize) -> &Nats {
        &self.servers[server]
    }

    pub fn server_mut(&mut self, server: usize) -> &mut Nats {
        &mut self.servers[server]
    }

    /// `kill -9`.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Starts it again on the same ports and store and waits until it takes connections; ends it first where it still runs.
    pub async fn restart(&mut self, server: usize) {
        self.servers[server].restart().await;
    }

    /// Stops it where it stands: connections stay open and say nothing.
    pub async fn pause(&mut self, server: usize) {
        self.servers[server].pause().await;
    }

    pub fn resume(&mut self, server: usize) {
        self.servers[server].resume();
    }

    /// Waits until every server says of itself that it has all that it should have.
    ///
    /// # Panics
    /// When one does not in time.
    pub async fn healthy(&self) {
        for (number, monitor) in self.monitors.iter().enumerate() {
            let what = format!("{} is healthy", name(number));
            eventually(&what, HEALTHY, || async {
                let answer = Ask::get("/healthz").try_send(monitor).await.ok()?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }

    /// Which server leads a stream.
    ///
    /// # Panics
    /// When none does in time.
    pub async fn leader_of(&self, stream: &str) -> usize {
        let broker = self.connect().await;
        let asked = format!("$JS.API.STREAM.INFO.{stream}");
        eventually("the stream has a leader", HEALTHY, || async {
            let info: Value = broker.ask(asked.clone(), &json!({}), ANSWER).await.ok()?;
            let leader = info["cluster"]["leader"].as_str()?;
            (0..self.count()).find(|number| name(*number) == leader)
        })
        .await
    }

    /// A connection of the test's own, to whichever server takes it.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn connect(&self) -> Broker {
        connect(Credentials::of_nobody(self.urls(), "tests")).await
    }
}

impl Servers for Cluster {
    fn urls(&self) -> String {
        self.servers.iter().map(Nats::url).collect::<Vec<_>>().join(",")
    }

    fn replicas(&self) -> usize {
        self.count()
    }

    fn folders(&self) -> Vec<&Path> {
        self.servers.iter().map(Nats::folder).collect()
    }
}

fn name(server: usize) -> String {
    format!("nats-{server}")
}
