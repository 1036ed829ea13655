//! The gateway: pages and WebSockets of rooms. It needs the broker and nothing else, holds nothing that matters, and
//! may be killed at any instant.
//!
//! A message's way: [`socket`] takes a frame, [`writing`] gives it to the broker, the broker stores and republishes it,
//! a room's feed in [`room`] takes it into the room's ring, and every socket of the room walks on.

mod asked;
mod config;
mod crowd;
mod directory;
mod edge;
mod erasing;
mod error;
mod forward;
mod guests;
mod heads;
mod history;
mod lookup;
mod pages;
mod presence;
mod profiles;
mod rate;
mod room;
mod router;
mod searching;
mod sessions;
mod shedding;
mod signals;
mod slug;
mod socket;
mod state;
mod streams;
mod throughput;
mod tries;
mod writing;

pub use config::Config;
pub use error::Error;

use broker::Broker;
use service::{
    config::Settings,
    health::Health,
    http::{self, HttpLimits},
    metrics::Description,
    operations,
    process::{Doors, open_files_max},
    watched::Watched,
};
use signals::Signals;
use state::Gateway;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use traces::Traces;

/// How long the broker is waited for at the start.
const BROKER_PATIENCE: Duration = Duration::from_secs(30);
/// How long keys and revocations are waited for at the start.
const SESSIONS_PATIENCE: Duration = Duration::from_secs(30);
/// Beyond the time over which sockets are sent elsewhere, one has the time to finish a publication, and the time to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs a gateway until `shutdown`, then drains it.
///
/// # Errors
/// When it can't start: [`Error::Start`] for what a person must mend, others for what may pass.
pub async fn run(mut config: Config, doors: Doors, shutdown: CancellationToken) -> Result<(), Error> {
    let Watched { health, registry, signals } = Watched::new(Config::SERVICE, Signals::new);
    signals.sockets_max(config.sockets.all, open_files_max());
    let public = doors.public.ok_or_else(|| Error::Start("a gateway needs a public address".into()))?;
    // Operators are answered until the last socket is gone.
    let finished = CancellationToken::new();
    let _stop = finished.clone().drop_guard();
    let operations = operations::router(health.clone(), registry.clone());
    let answering =
        tokio::spawn(http::serve(doors.operations, operations, HttpLimits::default(), finished.clone()));

    let broker = Broker::connect(&config.broker, BROKER_PATIENCE).await.map_err(|error| match error {
        broker::Error::Setup(why) => Error::Start(why),
        other => other.into(),
    })?;
    config.http = config.http.counted_in(&registry);
    let limits = config.http.clone();
    let traces = Traces::start(&config.traces, Config::SERVICE, signals.traces.clone());
    let (traces, exporting) = traces.map_err(Error::Start)?;
    let gateway = Gateway::start(config, broker, (signals, traces)).await?;
    gateway.signals.broker_ok();
    let mut background = JoinSet::new();
    let ready = start_background((&gateway, &health), &mut background, &finished);
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        waited = tokio::time::timeout(SESSIONS_PATIENCE, ready.cancelled()) => {
            waited.map_err(|_| Error::Broker(broker::Error::TimedOut))?;
        }
    }
    // It accepts until the last socket has left: whoever balances load may not know yet that this gateway is going. A socket that comes so
    // late is told at once to come back elsewhere.
    let left = CancellationToken::new();
    // A task of its own: beside the connections that it accepts, and not in a thread that each has to wake.
    let serving = http::serve(public, router::router(&gateway, health.clone()), limits, left.clone());
    let serving = tokio::spawn(serving);
    drain(&gateway, &health, &shutdown).await;
    left.cancel();
    let served = serving.await;
    if let Err(error) = served {
        tracing::error!(%error, "the public listener failed");
    }
    finished.cancel();
    while background.join_next().await.is_some() {}
    exporting.finish().await;
    // The operations listener ends by itself.
    let _ = answering.await;
    Ok(())
}

/// Everything that this service counts, for the reference.
#[must_use]
pub fn metrics() -> Vec<Description> {
    let registry = Watched::new(Config::SERVICE, Signals::new).registry;
    let _ = HttpLimits::default().counted_in(&registry);
    registry.descriptions()
}

/// Starts what a gateway follows for as long as it runs; the answer is cancelled when all that must be known is known.
fn start_background(
    (gateway, health): (&Arc<Gateway>, &Health),
    tasks: &mut JoinSet<()>,
    finished: &CancellationToken,
) -> CancellationToken {
    let ready = CancellationToken::new();
    tasks.spawn(sessions::follow_sessions(Arc::clone(gateway), ready.clone(), finished.clone()));
    tasks.spawn(erasing::follow_erasures(Arc::clone(gateway), finished.clone()));
    tasks.spawn(asked::serve(Arc::clone(gateway), finished.clone()));
    tasks.spawn(profiles::follow_profiles(Arc::clone(gateway), finished.clone()));
    tasks.spawn(presence::gateways::watch_gateways(Arc::clone(gateway), health.clone(), finished.clone()));
    tasks.spawn(streams::watch_streams(Arc::clone(gateway), finished.clone()));
    tasks.spawn(heads::tell_heads(Arc::clone(gateway), finished.clone()));
    tasks.spawn(heads::check_watched(Arc::clone(gateway), finished.clone()));
    for shard in gateway.shards.all() {
        tasks.spawn(heads::hear_news(Arc::clone(gateway), shard, finished.clone()));
    }
    tasks.spawn(socket::heartbeat::ping_sockets(Arc::clone(gateway), finished.clone()));
    tasks.spawn(throughput::measure(Arc::clone(gateway), finished.clone()));
    tasks.spawn(shedding::shed_sockets(Arc::clone(gateway), finished.clone()));
    tasks.spawn(room::check_heads(Arc::clone(gateway), finished.clone()));
    ready
}

/// Waits for the shutdown, then closes all sockets within the grace period.
async fn drain(gateway: &Gateway, health: &Health, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    health.drain();
    let grace = gateway.config.drain + GOODBYE;
    let gone = async {
        gateway.sessions.dismiss_all(gateway.drain_spread()).await;
        gateway.guests.gone().await;
    };
    if tokio::time::timeout(grace, gone).await.is_err() {
        tracing::warn!(sockets = gateway.guests.count(), "some sockets did not close in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::process::LAST_TASKS_MAX;

    #[test]
    fn the_chart_gives_a_pod_the_time_that_a_stop_may_take() {
        let requests = HttpLimits::default().drain;
        // People's requests, then operators', during which the last traces are sent.
        let after_drain = GOODBYE + requests + requests + LAST_TASKS_MAX;
        let chart = include_str!("../../deploy/chart/templates/_helpers.tpl");
        let given = chart.split("$afterDrain := ").nth(1).and_then(|rest| rest.split(' ').next());
        let given = Duration::from_secs(given.unwrap().parse().unwrap());
        assert!(given >= after_drain, "{given:?} for {after_drain:?}");
    }
}
