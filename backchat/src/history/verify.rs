//! `backchat history verify`: whether the history has what the log says.

mod places;

use std::collections::BTreeMap;
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
/// program. What is cut short says how to go on from there.
///
/// # Errors
/// [`Error::Differs`], and [`Error::Refused`] when it was stopped before the end, when no backchat runs on the data or its history
/// worker does not answer.
pub async fn verify(config: &Config, room: Option<&str>, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let shards = operator.broker().installation().await.map_err(fault)?.shards();
    let wanted = match (room, &config.from) {
        (Some(_), Some(_)) => return Err(Error::Refused("--from is for a comparison of all rooms".into())),
        (Some(room), None) => {
            let (shard, room) = super::room_at(room, shards)?;
            [(shard, Verify::Room(room))].into()
        }
        (None, Some(places)) => places::read(places, shards)?,
        (None, None) => shards.all().map(|shard| (shard, Verify::Rooms { after: None })).collect(),
    };
    let mut comparison = Comparison::of(wanted);
    let done = shutdown.run_until_cancelled(Box::pin(comparison.run(operator.broker()))).await;
    // What was found in the last moment counts.
    comparison.take_found();
    let compared = &comparison.all;
    match (done, room) {
        (None, Some(room)) => {
            Err(Error::Refused(format!("stopped before the end: type the same for {room} again")))
        }
        (None, None) => Err(comparison.cut_short("stopped before the end")),
        (Some(Err(why)), Some(_)) => Err(Error::Refused(why)),
        (Some(Err(why)), None) => Err(comparison.cut_short(&why)),
        (Some(Ok(())), Some(room)) if compared.rooms == 0 => {
            Err(Error::Refused(format!("neither the log nor the history has a room {room}")))
        }
        (Some(Ok(())), _) => report(compared),
    }
}

/// A comparison of some shards, as far as it has come.
struct Comparison {
    all: Verified,
    /// What comes next in each shard that is not compared to its end.
    left: BTreeMap<Shard, Verify>,
    found: mpsc::Sender<(Shard, Verified)>,
    parts: mpsc::Receiver<(Shard, Verified)>,
    began: Instant,
}

impl Comparison {
    fn of(left: BTreeMap<Shard, Verify>) -> Self {
        let (found, parts) = mpsc::channel(SHARDS_AT_ONCE);
        Self { all: Verified::default(), left, found, parts, began: Instant::now() }
    }

    /// Asks for all parts, a few shards at once, and says what comes of it. It may be cancelled, and is then as far as it says.
    async fn run(&mut self, broker: &Broker) -> Result<(), String> {
        let mut wanted: Vec<_> = self.left.clone().into_iter().rev().collect();
        let mut asking = JoinSet::new();
        let mut said = Instant::now();
        loop {
            while asking.len() < SHARDS_AT_ONCE
                && let Some((shard, first)) = wanted.pop()
            {
                asking.spawn(of_shard(broker.clone(), shard, first, self.found.clone()));
            }
            // Inputs: a part that was compared, a shard that is done.
            tokio::select! {
                biased;
                Some((shard, part)) = self.parts.recv() => self.take(shard, part),
                Some(done) = asking.join_next() => {
                    done.map_err(|_| "a comparison was cut short".to_owned())??;
                }
                else => return Ok(()),
            }
            if asking.is_empty() && wanted.is_empty() {
                return Ok(());
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                say(&self.progress());
            }
        }
    }

    fn take_found(&mut self) {
        while let Ok((shard, part)) = self.parts.try_recv() {
            self.take(shard, part);
        }
    }

    fn take(&mut self, shard: Shard, mut part: Verified) {
        for difference in part.differences.drain(..) {
            say(&named(&difference));
        }
        match part.next.take() {
            Some(next) => drop(self.left.insert(shard, next)),
            None => drop(self.left.remove(&shard)),
        }
        self.all.add(part);
    }

    fn progress(&self) -> String {
        let Verified { rooms, rows, different, .. } = &self.all;
        let rate = *rows as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let from = places::named(&self.left);
        if !reader::is_a_person() {
            return json!({ "rooms": rooms, "rows": rows, "different": different, "rows_per_s": rate.round(), "from": from })
                .to_string();
        }
        format!(
            "{rooms} rooms with {rows} rows so far, {rate:.0} rows a second; if cut short, go on with --from {from}"
        )
    }

    /// Why it is not known whether there are differences, and what to type.
    fn cut_short(&self, why: &str) -> Error {
        let Verified { rooms, rows, different, .. } = &self.all;
        let from = places::named(&self.left);
        if !reader::is_a_person() {
            say(&json!({ "rooms": rooms, "rows": rows, "different": different, "from": from }).to_string());
        }
        Error::Refused(format!(
            "{why}; {rooms} rooms were compared, with {different} differences: `backchat history verify --from {from}` compares the rest"
        ))
    }
}

async fn of_shard(
    broker: Broker,
    shard: Shard,
    first: Verify,
    found: mpsc::Sender<(Shard, Verified)>,
) -> Result<(), String> {
    let mut next = Some(first);
    while let Some(what) = next.take() {
        let part = |answer| match answer {
            HistoryAnswer::Verified(part) => Some(part),
            _ => None,
        };
        let asked = super::ask(&broker, shard, HistoryQuery::Verify(what), PATIENCE, part).await;
        let part =
            asked.map_err(|why| format!("the history of shard {} can't be verified: {why}", shard.0))?;
        next.clone_from(&part.next);
        // Nobody hears it when the person has gone.
        let _ = found.send((shard, part)).await;
    }
    Ok(())
}

fn named(difference: &Difference) -> String {
    if !reader::is_a_person() {
        return json!(difference).to_string();
    }
    let Difference { room, seq, field, log, history } = difference;
    let place = if *seq == 0 { String::new() } else { format!(", {seq}") };
    format!("{room}{place}: {field}: the log says {log}, the history has {history}")
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
