//! `backchat backup`: everything of the running chat, while people chat, in a folder or a bucket. `backchat history snapshot`: its
//! history alone.
//!
//! What is read later may know more than what was read before, never less: the history comes before the log, which goes on where it
//! ends; the log before the accounts of those who wrote in it; these before their names and keys. Root keys are not in it.

use std::time::Duration;

use archive::{Archive, Manifest, Written, names};
use broker::Broker;
use protocol::Timestamp;
use protocol::accounts::{AccountLine, AccountsAnswer, AskAccounts};
use protocol::query::{AskPiece, HistoryAnswer, HistoryQuery, SnapshotPiece};
use protocol::subject::{self, Shard, Shards};
use service::process::say;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, history};

/// How long a history worker may take to begin a snapshot: one that catches up writes its batches first.
const BEGIN_MAX: Duration = Duration::from_secs(60);
/// How long one piece is waited for, how often it is asked for again, and the pause before that.
const PIECE_MAX: Duration = Duration::from_secs(30);
const PIECE_TRIES: u32 = 10;
const PIECE_AGAIN: Duration = Duration::from_millis(500);
/// How long the auth service may take for some rows.
const ROWS_MAX: Duration = Duration::from_secs(10);

/// Backs up everything.
///
/// # Errors
/// When no backchat runs on the data, one of its services does not answer, or the place can't be written. Then there is no backup.
pub async fn everything(config: &Config, place: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let (broker, shards, backup) = begin(config, place).await?;
    let all = async {
        for shard in shards.all() {
            copy_history(&broker, shard, &backup).await?;
        }
        for shard in shards.all() {
            copy_stream(&broker, &shard.stream(), &backup).await?;
        }
        copy_accounts(&broker, &backup).await?;
        for stream in [subject::PROFILES_STREAM, subject::KEYS_STREAM, subject::INSTALLATION_STREAM] {
            copy_stream(&broker, stream, &backup).await?;
        }
        Ok(())
    };
    let done = shutdown.run_until_cancelled(Box::pin(all)).await;
    let backed_up = end(place, backup, done).await?;
    tell(&broker, shards, backed_up.made_at).await;
    Ok(())
}

/// Backs up the history alone.
///
/// # Errors
/// As [`everything`].
pub async fn snapshot(config: &Config, place: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let (broker, shards, backup) = begin(config, place).await?;
    let all = async {
        for shard in shards.all() {
            copy_history(&broker, shard, &backup).await?;
        }
        Ok(())
    };
    let done = shutdown.run_until_cancelled(Box::pin(all)).await;
    end(place, backup, done).await.map(drop)
}

async fn begin(config: &Config, place: &str) -> Result<(Broker, Shards, Written), Error> {
    let archive = Archive::at(place).map_err(refused)?;
    let broker = Operator::connect(config).await?.broker().clone();
    let shards = broker.installation().await.map_err(fault)?.shards();
    let backup = archive.create(shards.count()).await.map_err(refused)?;
    Ok((broker, shards, backup))
}

async fn end(place: &str, backup: Written, done: Option<Result<(), Error>>) -> Result<Manifest, Error> {
    match done {
        None => Err(Error::Refused(format!("stopped before the end: {place} holds no backup"))),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => {
            let manifest = backup.finish().await.map_err(refused)?;
            say(&format!(
                "Backed up to {place}: {} files, {} bytes.",
                manifest.files.len(),
                manifest.bytes()
            ));
            Ok(manifest)
        }
    }
}

/// Has the history workers note it, who count how old the last backup is. One that they don't hear of is as good.
async fn tell(broker: &Broker, shards: Shards, at: Timestamp) {
    for shard in shards.all() {
        let noted = |answer| matches!(answer, HistoryAnswer::BackedUp).then_some(());
        let told = history::ask(broker, shard, HistoryQuery::BackedUp { at }, history::PATIENCE, noted).await;
        if let Err(why) = told {
            say(&format!("The history worker of shard {} could not be told of the backup: {why}", shard.0));
        }
    }
}

pub fn refused(error: archive::Error) -> Error {
    Error::Refused(error.to_string())
}

async fn copy_history(broker: &Broker, shard: Shard, backup: &Written) -> Result<(), Error> {
    let begun = |answer| match answer {
        HistoryAnswer::Snapshot { pieces, applied } => Some((pieces, applied)),
        _ => None,
    };
    let asked = history::ask(broker, shard, HistoryQuery::Snapshot, BEGIN_MAX, begun).await;
    let (pieces, applied) = match asked {
        Ok(begun) => begun,
        Err(why) if why == history::NOTHING_APPLIED => {
            say(&format!("The history of shard {} has nothing yet.", shard.0));
            return Ok(());
        }
        Err(why) => return Err(history::says_nothing(shard, &why)),
    };
    let mut file = backup.file(&names::history(shard));
    for piece in 0.. {
        match piece_of(broker, &pieces, piece).await? {
            SnapshotPiece::Lines(lines) => file.write(lines.into()).await.map_err(refused)?,
            SnapshotPiece::End => break,
            SnapshotPiece::Failed(why) => return Err(history::says_nothing(shard, &why)),
        }
    }
    let bytes = file.finish().await.map_err(refused)?;
    say(&format!("The history of shard {}, up to {applied} of its log: {bytes} bytes.", shard.0));
    Ok(())
}

/// The worker that has begun is the only one that can go on.
async fn piece_of(broker: &Broker, pieces: &str, piece: u64) -> Result<SnapshotPiece, Error> {
    let mut tries = 1;
    loop {
        match broker.ask_for_bytes(pieces.to_owned(), &AskPiece { piece }, PIECE_MAX).await {
            Ok(answer) => {
                let piece = SnapshotPiece::decode(&answer);
                return piece
                    .ok_or_else(|| Error::Refused("the history worker answers something else".to_owned()));
            }
            Err(error) if tries == PIECE_TRIES || !error.is_passing() => {
                return Err(Error::Refused(format!("the snapshot of the history was cut short: {error}")));
            }
            Err(_) => {
                tries += 1;
                sleep(PIECE_AGAIN).await;
            }
        }
    }
}

async fn copy_stream(broker: &Broker, stream: &str, backup: &Written) -> Result<(), Error> {
    let mut copied = broker.back_up(stream).await.map_err(fault)?;
    let mut file = backup.file(&names::stream(stream));
    while let Some(piece) = copied.next().await.map_err(fault)? {
        file.write(piece).await.map_err(refused)?;
    }
    let bytes = file.finish().await.map_err(refused)?;
    let mut description = backup.file(&names::stream_description(stream));
    description.write(copied.description.to_string().into()).await.map_err(refused)?;
    description.finish().await.map_err(refused)?;
    say(&format!("The stream {stream}: {bytes} bytes."));
    Ok(())
}

async fn copy_accounts(broker: &Broker, backup: &Written) -> Result<(), Error> {
    let mut file = backup.lines(names::ACCOUNTS);
    file.push(&AccountLine::Begin { format: AccountLine::FORMAT }).await.map_err(refused)?;
    let (mut people, mut next) = (0, Some(AskAccounts::FIRST));
    while let Some(asked) = next {
        let (rows, behind) = account_rows(broker, &asked).await?;
        for line in &rows {
            people += u64::from(matches!(line, AccountLine::Account { .. }));
            file.push(line).await.map_err(refused)?;
        }
        next = behind;
    }
    let lines = file.lines();
    file.push(&AccountLine::End { lines }).await.map_err(refused)?;
    file.finish().await.map_err(refused)?;
    say(&format!("{people} accounts."));
    Ok(())
}

async fn account_rows(
    broker: &Broker,
    asked: &AskAccounts,
) -> Result<(Vec<AccountLine>, Option<AskAccounts>), Error> {
    match broker.ask(subject::ACCOUNT_COPIES.to_owned(), asked, ROWS_MAX).await {
        Ok(AccountsAnswer::Rows { lines, next }) => Ok((lines, next)),
        Ok(AccountsAnswer::Refused { reason }) => {
            Err(Error::Refused(format!("the auth service refuses: {reason}")))
        }
        Err(error) => Err(Error::Refused(format!("the auth service does not answer: {error}"))),
    }
}
