//! The history worker: reads the log into the database and answers questions about it.
//!
//! [`shard`] is the way in: follow the log from the checkpoint, [`projection`] says which rows that means, [`store`] writes them with
//! the next checkpoint in one transaction. [`queries`] is the way out.

pub mod checkpoint;
mod config;
mod error;
pub mod paging;
pub mod projection;
mod queries;
pub mod shard;
pub mod signals;
pub mod store;

pub use config::Config;
pub use error::Error;

use broker::Broker;
use projection::Part;
use protocol::subject::Shard;
use queries::Answers;
use service::health::Health;
use service::http::{self, HttpLimits};
use service::metrics::Registry;
use service::operations;
use service::process::Doors;
use shard::Projector;
use signals::Signals;
use std::sync::Arc;
use store::{DatabaseAddress, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs the worker until `shutdown`; a batch in hand is finished first.
///
/// # Errors
/// When it can't start, or when the log is not the one that was applied.
pub async fn run(config: Config, doors: Doors, shutdown: CancellationToken) -> Result<(), Error> {
    let (health, registry) = (Health::new(), Registry::new("history-worker"));
    let signals = Arc::new(Signals::new(&health, &registry));
    // Operators are answered until everything else has ended.
    let finished = CancellationToken::new();
    let _stop = finished.clone().drop_guard();
    let operations = operations::router(health.clone(), registry);
    let answering =
        tokio::spawn(http::serve(doors.operations, operations, HttpLimits::default(), finished.clone()));
    let started = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Box::pin(start(&config, &signals)) => started,
    };
    let (broker, shards, store) = started?;
    // One shard that can't go on stops all: a person must look.
    let stop = shutdown.child_token();
    let mut tasks = start_shards(&config, (&broker, shards, &store), &signals, &stop);
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(Error::Start(panic.to_string())));
        if ended.is_err() {
            stop.cancel();
        }
        outcome = outcome.and(ended);
    }
    health.drain();
    store.close().await;
    finished.cancel();
    // The operations listener ends by itself.
    let _ = answering.await;
    outcome
}

async fn start(config: &Config, signals: &Signals) -> Result<(Broker, u16, Store), Error> {
    let address: DatabaseAddress =
        config.database.expose().parse().map_err(|bad| Error::Start(format!("database: {bad}")))?;
    let broker = Broker::connect(&config.broker, config.start_patience).await.map_err(start_fault)?;
    let shards = broker.installation().await.map_err(start_fault)?.shards;
    signals.broker_ok();
    let store = Box::pin(Store::open(&address)).await?;
    signals.database_ok();
    Ok((broker, shards, store))
}

fn start_fault(error: broker::Error) -> Error {
    match error {
        broker::Error::Setup(why) => Error::Start(why),
        other => other.into(),
    }
}

fn start_shards(
    config: &Config,
    (broker, shards, store): (&Broker, u16, &Store),
    signals: &Arc<Signals>,
    stop: &CancellationToken,
) -> JoinSet<Result<(), Error>> {
    let mut tasks = JoinSet::new();
    for shard in Shard::all(shards) {
        let (applied, watched) = watch::channel(None);
        let projector = Projector {
            broker: broker.clone(),
            store: store.clone(),
            part: Part { shard, shards },
            signals: Arc::clone(signals),
            applied,
        };
        tasks.spawn(Box::pin(projector.run(stop.clone())));
        let answers = Answers {
            store: store.clone(),
            applied: watched,
            patience: config.query_patience,
            signals: Arc::clone(signals),
        };
        let (broker, at_once, stop) = (broker.clone(), config.queries_max, stop.clone());
        tasks.spawn(Box::pin(async move { queries::serve(&broker, shard, answers, at_once, stop).await }));
    }
    tasks
}
