//! `backchat history`: what an operator asks the history worker. Here, how far the history is behind the log.

mod replay;
pub mod set_aside;
mod verify;

pub use replay::{Wanted, replay};
pub use verify::verify;

use std::time::Duration;

use broker::Broker;
use protocol::query::{HistoryAnswer, HistoryQuery, HistoryStatus, SetAside};
use protocol::subject::{Shard, Shards};
use protocol::{RoomSlug, Timestamp};
use serde_json::json;
use service::process::say;

use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, reader};

/// How long a history worker may take for one shard.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer about a shard whose log has nothing yet.
pub const NOTHING_APPLIED: &str = "nothing is applied yet";

/// Says of each shard how far its history is: a table for a person, lines of JSON for a program.
///
/// # Errors
/// When no backchat runs on the data, or its history worker does not answer.
pub async fn status(config: &Config) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let shards = operator.broker().installation().await.map_err(fault)?.shards();
    let is_for_a_person = reader::is_a_person();
    if is_for_a_person {
        say("shard     applied      events   behind        set aside");
    }
    for shard in shards.all() {
        let status = of_shard(&operator, shard).await?;
        say(&if is_for_a_person { row(shard, &status, Timestamp::now()) } else { line(shard, &status) });
    }
    Ok(())
}

async fn of_shard(operator: &Operator, shard: Shard) -> Result<HistoryStatus, Error> {
    let status = |answer| match answer {
        HistoryAnswer::Status(status) => Some(status),
        _ => None,
    };
    let asked = ask(operator.broker(), shard, HistoryQuery::Status, PATIENCE, status).await;
    asked.map_err(|why| says_nothing(shard, &why))
}

/// Asks the history worker of a shard, and takes the answer if it is of the wanted kind; else says why there is none.
pub async fn ask<T>(
    broker: &Broker,
    shard: Shard,
    query: HistoryQuery,
    patience: Duration,
    wanted: impl FnOnce(HistoryAnswer) -> Option<T>,
) -> Result<T, String> {
    match broker.ask(shard.history_queries(), &query, patience).await {
        Ok(HistoryAnswer::Behind { .. }) => Err(NOTHING_APPLIED.to_owned()),
        Ok(HistoryAnswer::Refused { reason }) => Err(reason),
        Ok(answer) => wanted(answer).ok_or_else(|| "it answers something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A room as an operator names it, and its shard.
fn room_at(address: &str, shards: Shards) -> Result<(Shard, RoomSlug), Error> {
    let room = RoomSlug::parse(address)
        .map_err(|_| Error::Refused(format!("{address:?} is not the address of a room")))?;
    let shard = shards.of(&room);
    let shard = shard.ok_or_else(|| Error::Refused(format!("{room} is in a shard that is not there")))?;
    Ok((shard, room))
}

pub fn says_nothing(shard: Shard, why: &str) -> Error {
    Error::Refused(format!("the history worker says nothing of shard {}: {why}", shard.0))
}

fn row(shard: Shard, status: &HistoryStatus, now: Timestamp) -> String {
    let behind = match status.lag_entries {
        0 => "nothing".to_owned(),
        entries => format!("{entries}, {} s", status.lag_seconds),
    };
    let aside = match &status.oldest_set_aside {
        None => "nothing".to_owned(),
        Some(oldest) => {
            let SetAside { seq, at, reason, .. } = oldest;
            format!("{}, the oldest is {seq}, {} ago: {reason}", status.set_aside, at.age(now))
        }
    };
    let snapshot = match status.last_snapshot {
        None => "; no snapshot yet".to_owned(),
        Some(last) => format!("; last snapshot {} ago, up to {}", last.at.age(now), last.applied),
    };
    let backup = match status.last_backup {
        None => "; no backup yet".to_owned(),
        Some(at) => format!("; last backup {} ago", at.age(now)),
    };
    let verified = match status.last_verify {
        None => "; never compared with the log".to_owned(),
        Some(last) => format!(
            "; compared with the log {} ago: {} rooms, {} differ",
            last.at.age(now),
            last.rooms,
            last.different_rooms
        ),
    };
    format!(
        "{:>5} {:>11} {:>11}   {behind:<13} {aside}{verified}{snapshot}{backup}",
        shard.0, status.applied, status.events
    )
}

fn line(shard: Shard, status: &HistoryStatus) -> String {
    let mut line = json!(status);
    line["shard"] = json!(shard.0);
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::StreamIdentity;
    use protocol::query::{LastSnapshot, LastVerify};

    #[test]
    fn a_person_reads_what_is_behind_what_was_set_aside_and_how_old_the_snapshot_is() {
        let mut status = HistoryStatus {
            stream: StreamIdentity(1),
            applied: 42,
            applied_at: None,
            lag_entries: 0,
            lag_seconds: 0,
            events: 40,
            duplicates: 0,
            set_aside: 0,
            oldest_set_aside: None,
            last_verify: None,
            last_snapshot: None,
            last_backup: None,
        };
        let at = Timestamp::from_millis(0);
        let now = at.plus_seconds(7_500);
        let said = row(Shard(0), &status, now);
        let figures = "    0          42          40   nothing       nothing";
        assert_eq!(said, format!("{figures}; never compared with the log; no snapshot yet; no backup yet"));
        let (subject, reason) = ("chat.log.0.tea".to_owned(), "not an event".to_owned());
        status.oldest_set_aside = Some(SetAside { seq: 7, at, subject, reason, bytes: 3 });
        (status.lag_entries, status.lag_seconds, status.set_aside) = (12, 3, 1);
        status.last_snapshot = Some(LastSnapshot { at, applied: 41 });
        status.last_backup = Some(at);
        status.last_verify = Some(LastVerify { at, rooms: 3, rows: 40, different: 9, different_rooms: 1 });
        let said = row(Shard(3), &status, now);
        assert!(said.starts_with("    3") && said.contains("12, 3 s"), "{said}");
        let words = "1, the oldest is 7, 2 h ago: not an event; compared with the log 2 h ago: 3 rooms, 1 differ; \
                     last snapshot 2 h ago, up to 41; last backup 2 h ago";
        assert!(said.ends_with(words), "{said}");
    }
}
