//! `backchat history replay`: the history is made anew from the log, while people chat.

use std::time::Duration;

use broker::Broker;
use protocol::query::{AskReplay, HistoryAnswer, HistoryQuery, Replay, Replaying};
use protocol::subject::{Shard, Shards};
use serde_json::json;
use service::process::say;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, reader};

/// How often it is looked how far it has come, and how often a program is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A history worker may be away for so long: then whoever applies the shard goes on where it was.
const AWAY_MAX: Duration = Duration::from_secs(60);

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
/// [`Error::Left`] when rooms stay as they are, and when no backchat runs on the data or its history worker does not answer.
pub async fn replay(config: &Config, wanted: &Wanted, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let broker = operator.broker();
    let shards = broker.installation().await.map_err(fault)?.shards();
    let parts = parts(wanted, shards)?;
    for (shard, _) in &parts {
        say(&what_the_log_has(broker, *shard).await?);
    }
    let mut left = 0;
    for (shard, what) in parts {
        if !begin(broker, shard, what).await? {
            say(&nothing_in(shard));
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => {
                say("The history worker goes on with it; the same command shows how far it is.");
                return Ok(());
            }
            ended = until_ended(broker, shard) => left += ended?.left,
        }
    }
    if left > 0 { Err(Error::Left(left)) } else { Ok(()) }
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

async fn what_the_log_has(broker: &Broker, shard: Shard) -> Result<String, Error> {
    let log = broker.stream(&shard.stream()).await.map_err(fault)?;
    if !reader::is_a_person() {
        return Ok(
            json!({ "shard": shard.0, "log_first": log.first_seq, "log_last": log.last_seq }).to_string()
        );
    }
    Ok(format!(
        "The log of shard {} reaches from {} to {}. The history will have what is in it and nothing else: \
         lines that say that a message was deleted go. A room whose beginning the log has lost stays as it is.",
        shard.0, log.first_seq, log.last_seq
    ))
}

/// Gives whether there is anything to be made anew.
async fn begin(broker: &Broker, shard: Shard, what: Replay) -> Result<bool, Error> {
    match ask(broker, shard, AskReplay::Begin(what)).await {
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

/// Waits for the end of what is made anew in a shard, and says how far it is.
pub async fn until_ended(broker: &Broker, shard: Shard) -> Result<Replaying, Error> {
    let (mut said, mut heard) = (Said::default(), Instant::now());
    let mut first = None;
    loop {
        let now = match ask(broker, shard, AskReplay::Status).await {
            Ok(now) => now,
            Err(why) if heard.elapsed() > AWAY_MAX => return Err(super::says_nothing(shard, &why)),
            Err(_) => {
                sleep(LOOK_EVERY).await;
                continue;
            }
        };
        heard = Instant::now();
        let (began, done) = *first.get_or_insert((heard, now.done));
        let pace = Pace { done: now.done.saturating_sub(done), took: began.elapsed() };
        if now.ended_at.is_some() {
            report(shard, &now);
            return Ok(now);
        }
        if reader::is_a_person() {
            reader::draw(&bar(&now, pace));
        } else if said.is_due(pace) {
            say(&line(shard, &now, pace));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// When a program was told last.
#[derive(Debug, Default)]
struct Said(Option<Instant>);

impl Said {
    /// It is told as soon as something is known, and then every so often.
    fn is_due(&mut self, pace: Pace) -> bool {
        let is_due = match self.0 {
            None => pace.done > 0 || pace.took >= SAY_EVERY,
            Some(at) => at.elapsed() >= SAY_EVERY,
        };
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// How much was done since it was first looked at.
#[derive(Debug, Clone, Copy)]
struct Pace {
    done: u64,
    took: Duration,
}

impl Pace {
    fn per_second(self) -> f64 {
        self.done as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// Seconds until the end; `None` when nothing is known.
    fn left(self, now: &Replaying) -> Option<u64> {
        let left = now.of.saturating_sub(now.done) as f64;
        (self.done > 0).then(|| (left / self.per_second()).ceil() as u64)
    }
}

fn bar(now: &Replaying, pace: Pace) -> String {
    let left = pace.left(now).map_or_else(|| "…".to_owned(), |seconds| format!("{seconds} s left"));
    let bar = reader::bar(now.done, now.of);
    format!("{bar}  {} rooms, {} entries, {:.0}/s, {left}", now.rooms, now.entries, pace.per_second())
}

fn line(shard: Shard, now: &Replaying, pace: Pace) -> String {
    let Replaying { rooms, entries, done, of, left, .. } = now;
    json!({ "shard": shard.0, "rooms": rooms, "entries": entries, "done": done, "of": of, "left": left,
        "per_second": pace.per_second().round(), "seconds_left": pace.left(now) })
    .to_string()
}

fn report(shard: Shard, ended: &Replaying) {
    if !reader::is_a_person() {
        let mut line = json!(ended);
        line["shard"] = json!(shard.0);
        return say(&line.to_string());
    }
    reader::draw("");
    for left in &ended.left_rooms {
        say(&format!("{} stays as it is: {}", left.room, left.reason));
    }
    say(&format!("Shard {}: {} rooms are made anew, of {} entries.", shard.0, ended.rooms, ended.entries));
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Timestamp;

    const TWO: Shards = Shards::at_first(2);

    fn replaying(done: u64, of: u64) -> Replaying {
        Replaying {
            what: Replay::Shard,
            began_at: Timestamp::from_millis(0),
            ended_at: None,
            rooms: 7,
            entries: done,
            done,
            of,
            left: 0,
            left_rooms: Vec::new(),
        }
    }

    #[test]
    fn a_person_sees_how_far_it_is_and_how_long_it_will_take() {
        let pace = Pace { done: 200, took: Duration::from_secs(2) };
        let said = bar(&replaying(500, 1_000), pace);
        assert_eq!(said, "[###############---------------]  50 %  7 rooms, 500 entries, 100/s, 5 s left");
        let nothing = Pace { done: 0, took: Duration::ZERO };
        assert!(bar(&replaying(0, 0), nothing).contains("0 %"), "of nothing nothing is done");
        // Entries may have come since it was counted.
        assert!(bar(&replaying(1_200, 1_000), pace).contains("100 %"));
    }

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
