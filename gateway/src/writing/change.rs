//! Edits and deletions: an event and the message's state beside it, both stored or neither. The state settles races: of two
//! changes at once the broker takes one, and the other looks again.

use super::{Outcome, again};
use crate::{
    Error,
    lookup::{self, Found},
    state::Gateway,
    tries::Tries,
};
use broker::{BatchEntry, Expect};
use keyring::sealed;
use protocol::{
    Body, Event, MessageId, RoomSlug, SealedEvent, Text, UserId,
    frame::{Aim, Refusal},
    limits,
    state::{Edit, MessageState},
};
use traces::{Span, Step};

/// A change of a message.
#[derive(Debug, Clone)]
pub struct Change {
    pub id: MessageId,
    pub author: UserId,
    /// The new text; `None` deletes the message.
    pub text: Option<Body>,
}

/// Stores a change of the message aimed at, if its author may make it. When a deletion is confirmed, the texts are gone from the log,
/// or the history worker takes them out later.
pub async fn store(
    gateway: &Gateway,
    room: &RoomSlug,
    (aim, change): (Aim, Change),
    (tries, taken): (&mut Tries, &mut Span),
) -> Outcome {
    loop {
        match try_once(gateway, room, (aim, &change), taken).await {
            Ok(outcome) => return outcome,
            Err(error) => {
                if let Err(refused) = again(tries, error).await {
                    return refused;
                }
            }
        }
    }
}

async fn try_once(
    gateway: &Gateway,
    room: &RoomSlug,
    (aim, change): (Aim, &Change),
    taken: &mut Span,
) -> Result<Outcome, Error> {
    let Some(found) = lookup::aimed_at(gateway, room, aim).await? else {
        return Ok(Outcome::refused(Refusal::NoSuchMessage));
    };
    if !may(gateway, room, &found, change).await? {
        return Ok(Outcome::refused(Refusal::NotAllowed));
    }
    let shard = gateway.shard(room)?;
    let (stream, subject) = (shard.stream(), shard.message(room, found.target.seq));
    let record = gateway.broker.last_confirmed(&stream, &subject).await?;
    let seq = record.as_ref().map_or(0, |record| record.seq);
    let state = record.and_then(|record| MessageState::read(record.seq, &record.payload)).unwrap_or_default();
    if let Some(outcome) = answered(&state, seq, change) {
        return Ok(outcome);
    }
    if found.text == Text::Erased || state.deleted.is_some() {
        return Ok(Outcome::refused(Refusal::NoSuchMessage));
    }
    let (event, after) = match &change.text {
        Some(_) if state.edits.len() >= limits::EDITS_MAX => {
            return Ok(Outcome::refused(Refusal::TooManyEdits));
        }
        Some(body) => edited(gateway, (room, &found), state.clone(), (change, body)).await?,
        None => deleted(gateway, (&stream, &found), state.clone(), change).await?,
    };
    let publishing = taken.child(Step::Publish);
    let (log, trace) = (shard.log(room), publishing.traceparent());
    let entries = [
        BatchEntry { subject: log, expect: Expect::Anything, payload: event.encode().into(), trace },
        BatchEntry { subject, expect: Expect::LastSequence(seq), payload: after.into(), trace: None },
    ];
    let stored = gateway.broker.publish_batch(&entries).await?;
    publishing.end_at(shard.0, stored.seq - 1);
    if change.text.is_none() {
        erase(gateway, &stream, &found, &state).await;
    }
    Ok(Outcome::Stored { seq: stored.seq - 1, duplicate: false })
}

async fn may(gateway: &Gateway, room: &RoomSlug, found: &Found, change: &Change) -> Result<bool, Error> {
    if found.target.author == change.author {
        return Ok(true);
    }
    let is_deletion = change.text.is_none();
    Ok(is_deletion
        && gateway
            .directory
            .role(change.author, room)
            .await?
            .is_some_and(protocol::state::Role::may_moderate))
}

/// The answer to a change that was stored before. `seq` is the state's own sequence.
fn answered(state: &MessageState, seq: u64, change: &Change) -> Option<Outcome> {
    let edit = state.edits.iter().find(|edit| edit.id == change.id).map(|edit| edit.seq);
    let deletion = (state.deleted == Some(change.id)).then(|| seq.saturating_sub(1));
    edit.or(deletion).map(|seq| Outcome::Stored { seq, duplicate: true })
}

async fn edited(
    gateway: &Gateway,
    (room, found): (&RoomSlug, &Found),
    mut state: MessageState,
    (change, body): (&Change, &Body),
) -> Result<(SealedEvent, Vec<u8>), Error> {
    let Change { id, author, .. } = *change;
    state.edits.push(Edit { id, seq: 0 });
    let event = Event::Edited { id, author, target: found.target, body: body.clone().into() };
    Ok((sealed::seal(&gateway.keyring, room, &event).await?, encoded(&state)))
}

async fn deleted(
    gateway: &Gateway,
    (stream, found): (&str, &Found),
    mut state: MessageState,
    change: &Change,
) -> Result<(SealedEvent, Vec<u8>), Error> {
    let text_at = state.edits.last().map_or(found.target.seq, |edit| edit.seq);
    let text = gateway.broker.get(stream, text_at).await?;
    let text = text.and_then(|record| SealedEvent::decode(&record.payload).ok());
    let hash = text.as_ref().and_then(SealedEvent::body).map_or_else(String::new, |text| text.sealed.hash());
    let Change { id, author, .. } = *change;
    state.deleted = Some(id);
    Ok((Event::Deleted { id, author, target: found.target, of: found.at, hash }, encoded(&state)))
}

fn encoded(state: &MessageState) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state is plain JSON")
}

/// Takes every text that the message had out of the log. What fails here is the history worker's to do again.
async fn erase(gateway: &Gateway, stream: &str, found: &Found, before: &MessageState) {
    let texts = std::iter::once(found.target.seq).chain(before.edits.iter().map(|edit| edit.seq));
    for seq in texts {
        if let Err(error) = gateway.broker.erase(stream, seq).await {
            tracing::warn!(seq, %error, "a deleted text is still in the log; the history worker will take it out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_was_stored_is_known_by_its_id() {
        let change = |id| Change { id, author: UserId::new(), text: None };
        let (edit, deletion) = (MessageId::new(), MessageId::new());
        let state = MessageState { edits: vec![Edit { id: edit, seq: 7 }], deleted: Some(deletion) };
        let stored = |seq| Some(Outcome::Stored { seq, duplicate: true });
        assert_eq!(answered(&state, 12, &change(edit)), stored(7));
        assert_eq!(answered(&state, 12, &change(deletion)), stored(11));
        assert_eq!(answered(&state, 12, &change(MessageId::new())), None);
    }
}
