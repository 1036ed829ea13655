//! `backchat history verify`: whether the history has what the log says.

use std::time::Duration;

use broker::Broker;
use protocol::query::{Difference, HistoryAnswer, HistoryQuery, Verified, Verify};
use protocol::subject::Shard;
use serde_json::json;
use service::process::say;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, reader};

/// How long a history worker may take for one answer. What takes longer is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is said how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Shards that are compared at once.
const SHARDS_AT_ONCE: usize = 4;

/// Compares the history of one room, or of all, with the log, and names what differs: sentences for a person, lines of JSON for a
/// program.
///
/// # Errors
/// [`Error::Differs`], and when no backchat runs on the data or its history worker does not answer.
pub async fn verify(config: &Config, room: Option<&str>, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let shards = operator.broker().installation().await.map_err(fault)?.shards();
    let wanted: Vec<(Shard, Verify)> = match room {
        Some(room) => {
            let (shard, room) = super::room_at(room, shards)?;
            vec![(shard, Verify::Room(room))]
        }
        None => shards.all().map(|shard| (shard, Verify::Rooms { after: None })).collect(),
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        compared = compare(operator.broker(), wanted) => {
            let compared = compared?;
            match room.filter(|_| compared.rooms == 0) {
                Some(room) => Err(Error::Refused(format!("neither the log nor the history has a room {room}"))),
                None => report(&compared),
            }
        }
    }
}

/// Asks for all parts, a few shards at once, and says what comes of it.
async fn compare(broker: &Broker, mut wanted: Vec<(Shard, Verify)>) -> Result<Verified, Error> {
    let (found, mut parts) = mpsc::channel(SHARDS_AT_ONCE);
    let (mut asking, mut all) = (JoinSet::new(), Verified::default());
    let (began, mut said) = (Instant::now(), Instant::now());
    wanted.reverse();
    loop {
        while asking.len() < SHARDS_AT_ONCE
            && let Some((shard, first)) = wanted.pop()
        {
            asking.spawn(of_shard(broker.clone(), shard, first, found.clone()));
        }
        // Inputs: a part that was compared, a shard that is done.
        tokio::select! {
            biased;
            Some(part) = parts.recv() => take(&mut all, part),
            Some(done) = asking.join_next() => {
                done.map_err(|_| Error::Refused("a comparison was cut short".into()))??;
            }
            else => return Ok(all),
        }
        if asking.is_empty() && wanted.is_empty() {
            while let Ok(part) = parts.try_recv() {
                take(&mut all, part);
            }
            return Ok(all);
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            say(&progress(&all, began.elapsed()));
        }
    }
}

async fn of_shard(
    broker: Broker,
    shard: Shard,
    first: Verify,
    found: mpsc::Sender<Verified>,
) -> Result<(), Error> {
    let mut next = Some(first);
    while let Some(what) = next.take() {
        let part = |answer| match answer {
            HistoryAnswer::Verified(part) => Some(part),
            _ => None,
        };
        let asked = super::ask(&broker, shard, HistoryQuery::Verify(what), PATIENCE, part).await;
        let part = asked.map_err(|why| {
            Error::Refused(format!("the history of shard {} can't be verified: {why}", shard.0))
        })?;
        next.clone_from(&part.next);
        // Nobody hears it when the person has gone.
        let _ = found.send(part).await;
    }
    Ok(())
}

fn take(all: &mut Verified, mut part: Verified) {
    for difference in part.differences.drain(..) {
        say(&named(&difference));
    }
    all.add(part);
}

fn named(difference: &Difference) -> String {
    if !reader::is_a_person() {
        return json!(difference).to_string();
    }
    let Difference { room, seq, field, log, history } = difference;
    let place = if *seq == 0 { String::new() } else { format!(", {seq}") };
    format!("{room}{place}: {field}: the log says {log}, the history has {history}")
}

fn progress(all: &Verified, took: Duration) -> String {
    let rate = all.rows as f64 / took.as_secs_f64().max(0.001);
    if !reader::is_a_person() {
        return json!({ "rooms": all.rooms, "rows": all.rows, "different": all.different, "rows_per_s": rate.round() })
            .to_string();
    }
    format!("{} rooms with {} rows so far, {rate:.0} rows a second", all.rooms, all.rows)
}

fn report(all: &Verified) -> Result<(), Error> {
    if reader::is_a_person() {
        let older = match all.older {
            0 => String::new(),
            older => format!(" {older} of them are older than the log, and could not be compared."),
        };
        say(&format!("{} rooms with {} rows were compared with the log.{older}", all.rooms, all.rows));
    } else {
        say(&json!({ "rooms": all.rooms, "rows": all.rows, "older": all.older, "different": all.different })
            .to_string());
    }
    match all.different {
        0 => Ok(()),
        different => Err(Error::Differs(different)),
    }
}
