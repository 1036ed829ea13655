//! `backchat history set-aside`: what the history could not apply.

use data_encoding::BASE64_NOPAD;
use protocol::query::{AskSetAside, HistoryAnswer, HistoryQuery, SetAside};
use protocol::subject::Shard;
use serde_json::json;
use service::process::say;

use crate::ground::fault;
use crate::operator::Operator;
use crate::{Config, Error, reader};

/// Names every entry of the log that is set aside: a line each for a person, lines of JSON for a program.
///
/// # Errors
/// When no backchat runs on the data, or its history worker does not answer; here and below.
pub async fn list(config: &Config) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let shards = operator.broker().installation().await.map_err(fault)?.shards();
    let mut count = 0;
    for shard in shards.all() {
        let mut after = 0;
        loop {
            let (entries, _) = ask(&operator, shard, AskSetAside::List { after }).await?;
            let Some(last) = entries.last() else { break };
            after = last.seq;
            count += entries.len();
            entries.iter().for_each(|entry| say(&line(shard, entry)));
        }
    }
    if count == 0 && reader::is_a_person() {
        say("Nothing is set aside.");
    }
    Ok(())
}

/// Shows one entry with its bytes, as far as they are text.
pub async fn show(config: &Config, place: &str) -> Result<(), Error> {
    let (shard, seq) = place_of(place)?;
    let operator = Operator::connect(config).await?;
    let (entries, payload) = ask(&operator, shard, AskSetAside::Show { seq }).await?;
    let (Some(entry), Some(payload)) = (entries.first(), payload) else { return Err(nothing_at(place)) };
    let bytes = BASE64_NOPAD.decode(payload.as_bytes()).unwrap_or_default();
    say(&line(shard, entry));
    // What is no text is shown so that it does nothing to the terminal.
    say(&String::from_utf8_lossy(&bytes).escape_debug().to_string());
    Ok(())
}

/// Has one entry forgotten.
pub async fn forget(config: &Config, place: &str) -> Result<(), Error> {
    let (shard, seq) = place_of(place)?;
    let operator = Operator::connect(config).await?;
    let (entries, _) = ask(&operator, shard, AskSetAside::Drop { seq }).await?;
    let entry = entries.first().ok_or_else(|| nothing_at(place))?;
    say(&format!(
        "{place} is dropped: {}. It is still in the log; a history that is made anew sets it aside again.",
        entry.reason
    ));
    Ok(())
}

/// Has the room of one entry made anew, if the entry can be read now, and waits for it.
pub async fn retry(config: &Config, place: &str) -> Result<(), Error> {
    let (shard, seq) = place_of(place)?;
    let operator = Operator::connect(config).await?;
    let (entries, _) = ask(&operator, shard, AskSetAside::Retry { seq }).await?;
    if entries.is_empty() {
        return Err(nothing_at(place));
    }
    super::replay::until_ended(operator.broker(), shard).await?;
    match ask(&operator, shard, AskSetAside::Show { seq }).await?.0.first() {
        None => say(&format!("{place} has its place in the history now.")),
        Some(still) => return Err(Error::Refused(format!("{place} is set aside again: {}", still.reason))),
    }
    Ok(())
}

async fn ask(
    operator: &Operator,
    shard: Shard,
    asked: AskSetAside,
) -> Result<(Vec<SetAside>, Option<String>), Error> {
    let entries = |answer| match answer {
        HistoryAnswer::SetAside { entries, payload } => Some((entries, payload)),
        _ => None,
    };
    let query = HistoryQuery::SetAside(asked);
    let answer = super::ask(operator.broker(), shard, query, super::PATIENCE, entries).await;
    answer.map_err(|why| super::says_nothing(shard, &why))
}

/// `<shard>.<sequence>`, as the list names it.
fn place_of(place: &str) -> Result<(Shard, u64), Error> {
    let parsed =
        place.split_once('.').and_then(|(shard, seq)| Some((Shard(shard.parse().ok()?), seq.parse().ok()?)));
    parsed.ok_or_else(|| {
        Error::Refused(format!(
            "{place:?} is no place: it is a shard and a sequence such as 0.42, as `history set-aside list` names it"
        ))
    })
}

fn nothing_at(place: &str) -> Error {
    Error::Refused(format!("nothing is set aside at {place}: `history set-aside list` names what is"))
}

fn line(shard: Shard, entry: &SetAside) -> String {
    let place = format!("{}.{}", shard.0, entry.seq);
    if !reader::is_a_person() {
        let mut line = json!(entry);
        line["place"] = json!(place);
        return line.to_string();
    }
    let SetAside { at, subject, reason, bytes, .. } = entry;
    format!("{place:<12} {at}  {subject}  {bytes} bytes: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_shard_and_a_sequence() {
        assert_eq!(place_of("3.42").ok(), Some((Shard(3), 42)));
        for bad in ["", "42", "3.", ".42", "-1.2", "3.4.5", "70000.1"] {
            assert!(place_of(bad).is_err(), "{bad:?} was taken");
        }
    }
}
