//! The four services inside this process: given their sockets, their broker and their databases, started, and stopped in the
//! order in which they need each other.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use broker::Credentials;
use sealing::RootSource;
use service::config::Secret;
use service::process::{self, Doors, Fatal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::data::Data;
use crate::nats::Conf;
use crate::run_file::Addresses;
use crate::{Config, Error};

/// Pause before a search worker that failed is started again.
const SEARCH_AGAIN: Duration = Duration::from_secs(5);

/// The running services.
pub struct Services {
    pub addresses: Addresses,
    gateway: Running,
    worker: Running,
    search: Running,
    auth: Running,
}

struct Running {
    name: &'static str,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    outcome: Option<Result<(), Error>>,
}

/// The credentials of one service at the broker beside us.
pub fn credentials(conf: &Conf, name: &str) -> Credentials {
    let access = conf.access(name);
    Credentials {
        user: Some(access.user.to_owned()),
        password: Some(access.password.clone()),
        ..Credentials::of_nobody(conf.url(), name)
    }
}

impl Services {
    /// Starts the four. `public` is the socket that people come in by.
    ///
    /// # Errors
    /// [`Error::Address`] when an operations address is taken.
    pub async fn start(config: Config, public: TcpListener, data: &Data, conf: &Conf) -> Result<Self, Error> {
        let gateway_operations = listen(config.gateway.operations).await?;
        let worker_operations = listen(config.worker.operations).await?;
        let auth_operations = listen(config.auth.operations).await?;
        let search_operations = listen(config.search.operations).await?;
        let auth = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let addresses = Addresses {
            gateway: address(&public)?,
            auth: address(&auth)?,
            gateway_operations: address(&gateway_operations)?,
            worker_operations: address(&worker_operations)?,
            auth_operations: address(&auth_operations)?,
            search_operations: address(&search_operations)?,
        };
        let Config { mut gateway, worker, search, auth: accounts, .. } = inside(config, data, conf);
        gateway.auth_upstream = Some(addresses.auth);
        Ok(Self {
            addresses,
            auth: Running::start("auth service", |shutdown| {
                let doors = Doors { public: Some(auth), operations: auth_operations };
                auth_service::run(accounts, doors, shutdown)
            }),
            worker: Running::start("history worker", |shutdown| {
                let doors = Doors { public: None, operations: worker_operations };
                history_worker::run(worker, doors, shutdown)
            }),
            search: Running::start("search worker", |shutdown| {
                searching(search, search_operations, shutdown)
            }),
            gateway: Running::start("gateway", |shutdown| {
                let doors = Doors { public: Some(public), operations: gateway_operations };
                gateway::run(gateway, doors, shutdown)
            }),
        })
    }

    /// Returns when one of them ends, which none does unasked but by a failure.
    pub async fn one_ended(&mut self) {
        // Whichever ends keeps its outcome for `stop`; waiting for the others can be begun again.
        tokio::select! {
            () = self.gateway.ended() => {}
            () = self.worker.ended() => {}
            () = self.auth.ended() => {}
            () = self.search.ended() => {}
        }
    }

    /// Stops them: the gateway first, whose last requests need the other two.
    ///
    /// # Errors
    /// The failure of the first that failed.
    pub async fn stop(mut self) -> Result<(), Error> {
        let gateway = self.gateway.stop().await;
        let (worker, search, auth) = tokio::join!(self.worker.stop(), self.search.stop(), self.auth.stop());
        gateway.and(worker).and(search).and(auth)
    }
}

impl Running {
    fn start<R, E>(name: &'static str, run: impl FnOnce(CancellationToken) -> R) -> Self
    where
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Fatal,
    {
        let shutdown = CancellationToken::new();
        let running = Box::pin(run(shutdown.clone()));
        let task = tokio::spawn(async move {
            let ended = running.await;
            ended.map_err(|error| Error::Service {
                name,
                why: error.to_string(),
                is_start_fault: error.is_start_fault(),
            })
        });
        Self { name, shutdown, task, outcome: None }
    }

    async fn ended(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        let name = self.name;
        let failure = |why: &str| Error::Service { name, why: why.to_owned(), is_start_fault: false };
        self.outcome = Some(match (&mut self.task).await {
            Ok(Ok(())) if !self.shutdown.is_cancelled() => Err(failure("it stopped without being asked to")),
            Ok(outcome) => outcome,
            Err(panic) => Err(failure(&panic.to_string())),
        });
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.shutdown.cancel();
        self.ended().await;
        self.outcome.take().unwrap_or(Ok(()))
    }
}

/// Runs the search worker, again and again if it fails: people chat without it.
async fn searching(
    config: search_worker::Config,
    operations: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), search_worker::Error> {
    let address = operations.local_addr();
    let mut listening = Some(operations);
    while !shutdown.is_cancelled() {
        if let Some(operations) = listening.take() {
            let doors = Doors { public: None, operations };
            let ended = Box::pin(search_worker::run(config.clone(), doors, shutdown.clone())).await;
            let Err(error) = ended else { break };
            tracing::error!(%error, "the search worker ended and is started again");
        }
        shutdown.run_until_cancelled(sleep(SEARCH_AGAIN)).await;
        if let Ok(address) = address {
            listening = process::listen(address).await.ok();
        }
    }
    Ok(())
}

/// The settings of services that run on this data and this broker.
pub fn inside(mut config: Config, data: &Data, conf: &Conf) -> Config {
    config.gateway.roots = RootSource::Folder(config.roots.clone());
    config.gateway.broker = credentials(conf, "gateway");
    config.worker.broker = credentials(conf, "history-worker");
    config.worker.database = database(&data.path("history"));
    config.search.roots = RootSource::Folder(config.roots.clone());
    config.search.broker = credentials(conf, "search-worker");
    config.search.index = data.path("search");
    config.auth.roots = RootSource::Folder(config.roots.clone());
    config.auth.broker = credentials(conf, "auth-service");
    config.auth.database = database(&data.path("auth"));
    config
}

/// An embedded database whose every commit is on the disk before it is acknowledged.
fn database(path: &Path) -> Secret {
    Secret::new(format!("surrealkv://{}?sync=every", path.display()))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    process::listen(address).await.map_err(Error::Address)
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|error| Error::Address(error.to_string()))
}
