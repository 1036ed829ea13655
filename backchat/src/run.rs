//! From an address and a folder to a chat that serves, and back.

use std::net::SocketAddr;
use std::time::Duration;

use broker::{Layout, setup};
use sealing::Roots;
use service::probe::{self, reachable};
use service::process;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::Command;
use crate::data::Data;
use crate::ground::{self, Ground};
use crate::run_file::Addresses;
use crate::services::Services;
use crate::{
    Config, Error, backup, doctor, erase, history, keys, nats, reach, reader, restore, roots, rotate,
    run_file, search, trial,
};

/// One machine, one copy, one shard.
pub const LAYOUT: Layout = Layout { shards: 1, replicas: Some(1), raise: false };

/// Pauses between two looks at `/readyz`, the time one may take, and when it is time to say what is missing.
const READY_PAUSE: Duration = Duration::from_millis(50);
const READY_TIMEOUT: Duration = Duration::from_secs(5);
const READY_COMPLAINT: Duration = Duration::from_secs(15);

/// Runs the single-node edition until `shutdown`, or does what the command line asks instead.
///
/// # Errors
/// What keeps it from starting, or the service that failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    if config.json {
        reader::wants_json();
    }
    match config.command {
        Command::ErasePerson(ref name) => erase::person(&config, name, shutdown).await,
        Command::EraseRoom(ref room) => erase::room(&config, room, shutdown).await,
        Command::HistoryStatus => history::status(&config).await,
        Command::ListSetAside => history::set_aside::list(&config).await,
        Command::ShowSetAside(ref place) => history::set_aside::show(&config, place).await,
        Command::DropSetAside(ref place) => history::set_aside::forget(&config, place).await,
        Command::RetrySetAside(ref place) => history::set_aside::retry(&config, place).await,
        Command::ReplayHistory(ref wanted) => history::replay(&config, wanted, shutdown).await,
        Command::VerifyHistory(ref room) => history::verify(&config, room.as_deref(), shutdown).await,
        Command::SearchStatus => search::status(&config).await,
        Command::ReplaySearch => search::replay(&config, shutdown).await,
        Command::Chat => Box::pin(chat(config, shutdown)).await,
        Command::BackUp(ref place) => backup::everything(&config, place, shutdown).await,
        Command::SnapshotHistory(ref place) => backup::snapshot(&config, place, shutdown).await,
        Command::Restore(ref place) => {
            let place = place.clone();
            Box::pin(restore::everything(config, &place, shutdown)).await
        }
        Command::RestoreHistory(ref place) => {
            let place = place.clone();
            Box::pin(restore::history(config, &place, shutdown)).await
        }
        Command::Doctor => Box::pin(doctor::examine(&config)).await,
        Command::Probe(ref urls) => reach::all(urls, config.wait).await,
        Command::Try(ref addresses) => Box::pin(trial::of(&config, addresses)).await,
        Command::CheckKeys => Box::pin(keys::check(config, shutdown)).await,
        Command::ExportKeys => keys::export(&config.roots),
        Command::ImportKeys => keys::import(&config, shutdown).await,
        Command::RotateKeys => rotate::rotate(&config, shutdown).await,
    }
}

/// The address and the NATS program are checked before the data folder is touched, and the folder before anything in it is.
async fn chat(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let public = process::listen(config.listen).await.map_err(Error::Address)?;
    let program = nats::find(config.nats_server.as_deref()).await?;
    let data = Data::take(&config.data).await?;
    let roots = roots::prepare(&config.roots, &data)?;
    let ground = Ground::start(program, data).await?;
    // Whatever ends the rest, the server is stopped after it.
    let outcome = Box::pin(serve(config, public, (&ground, roots), &shutdown)).await;
    ground.stop().await;
    outcome
}

async fn serve(
    config: Config,
    public: TcpListener,
    (ground, roots): (&Ground, Roots),
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    // A set-up that is cut short is done again at the next start.
    tokio::select! {
        prepared = set_up(ground, &roots, &config) => prepared?,
        () = shutdown.cancelled() => return Ok(()),
    }
    drop(roots);
    let mut services = Services::start(config, public, &ground.data, &ground.conf).await?;
    let written = run_file::write(&ground.data, services.addresses, &ground.conf);
    if written.is_ok() {
        let addresses = services.addresses;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = services.one_ended() => {}
            () = announce(addresses) => {}
        }
    }
    let stopped = services.stop().await;
    run_file::remove(&ground.data);
    written.and(stopped)
}

/// Waits for the broker, and creates its streams if this folder is new; else the root keys must be those of its data.
async fn set_up(ground: &Ground, roots: &Roots, config: &Config) -> Result<(), Error> {
    let broker = ground.connect().await?;
    if ground.data.is_set_up() {
        return roots::check_canary(&broker, roots, (&config.roots, &config.data)).await;
    }
    setup::create(&broker, LAYOUT).await.map_err(ground::fault)?;
    ground.data.mark_set_up()
}

/// Says the address as soon as somebody can log in and chat there, then waits for ever.
async fn announce(addresses: Addresses) {
    let gateway = reachable(addresses.gateway);
    until_ready(reachable(addresses.auth_operations)).await;
    until_ready(gateway).await;
    process::say(&format!("backchat is ready: http://{gateway}/"));
    std::future::pending().await
}

async fn until_ready(asked: SocketAddr) {
    let mut complaint = Instant::now() + READY_COMPLAINT;
    loop {
        let missing = match probe::get(asked, "/readyz", READY_TIMEOUT).await {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => answer.body,
            Err(error) => error.to_string(),
        };
        if Instant::now() >= complaint {
            tracing::warn!(missing, "not ready yet");
            complaint = Instant::now() + READY_COMPLAINT;
        }
        sleep(READY_PAUSE).await;
    }
}
