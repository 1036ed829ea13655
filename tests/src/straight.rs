//! Writing past every gateway, straight to the broker: what a test does to a room's log, and to the streams themselves.

use crate::keys;
use broker::{BatchEntry, Broker, Expect};
use bytes::Bytes;
use protocol::subject::Shard;
use protocol::{RoomSlug, UserId};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for an answer of the broker's own API.
const ANSWER: Duration = Duration::from_secs(5);
/// Messages stored together: what one atomic batch may hold.
const BATCH: usize = 1_000;

/// Stores a message in a room of shard 0, and gives its sequence.
///
/// # Panics
/// When the broker does not store it.
pub async fn message(broker: &Broker, room: &str, author: UserId, body: &str) -> u64 {
    let room = slug(room);
    let event = keys::sealed_message(broker, &room, author, body).await;
    let id = event.deduplication_id();
    let stored = broker.publish(Shard(0).log(&room), &id, Bytes::from(event.encode())).await;
    stored.expect("the broker stores a message").seq
}

/// Stores so many messages of so many characters in a room of shard 0, as fast as the broker can. Each begins with its
/// number, from 0 on, and a space.
///
/// # Panics
/// When the broker does not store them.
pub async fn flood(broker: &Broker, room: &str, author: UserId, (count, chars): (usize, usize)) {
    let room = slug(room);
    let (subject, key) = (Shard(0).log(&room), keys::body_key(broker, &room, author).await);
    for start in (0..count).step_by(BATCH) {
        let numbers = start..count.min(start + BATCH);
        let entry = |number| BatchEntry {
            subject: subject.clone(),
            expect: Expect::Anything,
            payload: keys::message_with(&key, author, &format!("{number} {:x<chars$}", "")).encode().into(),
            trace: None,
        };
        let entries: Vec<_> = numbers.map(entry).collect();
        let stored = broker.publish_batch(&entries).await;
        stored.expect("the broker stores a batch");
    }
}

/// Changes settings of a stream.
///
/// # Errors
/// What the broker says against it, or that it says nothing.
pub async fn change_stream(
    broker: &Broker,
    stream: &str,
    change: impl FnOnce(&mut Value, &Value),
) -> Result<(), String> {
    let info = api(broker, &format!("STREAM.INFO.{stream}"), &json!({})).await?;
    let mut config = info["config"].clone();
    change(&mut config, &info["state"]);
    api(broker, &format!("STREAM.UPDATE.{stream}"), &config).await.map(drop)
}

/// Asks the broker's own API.
///
/// # Errors
/// What the broker says against it, or that it says nothing.
pub async fn api(broker: &Broker, what: &str, question: &Value) -> Result<Value, String> {
    let answer: Value =
        broker.ask(format!("$JS.API.{what}"), question, ANSWER).await.map_err(|error| error.to_string())?;
    match answer.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(answer),
    }
}

fn slug(room: &str) -> RoomSlug {
    RoomSlug::parse(room).expect("a room's code")
}
