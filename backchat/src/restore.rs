//! `backchat restore`: a data folder is made of a backup. `backchat history restore`: the history of one that has lost it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use archive::{Opened, names};
use broker::Broker;
use broker::{Layout, setup};
use futures_util::TryStreamExt;
use protocol::subject::{self, Shard};
use serde_json::Value;
use service::process::{Fatal, say};
use tokio_util::sync::CancellationToken;

use crate::backup::refused;
use crate::data::{self, Data};
use crate::ground::{Ground, fault};
use crate::operator::Operator;
use crate::{Config, Error, nats, services};

/// Makes the data folder of a backup. It is made beside its place and moved there at the end, so that there is a whole one or none.
///
/// # Errors
/// When there is a chat already, when the backup is damaged or of something else: then nothing was changed.
pub async fn everything(config: Config, place: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let backup = Backups { all: open(place).await?, keys: newer_keys(&config).await? };
    if config.broker.is_some() {
        return apart(&config, &backup, shutdown).await;
    }
    data::refuse_unless_free(&config.data)?;
    refuse_other_layout(&backup.all)?;
    let program = nats::find(config.nats_server.as_deref()).await?;
    let beside = beside(&config.data);
    data::clear(&beside)?;
    let data = Data::take(&beside).await?;
    data.mark_restoring()?;
    let ground = Ground::start(program, data).await?;
    let (wanted, roots) = (config.data.clone(), config.roots.clone());
    let filled = shutdown.run_until_cancelled(Box::pin(fill(config, &ground, &backup))).await;
    ground.stop().await;
    drop(ground);
    filled.unwrap_or_else(|| Err(stopped()))?;
    data::move_restored(&beside, &wanted)?;
    say(&format!(
        "Restored to {}. It needs the root keys of {}, which are in no backup; everybody has to log in again.",
        wanted.display(),
        roots.display()
    ));
    Ok(())
}

/// What is restored.
struct Backups {
    all: Opened,
    /// Where the keys come from, if they are of another one.
    keys: Option<Opened>,
}

async fn newer_keys(config: &Config) -> Result<Option<Opened>, Error> {
    match &config.keys_from {
        Some(place) => open(place).await.map(Some),
        None => Ok(None),
    }
}

/// The broker of this edition knows one shard alone.
fn refuse_other_layout(backup: &Opened) -> Result<(), Error> {
    let (found, known) = (backup.manifest().shards, crate::run::LAYOUT.shards);
    if found == known {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "this backup is of services that run apart, with {found} shards: restore it to such, whose NATS server --nats-url names"
    )))
}

/// Makes the streams of a broker that has none; each service restores its own databases.
async fn apart(config: &Config, backup: &Backups, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let restoring = Box::pin(restore_streams(operator.broker(), backup, None));
    shutdown.run_until_cancelled(restoring).await.unwrap_or_else(|| Err(stopped()))?;
    say(
        "The log is restored. Now run `auth-service restore` and `history-worker restore` with the same place, then start everything.",
    );
    Ok(())
}

/// Makes the history of a data folder of a snapshot, while its backchat does not run. Its log must continue the snapshot.
///
/// # Errors
/// When there is a history already, or the log is another one: then nothing was changed.
pub async fn history(config: Config, place: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let backup = open(place).await?;
    let program = nats::find(config.nats_server.as_deref()).await?;
    let data = Data::take_set_up(&config.data).await?;
    let ground = Ground::start(program, data).await?;
    let restoring = async {
        ground.connect().await?;
        restore_history(&services::inside(config, &ground.data, &ground.conf).worker, &backup).await
    };
    let restored = shutdown.run_until_cancelled(Box::pin(restoring)).await;
    ground.stop().await;
    restored.unwrap_or_else(|| Err(stopped()))
}

fn stopped() -> Error {
    Error::Refused("stopped before the end: restore it again".to_owned())
}

/// Everything is read once before anything is made of it.
async fn open(place: &str) -> Result<Opened, Error> {
    let backup = Opened::whole_at(place).await.map_err(refused)?;
    let manifest = backup.manifest();
    say(&format!(
        "A backup of {}: {} files, {} bytes, none of them damaged.",
        manifest.made_at,
        manifest.files.len(),
        manifest.bytes()
    ));
    Ok(backup)
}

async fn fill(config: Config, ground: &Ground, backup: &Backups) -> Result<(), Error> {
    let broker = ground.connect().await?;
    restore_streams(&broker, backup, crate::run::LAYOUT.replicas).await?;
    let config = services::inside(config, &ground.data, &ground.conf);
    let accounts = Box::pin(auth_service::restore(&config.auth, &backup.all)).await;
    let accounts = accounts.map_err(|error| failed("auth service", &error))?;
    say(&format!("{accounts} accounts."));
    restore_history(&config.worker, &backup.all).await?;
    ground.data.mark_set_up()
}

/// `replicas`: on how many servers each stream is kept; by default as it was.
async fn restore_streams(broker: &Broker, backup: &Backups, replicas: Option<u8>) -> Result<(), Error> {
    let Backups { all, keys } = backup;
    let shards = all.manifest().shards;
    let others = [subject::PROFILES_STREAM, subject::KEYS_STREAM, subject::INSTALLATION_STREAM];
    let streams = (0..shards).map(|shard| Shard(shard).stream()).chain(others.map(str::to_owned));
    for stream in streams {
        let of = keys.as_ref().filter(|_| stream == subject::KEYS_STREAM).unwrap_or(all);
        restore_stream(broker, &stream, of, replicas).await?;
    }
    // What no backup has is made: nobody's session is restored.
    let layout = Layout { shards, replicas, raise: false };
    setup::create(broker, layout).await.map(drop).map_err(fault)
}

async fn description(stream: &str, backup: &Opened) -> Result<Value, Error> {
    let description = backup.whole(&names::stream_description(stream)).await.map_err(refused)?;
    serde_json::from_slice(&description)
        .map_err(|_| Error::Refused(format!("the backup's description of the stream {stream} can't be read")))
}

async fn restore_stream(
    broker: &Broker,
    stream: &str,
    backup: &Opened,
    replicas: Option<u8>,
) -> Result<(), Error> {
    let mut content = backup.content(&names::stream(stream)).await.map_err(refused)?;
    let made = broker.restore(&description(stream, backup).await?, replicas).await.map_err(fault)?;
    while let Some(piece) = content.try_next().await.map_err(refused)? {
        for start in (0..piece.len()).step_by(PIECE_BYTES) {
            made.push(piece.slice(start..piece.len().min(start + PIECE_BYTES))).await.map_err(fault)?;
        }
    }
    let info = made.finish().await.map_err(fault)?;
    say(&format!("The stream {stream}, up to {}.", info.last_seq));
    Ok(())
}

/// Bytes that are given to the broker at once.
const PIECE_BYTES: usize = 128 * 1024;

async fn restore_history(config: &history_worker::Config, backup: &Opened) -> Result<(), Error> {
    let restored = Box::pin(history_worker::snapshot::restore(config, backup)).await;
    let restored = restored.map_err(|error| failed("history worker", &error))?;
    say(&format!("The history: {} rooms, {} rows.", restored.rooms, restored.rows));
    Ok(())
}

fn failed(name: &'static str, error: &impl Fatal) -> Error {
    Error::Service { name, why: error.to_string(), is_start_fault: error.is_start_fault() }
}

/// `./data` is made in `./data-restoring`.
fn beside(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_else(|| OsStr::new("data")).to_owned();
    name.push("-restoring");
    data.with_file_name(name)
}
