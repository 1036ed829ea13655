//! The history worker: reads the log into the database, each event once, and answers questions about it.
//!
//! It is not an authority on anything: membership, names and order are the broker's. Its database can be emptied and is
//! filled again from the log. It writes nothing to the broker, but takes the texts of deleted messages out of the log.

pub mod checkpoint;
mod config;
mod databases;
pub mod edition;
mod erasing;
mod error;
mod layout;
mod measuring;
mod opened;
mod paging;
mod projecting;
pub mod projection;
mod queries;
mod readable;
pub mod replay;
mod shard;
mod sharing;
mod signals;
pub mod snapshot;
pub mod store;
mod unknown;
mod verify;

pub use config::Config;
pub use databases::Databases;
pub use error::Error;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use broker::Broker;
use futures_util::FutureExt;
use protocol::subject;
use protocol::worker::Tables;
use service::config::Settings;
use service::health::Health;
use service::http::{self, HttpLimits};
use service::metrics::Description;
use service::operations;
use service::process::Doors;
use service::watched::Watched;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use traces::Traces;

use erasing::Erasing;
use layout::Layout;
use measuring::Measuring;
use opened::{Opened, OpenedStore};
use projection::Part;
use queries::Answers;
use shard::{Progress, Shard};
use sharing::{Share, Sharing};
use signals::Signals;
use store::Store;
use verify::Verifier;

/// Applies the log and answers questions until `shutdown`; the batch in hand is finished first.
///
/// # Errors
/// [`Error::Start`] for what a person must mend before it can start, [`Error::Parted`] when the log is not the one that the
/// database has applied; then nothing was changed.
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
    let times = Times { verify_every: config.verify_every, day: config.retention_day };
    let opened = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        opened = Box::pin(opened::all(config)) => opened?,
    };
    let Opened { broker, stores, shards } = opened;
    let stopping = shutdown.child_token();
    let mut tasks = JoinSet::new();
    for OpenedStore { store, shards: of_store, older, tables } in &stores {
        let with = (&broker, &signals, of_store.as_slice());
        let own = share(tables.clone(), with, &stopping, &mut tasks);
        let (is_read, read) = watch::channel(older.is_none());
        let mut parts = Vec::new();
        for shard in of_store {
            let part = Part { shard: *shard, shards };
            let with = (&broker, store, (&signals, &traces));
            let progress = apply_and_answer(part, with, (times, &read, &own), &stopping, &mut tasks);
            parts.push((part, progress));
        }
        let (store, broker, signals) = (store.clone(), broker.clone(), Arc::clone(&signals));
        let layout = Layout { store, broker, signals, parts, is_read };
        beside(Box::pin(layout.run(*older)), &stopping, &mut tasks);
    }
    let ended = until_ended(&mut tasks, &stopping, &health).await;
    for opened in stores {
        opened.store.close().await;
    }
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

/// Which of a database's shards this worker applies, shared with others that have the database too.
fn share(
    tables: Option<Tables>,
    (broker, signals, shards): (&Broker, &Arc<Signals>, &[subject::Shard]),
    stopping: &CancellationToken,
    tasks: &mut JoinSet<Result<(), Error>>,
) -> watch::Receiver<Share> {
    let Some(tables) = tables else {
        signals.shares(shards, Share::ALL);
        return watch::channel(Share::ALL).1;
    };
    let (share, own) = watch::channel(Share::NONE);
    let (broker, signals, shards) = (broker.clone(), Arc::clone(signals), shards.to_vec());
    let sharing = Sharing { broker, signals, shards, tables, share };
    tasks.spawn(sharing.run(stopping.clone()).map(Ok));
    own
}

/// Times that an operator may set.
#[derive(Clone, Copy)]
struct Times {
    verify_every: Duration,
    day: Duration,
}

/// What goes on beside a shard until the worker stops.
type Beside = Pin<Box<dyn Future<Output = ()> + Send>>;

fn apply_and_answer(
    part: Part,
    (broker, store, (signals, traces)): (&Broker, &Store, (&Arc<Signals>, &Traces)),
    (times, read, own): (Times, &watch::Receiver<bool>, &watch::Receiver<Share>),
    stopping: &CancellationToken,
    tasks: &mut JoinSet<Result<(), Error>>,
) -> watch::Receiver<Option<Progress>> {
    let (progress, seen) = watch::channel(None);
    let verifier = Verifier { part, broker: broker.clone(), store: store.clone() };
    let verifying: Beside = if times.verify_every.is_zero() {
        Box::pin(std::future::pending())
    } else {
        Box::pin(verify::rounds(verifier, seen.clone(), Arc::clone(signals), times.verify_every))
    };
    signals.follows(part.shard);
    let measuring = Measuring {
        part,
        broker: broker.clone(),
        store: store.clone(),
        progress: seen.clone(),
        signals: Arc::clone(signals),
    };
    let (to_erase, to_replay) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let somebody_erased = Arc::new(AtomicBool::new(true));
    let answers = Answers {
        part,
        broker: broker.clone(),
        store: store.clone(),
        signals: Arc::clone(signals),
        progress: seen.clone(),
        verifying: Arc::default(),
        giving: Arc::default(),
        to_replay: Arc::clone(&to_replay),
    };
    let erasing = Erasing {
        part,
        broker: broker.clone(),
        store: store.clone(),
        signals: Arc::clone(signals),
        to_erase: Arc::clone(&to_erase),
        somebody_erased: Arc::clone(&somebody_erased),
        day: times.day,
    };
    let (broker, store, signals, traces) =
        (broker.clone(), store.clone(), Arc::clone(signals), traces.clone());
    tasks.spawn(serve_when_read(answers, read.clone(), stopping.clone()));
    let share = own.clone();
    let shard =
        Shard { part, share, broker, store, signals, traces, progress, to_erase, somebody_erased, to_replay };
    tasks.spawn(shard.run(stopping.clone()));
    for other in [Box::pin(measuring.run()) as Beside, Box::pin(erasing.run()), verifying] {
        beside(other, stopping, tasks);
    }
    seen
}

fn beside(other: Beside, stopping: &CancellationToken, tasks: &mut JoinSet<Result<(), Error>>) {
    let stopping = stopping.clone();
    tasks.spawn(async move {
        stopping.run_until_cancelled(other).await;
        Ok(())
    });
}

/// Until then, workers of the older layout answer.
async fn serve_when_read(
    answers: Answers,
    mut read: watch::Receiver<bool>,
    stopping: CancellationToken,
) -> Result<(), Error> {
    match stopping.run_until_cancelled(read.wait_for(|is_read| *is_read)).await {
        Some(Ok(_)) => {}
        Some(Err(_)) | None => return Ok(()),
    }
    answers.serve(stopping).await
}

/// Waits for the tasks, which end when they are asked to; the first that fails stops the others, and is the reason.
async fn until_ended(
    tasks: &mut JoinSet<Result<(), Error>>,
    stopping: &CancellationToken,
    health: &Health,
) -> Result<(), Error> {
    let draining = async {
        stopping.cancelled().await;
        health.drain();
    };
    let ended = async {
        let mut outcome = Ok(());
        while let Some(joined) = tasks.join_next().await {
            let ended = joined.unwrap_or(Err(Error::Lost("a task of the history worker")));
            if ended.is_err() {
                stopping.cancel();
            }
            outcome = outcome.and(ended);
        }
        stopping.cancel();
        outcome
    };
    tokio::join!(ended, draining).0
}

#[cfg(test)]
#[path = "../tests/all/boxes.rs"]
mod boxes;
