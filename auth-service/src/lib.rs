//! The auth service: accounts, the pages that log people in and out, session tokens and the keys that sign
//! them.
//!
//! Gateways never ask it anything. They check tokens by themselves with the keys that [`keys`] publishes, and
//! learn of ended sessions from the revocations that [`outbox`] publishes; both are in the broker. So people
//! with a valid token chat on while this service is away.

mod accounts;
mod answer;
mod asker;
mod config;
mod cookies;
mod copies;
mod error;
mod fields;
mod hashing;
mod keys;
mod limiter;
mod names;
mod outbox;
mod pages;
mod passwords;
mod rotation;
mod router;
mod sessions;
mod signals;
mod state;
mod store;
mod vault;

pub use config::Config;
pub use copies::{restore, restore_from};
pub use error::Error;
pub use store::ACCOUNTS;

use accounts::Accounts;
use broker::Broker;
use hashing::Pool;
use keys::Keys;
use outbox::Outbox;
use protocol::{Timestamp, subject};
use service::config::Settings;
use service::http::{self, HttpLimits};
use service::metrics::Description;
use service::operations;
use service::process::Doors;
use service::watched::Watched;
use sessions::Sessions;
use signals::Signals;
use state::App;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Vault;

/// How often the database is asked whether it answers.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often sessions whose time is over are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Runs the auth service until `shutdown`, then lets requests in flight end.
///
/// # Errors
/// When it can't start: [`Error::Start`] for what a person must mend, others for what may pass.
pub async fn run(config: Config, doors: Doors, shutdown: CancellationToken) -> Result<(), Error> {
    let Watched { health, registry, signals } = Watched::new(Config::SERVICE, Signals::new);
    let signals = Arc::new(signals);
    let public =
        doors.public.ok_or_else(|| Error::Start("the auth service needs a public address".into()))?;
    // Operators are answered until everything else has ended.
    let finished = CancellationToken::new();
    let _stop = finished.clone().drop_guard();
    let operations = operations::router(health.clone(), registry.clone());
    let answering =
        tokio::spawn(http::serve(doors.operations, operations, HttpLimits::default(), finished.clone()));

    let limits = config.http.clone().counted_in(&registry);
    let started = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Box::pin(start(config, &signals)) => started?,
    };
    let background = started.start_background(&finished);
    let Started { app, store, .. } = started;
    let serving = http::serve(public, router::router(app), limits, shutdown.clone());
    let draining = async {
        shutdown.cancelled().await;
        health.drain();
    };
    tokio::join!(serving, draining);
    finished.cancel();
    background.join_all().await;
    store.close().await;
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

/// What runs once the broker and the database are there.
struct Started {
    app: Arc<App>,
    broker: Broker,
    store: Store,
    outbox: Arc<Outbox>,
    vault: Arc<Vault>,
}

async fn start(config: Config, signals: &Arc<Signals>) -> Result<Started, Error> {
    let broker = Broker::connect(&config.broker, config.start_patience).await.map_err(start_fault)?;
    broker.installation().await.map_err(start_fault)?;
    signals.broker(Ok(()));
    let store = Box::pin(Store::open(config.database.expose(), config.start_patience)).await;
    let store = store.map_err(|error| Error::Start(error.to_string()))?;
    signals.database(Ok(()));
    if !config.begin_anew {
        refuse_lost_accounts(&store, &broker).await?;
    }
    let (signals, lives) = (Arc::clone(signals), config.lives);
    let outbox = Arc::new(Outbox::new(store.clone(), broker.clone(), Arc::clone(&signals), lives.token_s));
    let parts = (store.clone(), Arc::clone(&outbox), Arc::clone(&signals));
    let vault = Arc::new(Vault::start(broker.clone(), &config.roots, parts).await?);
    let keys = Arc::new(Keys::start(store.clone(), broker.clone(), Arc::clone(&signals), lives).await?);
    let parts = (store.clone(), Arc::clone(&outbox), Arc::clone(&vault), Arc::clone(&signals));
    let accounts = Accounts::start(
        parts,
        Pool::new(config.hashing, signals.hashing_waiting(), signals.hashing_refused()),
        config.login_failures_max,
    )
    .await?;
    let sessions = Sessions {
        store: store.clone(),
        keys: Arc::clone(&keys),
        outbox: Arc::clone(&outbox),
        signals: Arc::clone(&signals),
        lives,
    };
    let app = App {
        accounts,
        sessions,
        keys,
        signals,
        cookies: config.cookies,
        public_origins: config.public_origins,
        trusted_proxies: config.trusted_proxies,
    };
    Ok(Started { app: Arc::new(app), broker, store, outbox, vault })
}

/// A database that came back empty must not fill with new accounts before the old ones are restored into it.
async fn refuse_lost_accounts(store: &Store, broker: &Broker) -> Result<(), Error> {
    if !store.is_new().await? {
        return Ok(());
    }
    let profiles = broker.stream(subject::PROFILES_STREAM).await.map_err(start_fault)?;
    if profiles.last_seq == 0 {
        return Ok(());
    }
    Err(Error::Start(
        "the auth database is empty, but people have registered before: it was lost, or this is another one. Restore their accounts into \
         it (`auth-service restore PLACE`, of a backup), or set BACKCHAT_AUTH_SERVICE_BEGIN_ANEW=true to give them up; nothing was changed"
            .into(),
    ))
}

fn start_fault(error: broker::Error) -> Error {
    match error {
        broker::Error::Setup(why) => Error::Start(why),
        other => Error::Broker(other),
    }
}

impl Started {
    fn start_background(&self, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut background = JoinSet::new();
        background.spawn(Arc::clone(&self.app.keys).run(shutdown.clone()));
        background.spawn(Arc::clone(&self.outbox).run(shutdown.clone()));
        background.spawn(Arc::clone(&self.vault).serve(shutdown.clone()));
        background.spawn(copies::serve(self.store.clone(), self.broker.clone(), shutdown.clone()));
        background.spawn(look_after_database(
            self.store.clone(),
            Arc::clone(&self.app.signals),
            shutdown.clone(),
        ));
        background
    }
}

/// Reports whether the database answers, and removes old sessions from it.
async fn look_after_database(store: Store, signals: Arc<Signals>, shutdown: CancellationToken) {
    let mut swept = tokio::time::Instant::now();
    loop {
        // Both branches only wait, so either may be cancelled.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PING_EVERY) => {}
        }
        signals.database(store.ping().await.map_err(|error| error.to_string()));
        if swept.elapsed() >= SWEEP_EVERY {
            swept = tokio::time::Instant::now();
            if let Err(error) = store.sweep_sessions(Timestamp::now()).await {
                tracing::debug!(%error, "old sessions could not be removed");
            }
        }
    }
}
