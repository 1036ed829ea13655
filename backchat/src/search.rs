//! `backchat search`: how far the index is behind the log, and making it anew.

use std::time::Duration;

use broker::Broker;
use protocol::search::{AskSearchReplay, SearchAnswer, SearchQuery, SearchReplaying, SearchStatus};
use protocol::subject;
use serde_json::json;
use service::process::say;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::operator::Operator;
use crate::{Config, Error, reader};

/// How long the search worker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked how far a replay has come, and how often a program is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// The search worker may be away for so long: then it goes on where it was.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Says how far the index is in each shard: a table for a person, a line of JSON for a program.
///
/// # Errors
/// When no backchat runs on the data, or its search worker does not answer.
pub async fn status(config: &Config) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let answer = ask(operator.broker(), &SearchQuery::Status).await.map_err(says_nothing)?;
    let SearchAnswer::Status(status) = answer else {
        return Err(says_nothing("it answers something else".into()));
    };
    if reader::is_a_person() {
        table(&status).iter().for_each(|line| say(line));
    } else {
        say(&json!(status).to_string());
    }
    Ok(())
}

async fn ask(broker: &Broker, query: &SearchQuery) -> Result<SearchAnswer, String> {
    match broker.ask(subject::SEARCH_QUERIES.into(), query, PATIENCE).await {
        Ok(SearchAnswer::Refused { reason }) => Err(reason),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.to_string()),
    }
}

fn says_nothing(why: String) -> Error {
    Error::Refused(format!("the search worker does not answer: {why}"))
}

fn table(status: &SearchStatus) -> Vec<String> {
    let mut lines = vec!["shard     applied   behind".to_owned()];
    lines.extend(status.shards.iter().map(|of| {
        let behind = match of.lag_entries {
            0 => "nothing".to_owned(),
            entries => format!("{entries}, {} s", of.lag_seconds),
        };
        format!("{:>5} {:>11}   {behind}", of.shard.0, of.applied)
    }));
    let rebuilding = if status.rebuilding { "; it is being made from the log" } else { "" };
    let megabytes = status.bytes.div_ceil(1 << 20);
    lines.push(format!("{} messages, {megabytes} MiB on the disk{rebuilding}", status.documents));
    lines
}

/// Has the index made anew beside the one that answers, and says how far that is. It goes on without whoever asked.
///
/// # Errors
/// When no backchat runs on the data, or its search worker does not answer.
pub async fn replay(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let broker = operator.broker();
    asked(broker, AskSearchReplay::Begin).await.map_err(says_nothing)?;
    tokio::select! {
        () = shutdown.cancelled() => {
            say("The search worker goes on with it; the same command shows how far it is.");
            Ok(())
        }
        ended = until_ended(broker) => ended,
    }
}

async fn asked(broker: &Broker, what: AskSearchReplay) -> Result<SearchReplaying, String> {
    match ask(broker, &SearchQuery::Replay(what)).await? {
        SearchAnswer::Replay { last: Some(last) } => Ok(last),
        _ => Err("it knows of no replay".to_owned()),
    }
}

async fn until_ended(broker: &Broker) -> Result<(), Error> {
    let is_for_a_person = reader::is_a_person();
    let (mut said, mut heard) = (Instant::now(), Instant::now());
    loop {
        match asked(broker, AskSearchReplay::Status).await {
            Ok(now) if now.ended_at.is_some() => {
                report(&now, is_for_a_person);
                return Ok(());
            }
            Ok(now) => {
                heard = Instant::now();
                if is_for_a_person {
                    reader::draw(&bar(&now));
                } else if said.elapsed() >= SAY_EVERY {
                    said = Instant::now();
                    say(&json!(now).to_string());
                }
            }
            Err(why) if heard.elapsed() > AWAY_MAX => return Err(says_nothing(why)),
            Err(_) => {}
        }
        sleep(LOOK_EVERY).await;
    }
}

fn bar(now: &SearchReplaying) -> String {
    format!("{}  {} of {}", reader::bar(now.done, now.of), now.done, now.of)
}

fn report(ended: &SearchReplaying, is_for_a_person: bool) {
    if !is_for_a_person {
        return say(&json!(ended).to_string());
    }
    reader::draw("");
    say("The index is made anew, and answers.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::search::SearchShard;
    use protocol::subject::Shard;
    use protocol::{StreamIdentity, Timestamp};

    #[test]
    fn a_person_reads_how_far_the_index_is() {
        let stream = StreamIdentity(1);
        let shard = SearchShard { shard: Shard(0), stream, applied: 42, lag_entries: 12, lag_seconds: 3 };
        let mut status =
            SearchStatus { shards: vec![shard], documents: 40, bytes: 5 << 20, rebuilding: false };
        assert_eq!(table(&status)[1..], ["    0          42   12, 3 s", "40 messages, 5 MiB on the disk"]);
        (status.shards[0].lag_entries, status.rebuilding) = (0, true);
        assert!(table(&status)[1].ends_with("nothing") && table(&status)[2].ends_with("made from the log"));
    }

    #[test]
    fn a_bar_is_never_more_than_full() {
        let replaying =
            |done, of| SearchReplaying { began_at: Timestamp::from_millis(0), ended_at: None, done, of };
        assert_eq!(bar(&replaying(5, 10)), "[###############---------------]  50 %  5 of 10");
        assert!(bar(&replaying(0, 0)).contains("0 %") && bar(&replaying(12, 10)).contains("100 %"));
    }
}
