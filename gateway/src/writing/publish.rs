//! Giving one event to the broker until it has said that it is stored.

use super::{Outcome, again};
use crate::{Error, lookup, state::Gateway, tries::Tries};
use bytes::Bytes;
use keyring::sealed;
use protocol::{Event, RoomSlug, Timestamp, frame::Refusal};
use tokio::time::timeout_at;
use traces::{Span, Step};

/// For how long after an id was made the broker alone is trusted to know it: half of its window of duplicates
/// (`broker/src/layout.rs`), so that clocks may differ by the other half.
const WINDOW_TRUSTED_MS: u64 = 60_000;

/// Stores a message of a member. The same id is stored once: within the broker's window by the broker, later by looking for it.
pub async fn message(
    gateway: &Gateway,
    room: &RoomSlug,
    event: &Event,
    (tries, taken): (&mut Tries, &mut Span),
) -> Outcome {
    if !is_fresh(event) {
        match stored_before(gateway, room, event, tries).await {
            Ok(None) => {}
            Ok(Some(outcome)) | Err(outcome) => return outcome,
        }
    }
    once(gateway, room, event, (tries, taken)).await
}

/// Whether the id was made just now by the clock of this machine, so that the broker's window covers every earlier copy.
fn is_fresh(event: &Event) -> bool {
    let Some(made) = lookup::made_at(event.id()) else { return false };
    Timestamp::now().as_millis().abs_diff(made.as_millis()) < WINDOW_TRUSTED_MS
}

/// What the message of an old id was answered, if it was stored.
async fn stored_before(
    gateway: &Gateway,
    room: &RoomSlug,
    event: &Event,
    tries: &mut Tries,
) -> Result<Option<Outcome>, Outcome> {
    loop {
        match lookup::sent_before(gateway, room, event.author(), event.id()).await {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => {
                let is_same = found.may_be_edited || Some(&found.text) == event.body();
                return Ok(Some(if is_same {
                    Outcome::Stored { seq: found.target.seq, duplicate: true }
                } else {
                    Outcome::refused(Refusal::IdReused)
                }));
            }
            Err(error) => again(tries, error).await?,
        }
    }
}

/// Publishes an event under its author's id until the broker confirms it: within the broker's window it is stored once,
/// whatever was lost on the way.
pub async fn once(
    gateway: &Gateway,
    room: &RoomSlug,
    event: &Event,
    (tries, taken): (&mut Tries, &mut Span),
) -> Outcome {
    let shard = match gateway.shard(room) {
        Ok(shard) => shard,
        Err(error) => return super::refused(&error),
    };
    let (stream, subject) = (shard.stream(), shard.log(room));
    let message_id = event.deduplication_id();
    let payload = match sealed_bytes(gateway, room, event, tries).await {
        Ok(payload) => payload,
        Err(refused) => return refused,
    };
    let mut publishing = taken.child(Step::Publish);
    loop {
        let trace = publishing.traceparent();
        let stored =
            gateway.broker.publish_followed(subject.clone(), &message_id, payload.clone(), trace).await;
        let error = match stored {
            Ok(stored) if !stored.duplicate => {
                publishing.end_at(shard.0, stored.seq);
                return Outcome::Stored { seq: stored.seq, duplicate: false };
            }
            Ok(stored) => match gateway.broker.get(&stream, stored.seq).await {
                Ok(Some(first)) if first.payload != payload || first.subject != subject => {
                    return Outcome::refused(Refusal::IdReused);
                }
                Ok(first) => {
                    if first.and_then(|first| first.trace) != trace {
                        // Another copy was first, and it is that one which is followed.
                        publishing.forget();
                        taken.forget();
                    }
                    publishing.end_at(shard.0, stored.seq);
                    return Outcome::Stored { seq: stored.seq, duplicate: true };
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if let Err(refused) = again(tries, error.into()).await {
            return refused;
        }
    }
}

/// The event as the log is to have it: the same each time, so that the broker's copy can be compared with it.
async fn sealed_bytes(
    gateway: &Gateway,
    room: &RoomSlug,
    event: &Event,
    tries: &mut Tries,
) -> Result<Bytes, Outcome> {
    loop {
        // The keys may have to be fetched first.
        match timeout_at(tries.deadline(), sealed::seal(&gateway.keyring, room, event)).await {
            Ok(Ok(sealed)) => return Ok(sealed.encode().into()),
            Ok(Err(error)) => again(tries, error.into()).await?,
            Err(_) => again(tries, Error::Broker(broker::Error::TimedOut)).await?,
        }
    }
}
