//! What a member asks to be stored, and what becomes of it.

mod change;
mod publish;

use crate::{Error, lookup, state::Gateway, tries::Tries};
use protocol::{
    Body, Event, MessageId, Reaction, RoomSlug, Text, UserId,
    frame::{Aim, Refusal},
};
use tokio::time::Instant;
use traces::{Chosen, Span, Step, Value};

/// Something to be stored, under an id of the member's: the same id again stores nothing twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: MessageId,
    pub author: UserId,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Message(Body),
    Edit { target: Aim, body: Body },
    Delete { target: Aim },
    React { target: Aim, reaction: Reaction, on: bool },
}

impl What {
    const fn name(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Edit { .. } => "edited",
            Self::Delete { .. } => "deleted",
            Self::React { .. } => "reacted",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored { seq: u64, duplicate: bool },
    Refused { code: Refusal, retry_after_ms: Option<u64> },
}

impl Outcome {
    const fn refused(code: Refusal) -> Self {
        Self::Refused { code, retry_after_ms: None }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Stored { duplicate: false, .. } => "stored",
            Self::Stored { duplicate: true, .. } => "duplicate",
            Self::Refused { code, .. } => code.code(),
        }
    }
}

/// The coming of a request, before it was read.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    at: Instant,
    /// It is followed, since then.
    chosen: Option<Chosen>,
}

impl Arrival {
    pub fn now(gateway: &Gateway) -> Self {
        Self { at: Instant::now(), chosen: gateway.traces.choose() }
    }
}

/// Stores what a member asks for, or says why not. It ends soon after the publish deadline.
pub async fn perform(gateway: &Gateway, room: &RoomSlug, request: &Request, arrival: Arrival) -> Outcome {
    let mut taken = gateway.traces.begin(arrival.chosen, Step::Take);
    taken.note("backchat.event", Value::Word(request.what.name()));
    let outcome = store(gateway, room, request, &mut taken).await;
    gateway.signals.published(outcome.name(), arrival.at.elapsed());
    taken.note("backchat.outcome", Value::Word(outcome.name()));
    match (outcome, gateway.shard(room)) {
        (Outcome::Stored { duplicate: false, seq }, Ok(shard)) => {
            gateway.heads.stored(room, seq);
            taken.end_at(shard.0, seq);
        }
        // What was stored before has the trace that it had then.
        (Outcome::Stored { duplicate: true, .. }, _) if !taken.has_children() => taken.forget(),
        (Outcome::Stored { duplicate: true, seq }, Ok(shard)) => taken.end_at(shard.0, seq),
        (Outcome::Refused { .. }, _) | (_, Err(_)) => {}
    }
    outcome
}

async fn store(gateway: &Gateway, room: &RoomSlug, request: &Request, taken: &mut Span) -> Outcome {
    let mut tries = Tries::within(gateway.config.publish_deadline);
    let Request { id, author, what } = request.clone();
    match what {
        What::Message(body) => {
            let event = Event::Message { id, author, body: body.into() };
            publish::message(gateway, room, &event, (&mut tries, taken)).await
        }
        What::React { target, reaction, on } => match found(gateway, room, target, &mut tries).await {
            Ok(target) => {
                let event = Event::Reacted { id, author, target: target.target, reaction, on };
                publish::once(gateway, room, &event, (&mut tries, taken)).await
            }
            Err(refused) => refused,
        },
        What::Edit { target, body } => {
            let change = change::Change { id, author, text: Some(body) };
            change::store(gateway, room, (target, change), (&mut tries, taken)).await
        }
        What::Delete { target } => {
            let change = change::Change { id, author, text: None };
            change::store(gateway, room, (target, change), (&mut tries, taken)).await
        }
    }
}

/// The message that a request is about; refused when it is not there any more.
async fn found(
    gateway: &Gateway,
    room: &RoomSlug,
    aim: Aim,
    tries: &mut Tries,
) -> Result<lookup::Found, Outcome> {
    loop {
        match lookup::aimed_at(gateway, room, aim).await {
            Ok(Some(found)) if found.text != Text::Erased => return Ok(found),
            Ok(_) => return Err(Outcome::refused(Refusal::NoSuchMessage)),
            Err(error) => again(tries, error).await?,
        }
    }
}

/// Waits before the next try.
///
/// # Errors
/// What is said when there is none.
async fn again(tries: &mut Tries, error: Error) -> Result<(), Outcome> {
    if tries.again(&error).await {
        return Ok(());
    }
    Err(match error {
        Error::Broker(broker::Error::StorageFull) => {
            Outcome::Refused { code: Refusal::StorageFull, retry_after_ms: Some(30_000) }
        }
        error if error.may_pass() => {
            Outcome::Refused { code: Refusal::NotConfirmed, retry_after_ms: Some(1_000) }
        }
        error => refused(&error),
    })
}

/// What is said where the broker is not even asked, or does not store and will not.
fn refused(error: &Error) -> Outcome {
    tracing::error!(%error, "nothing can be stored");
    Outcome::Refused { code: Refusal::Unavailable, retry_after_ms: Some(5_000) }
}
