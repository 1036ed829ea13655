//! The search worker: reads the log into a sealed index, and finds messages in it for the gateways.
//!
//! It is given the root keys on purpose, as nothing else beside gateways and auth service is. Its index is a cache of the log: it has
//! no texts, but what their words are and where; when it is lost or altered it is made anew. Nothing waits for it.

mod building;
pub mod checkpoint;
mod config;
mod error;
pub mod finding;
mod folder;
mod following;
pub mod index;
mod keeping;
mod names;
mod progress;
mod questions;
mod reading;
pub mod schema;
pub mod sealed_folder;
mod signals;

pub use config::Config;
pub use error::Error;

use std::sync::Arc;

use broker::Broker;
use keyring::Keyring;
use protocol::subject;
use service::config::Settings;
use service::health::Health;
use service::http::{self, HttpLimits};
use service::metrics::Description;
use service::operations;
use service::process::Doors;
use service::watched::Watched;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use traces::Traces;

use folder::Folder;
use following::Ground;
use keeping::{Keeper, Shelf};
use names::Names;
use questions::Answers;
use signals::Signals;

/// Keeps the index and answers questions until `shutdown`.
///
/// # Errors
/// [`Error::Start`] for what a person must mend before it can start.
pub async fn run(config: Config, doors: Doors, shutdown: CancellationToken) -> Result<(), Error> {
    let Watched { health, registry, signals } = Watched::new(Config::SERVICE, Signals::new);
    let signals = Arc::new(signals);
    // Operators are answered until everything else has ended.
    let finished = CancellationToken::new();
    let _stop = finished.clone().drop_guard();
    let router = operations::router(health.clone(), registry);
    let answering =
        tokio::spawn(http::serve(doors.operations, router, HttpLimits::default(), finished.clone()));
    let traces = Traces::start(&config.traces, Config::SERVICE, signals.traces.clone());
    let (traces, exporting) = traces.map_err(Error::Start)?;
    let started = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Box::pin(start(config, (signals, traces))) => started?,
    };
    let ended = Box::pin(serve(started, &health, &shutdown)).await;
    exporting.finish().await;
    finished.cancel();
    // The operations listener ends by itself.
    let _ = answering.await;
    ended
}

/// Everything that this service counts, for the reference.
#[must_use]
pub fn metrics() -> Vec<Description> {
    Watched::new(Config::SERVICE, Signals::new).registry.descriptions()
}

async fn start(config: Config, (signals, traces): (Arc<Signals>, Traces)) -> Result<Keeper, Error> {
    let folder = Folder::take(&config.index).await.map_err(Error::Start)?;
    let broker = Broker::connect(&config.broker, config.start_patience).await?;
    let installation = broker.installation().await?;
    broker.stream(subject::PROFILES_STREAM).await?;
    let keyring = Arc::new(Keyring::start(&broker, &config.roots, signals.alarms.clone()).await?);
    let (names, shards) = (Arc::new(Names::default()), installation.shards());
    let ground = Ground { broker, keyring, names, signals, traces, shards };
    let (roots, cache_bytes, shelf) = (config.roots, config.cache_bytes, Arc::new(Shelf::default()));
    Ok(Keeper { ground, folder, roots, cache_bytes, shelf })
}

async fn serve(keeper: Keeper, health: &Health, shutdown: &CancellationToken) -> Result<(), Error> {
    let Ground { broker, names, signals, .. } = keeper.ground.clone();
    let shelf = Arc::clone(&keeper.shelf);
    let stopping = shutdown.child_token();
    let following = {
        let (broker, names, stopping) = (broker.clone(), Arc::clone(&names), stopping.clone());
        async move {
            stopping.run_until_cancelled(names.follow(&broker)).await;
            Ok(())
        }
    };
    let answers = Answers { broker, shelf, names, signals };
    // Tasks of their own, so that none waits for another's turn; the first that ends stops the rest.
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(stopping.clone()));
    tasks.spawn(answers.serve(stopping.clone()));
    tasks.spawn(following);
    let mut outcome = Ok(());
    let draining = async {
        stopping.cancelled().await;
        health.drain();
    };
    let ended = async {
        while let Some(joined) = tasks.join_next().await {
            stopping.cancel();
            outcome = outcome.and(joined.unwrap_or(Err(Error::Lost("a task of the search worker"))));
        }
        outcome
    };
    tokio::join!(ended, draining).0
}
