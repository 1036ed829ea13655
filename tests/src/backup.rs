//! Backing up streams, and restoring them elsewhere, by the broker's own API: what `nats stream backup` and `nats stream restore` do.

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// The streams of an installation with one shard.
pub const STREAMS: [&str; 5] = ["INSTALLATION", "KEYS", "PROFILES", "SESSIONS", "CHAT_0"];

/// Longest wait for one piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream as a backup has it.
pub struct Backup {
    stream: String,
    description: Value,
    pieces: Vec<Bytes>,
}

impl Backup {
    /// Takes a backup of a stream.
    ///
    /// # Panics
    /// When the broker does not give it.
    pub async fn of(client: &async_nats::Client, stream: &str) -> Self {
        let inbox = client.new_inbox();
        let mut coming = client.subscribe(inbox.clone()).await.expect("the broker is there");
        let question = json!({ "deliver_subject": inbox, "no_consumers": true, "chunk_size": 128 * 1024 });
        let description = ask(client, &format!("STREAM.SNAPSHOT.{stream}"), &question).await;
        let mut pieces = Vec::new();
        loop {
            let piece = timeout(PATIENCE, coming.next()).await.expect("the next piece comes in time");
            let piece = piece.expect("the broker goes on");
            if piece.payload.is_empty() {
                return Self { stream: stream.to_owned(), description, pieces };
            }
            pieces.push(piece.payload);
            if let Some(reply) = piece.reply {
                client.publish(reply, Bytes::new()).await.expect("the broker is there");
            }
        }
    }

    /// Makes the stream anew in a broker that does not have it.
    ///
    /// # Panics
    /// When the broker does not take it.
    pub async fn restore(&self, client: &async_nats::Client) {
        let question = json!({ "config": self.description["config"], "state": self.description["state"] });
        let place = ask(client, &format!("STREAM.RESTORE.{}", self.stream), &question).await;
        let place = place["deliver_subject"].as_str().expect("a place for the pieces").to_owned();
        for piece in self.pieces.iter().cloned().chain([Bytes::new()]) {
            let is_last = piece.is_empty();
            let taken = timeout(PATIENCE, client.request(place.clone(), piece)).await;
            let taken = taken.expect("in time").expect("the broker takes a piece");
            if is_last {
                let made: Value = serde_json::from_slice(&taken.payload).expect("the broker says JSON");
                assert_eq!(made.get("error"), None, "{made}");
            }
        }
    }
}

async fn ask(client: &async_nats::Client, what: &str, question: &Value) -> Value {
    let payload = Bytes::from(question.to_string());
    let answer = timeout(PATIENCE, client.request(format!("$JS.API.{what}"), payload)).await;
    let answer = answer.expect("in time").expect("the broker answers");
    let answer: Value = serde_json::from_slice(&answer.payload).expect("the broker says JSON");
    assert_eq!(answer.get("error"), None, "{what}: {answer}");
    answer
}
