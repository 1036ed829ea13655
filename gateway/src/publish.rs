//! Giving a message to the broker until it has said that it is stored.

use crate::state::Gateway;
use broker::Error;
use bytes::Bytes;
use protocol::{Event, RoomSlug, frame::Refusal};
use std::time::Duration;
use tokio::time::Instant;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored { seq: u64, duplicate: bool },
    Refused { code: Refusal, retry_after_ms: Option<u64> },
}

/// Publishes a message of a member. The same id is tried again until the deadline: within the broker's window that
/// stores it once, whatever was lost on the way.
pub async fn publish(gateway: &Gateway, room: &RoomSlug, event: &Event) -> Outcome {
    let started = Instant::now();
    let outcome = try_until_deadline(gateway, room, event, started).await;
    let name = match outcome {
        Outcome::Stored { duplicate: false, .. } => "stored",
        Outcome::Stored { duplicate: true, .. } => "duplicate",
        Outcome::Refused { code, .. } => code.code(),
    };
    gateway.signals.published(name, started.elapsed());
    outcome
}

async fn try_until_deadline(gateway: &Gateway, room: &RoomSlug, event: &Event, started: Instant) -> Outcome {
    let shard = gateway.shard(room);
    let subject = shard.log(room);
    let message_id = format!("{}.{}", event.author(), event.id());
    let payload = Bytes::from(event.encode());
    let deadline = started + gateway.config.publish_deadline;
    let mut pause = Duration::from_millis(100);
    loop {
        match gateway.broker.publish(subject.clone(), &message_id, payload.clone()).await {
            Ok(stored) if !stored.duplicate => return Outcome::Stored { seq: stored.seq, duplicate: false },
            Ok(stored) => match gateway.broker.get(&shard.stream(), stored.seq).await {
                Ok(Some(first)) if first.payload != payload || first.subject != subject => {
                    return Outcome::Refused { code: Refusal::IdReused, retry_after_ms: None };
                }
                Ok(_) => return Outcome::Stored { seq: stored.seq, duplicate: true },
                Err(error) => tracing::debug!(%error, "the first of two copies can't be read yet"),
            },
            Err(Error::StorageFull) => {
                return Outcome::Refused { code: Refusal::StorageFull, retry_after_ms: Some(30_000) };
            }
            Err(error) if error.is_passing() => tracing::debug!(%error, "publishing is tried again"),
            Err(error) => {
                tracing::error!(%error, "the broker refuses messages");
                return Outcome::Refused { code: Refusal::Unavailable, retry_after_ms: Some(5_000) };
            }
        }
        if Instant::now() + pause >= deadline {
            return Outcome::Refused { code: Refusal::NotConfirmed, retry_after_ms: Some(1_000) };
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
