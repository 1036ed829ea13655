//! How far a replay is, as a person and as a program are told.

use std::time::Duration;

use broker::Broker;
use protocol::query::{AskReplay, Replaying};
use protocol::subject::Shard;
use serde_json::json;
use service::process::say;
use tokio::time::{Instant, sleep};

use super::ask;
use crate::history::says_nothing;
use crate::{Error, reader};

/// How often it is looked how far it has come, and how often a program is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A history worker may be away for so long: then whoever applies the shard goes on where it was.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Waits for the end of what is made anew in a shard, and says how far it is.
pub async fn until_ended(broker: &Broker, shard: Shard) -> Result<Replaying, Error> {
    let (mut said, mut heard) = (Said::default(), Instant::now());
    let mut first = None;
    loop {
        let now = match ask(broker, shard, AskReplay::Status).await {
            Ok(now) => now,
            Err(why) if heard.elapsed() > AWAY_MAX => return Err(says_nothing(shard, &why)),
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
    use protocol::query::Replay;

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
}
