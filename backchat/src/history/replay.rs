//! `backchat history replay`: the history is made anew from the log, while people chat, and from a snapshot what the log has lost.

mod given;
mod progress;

use std::sync::atomic::{AtomicBool, Ordering};

use archive::Opened;
use broker::Broker;
use protocol::query::{AskReplay, HistoryAnswer, HistoryQuery, Replay, Replaying};
use protocol::subject::{Shard, Shards};
use serde_json::json;
use service::process::say;
use tokio_util::sync::CancellationToken;

use crate::backup::refused;
use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, reader};
use given::Prepared;
pub use progress::until_ended;

/// What is to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    All,
    Shard(String),
    Room(String),
}

/// Has the history, or a part of it, made anew, and says how far that is. It goes on without whoever asked.
///
/// # Errors
/// [`Error::Left`] when rooms stay as they are; when a snapshot that is named can't give back what the log has lost, and when no
/// backchat runs on the data or its history worker does not answer: then nothing was changed.
pub async fn replay(config: &Config, wanted: &Wanted, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let broker = operator.broker();
    let shards = broker.installation().await.map_err(fault)?.shards();
    let parts = parts(wanted, shards)?;
    let from = match &config.snapshot {
        Some(place) => Some(Opened::whole_at(place).await.map_err(refused)?),
        None => None,
    };
    let preparing = Box::pin(prepare(broker, parts, from.as_ref()));
    let prepared = shutdown.run_until_cancelled(preparing).await.unwrap_or_else(|| Err(stopped()))?;
    let mut left = 0;
    for part in &prepared {
        let has_begun = AtomicBool::new(false);
        let making = Box::pin(make(broker, part, from.as_ref(), &has_begun));
        match shutdown.run_until_cancelled(making).await {
            Some(ended) => left += ended?,
            None if has_begun.load(Ordering::Relaxed) => {
                say("The history worker goes on with it; the same command shows how far it is.");
                return Ok(());
            }
            None => return Err(stopped()),
        }
    }
    if left > 0 { Err(Error::Left(left)) } else { Ok(()) }
}

fn stopped() -> Error {
    Error::Refused("stopped before it had begun".to_owned())
}

/// Says what can be given back, before anything is begun.
async fn prepare(
    broker: &Broker,
    parts: Vec<(Shard, Replay)>,
    from: Option<&Opened>,
) -> Result<Vec<Prepared>, Error> {
    let mut prepared = Vec::new();
    for part in parts {
        let part = Prepared::of(broker, part, from).await?;
        part.say(broker).await?;
        prepared.push(part);
    }
    prepared.iter().try_for_each(|part| part.check(from.is_some()))?;
    Ok(prepared)
}

/// Makes a part anew, and gives how many rooms stay as they are.
async fn make(
    broker: &Broker,
    part: &Prepared,
    from: Option<&Opened>,
    has_begun: &AtomicBool,
) -> Result<u64, Error> {
    let generation = match from {
        Some(from) => part.give(broker, from).await?,
        None => None,
    };
    let what = part.what.clone();
    let begin = match generation {
        Some(generation) => AskReplay::BeginWith { what, generation },
        None => AskReplay::Begin(what),
    };
    if !begins(broker, part.shard, begin).await? {
        say(&nothing_in(part.shard));
        return Ok(0);
    }
    has_begun.store(true, Ordering::Relaxed);
    Ok(until_ended(broker, part.shard).await?.left)
}

fn parts(wanted: &Wanted, shards: Shards) -> Result<Vec<(Shard, Replay)>, Error> {
    match wanted {
        Wanted::All => Ok(shards.all().map(|shard| (shard, Replay::Shard)).collect()),
        Wanted::Shard(number) => {
            let shard = number.parse().ok().map(Shard).filter(|shard| shard.0 < shards.count());
            let shard = shard.ok_or_else(|| {
                Error::Refused(format!(
                    "{number:?} is no shard: they have numbers from 0 to {}",
                    shards.count() - 1
                ))
            })?;
            Ok(vec![(shard, Replay::Shard)])
        }
        Wanted::Room(room) => {
            let (shard, room) = super::room_at(room, shards)?;
            Ok(vec![(shard, Replay::Room(room))])
        }
    }
}

/// Gives whether there is anything to be made anew.
async fn begins(broker: &Broker, shard: Shard, begin: AskReplay) -> Result<bool, Error> {
    match ask(broker, shard, begin).await {
        Ok(_) => Ok(true),
        Err(why) if why == super::NOTHING_APPLIED => Ok(false),
        Err(why) => Err(super::says_nothing(shard, &why)),
    }
}

fn nothing_in(shard: Shard) -> String {
    if reader::is_a_person() {
        format!("The history of shard {} has nothing yet that could be made anew.", shard.0)
    } else {
        json!({ "shard": shard.0, "rooms": 0, "entries": 0, "left": 0 }).to_string()
    }
}

async fn ask(broker: &Broker, shard: Shard, asked: AskReplay) -> Result<Replaying, String> {
    let last = |answer| match answer {
        HistoryAnswer::Replay { last } => last,
        _ => None,
    };
    super::ask(broker, shard, HistoryQuery::Replay(asked), super::PATIENCE, last).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Shards = Shards::at_first(2);

    #[test]
    fn what_is_wanted_is_a_shard_or_a_room_that_can_be() {
        assert_eq!(parts(&Wanted::All, TWO).unwrap().len(), 2);
        assert_eq!(parts(&Wanted::Shard("1".into()), TWO).unwrap(), [(Shard(1), Replay::Shard)]);
        for bad in ["2", "-1", "x", ""] {
            assert!(parts(&Wanted::Shard(bad.into()), TWO).is_err(), "{bad:?} was taken");
        }
        assert!(parts(&Wanted::Room("Not A Room".into()), TWO).is_err());
    }
}
