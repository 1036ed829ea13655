//! Finding a message of a room by its id: in the ring, else where the client says it is, else in the history, else in the log.

use crate::{
    Error,
    history::{self, End},
    room::shown::{Entry, Shown},
    state::Gateway,
};
use keyring::sealed;
use protocol::{
    Event, MessageId, RoomSlug, StoredEvent, Target, Text, Timestamp, UserId,
    frame::Aim,
    query::{HistoryAnswer, HistoryQuery},
    view::{Row, What},
};

/// A message as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub target: Target,
    pub at: Timestamp,
    /// Its text, as it was first or is now; erased when it was deleted.
    pub text: Text,
    /// Whether `text` may be another than the first.
    pub may_be_edited: bool,
}

/// How much earlier than its id says a message may have been stored: clocks of clients differ from the broker's.
const CLOCK_DIFFERENCE_MS: i64 = 120_000;

/// The message that a frame is about; none when it has expired.
///
/// # Errors
/// When the log can't be read now.
pub async fn aimed_at(gateway: &Gateway, room: &RoomSlug, aim: Aim) -> Result<Option<Found>, Error> {
    if let Some(found) = in_ring(gateway, room, aim.id, |_| true) {
        return Ok(Some(found));
    }
    let found = match aim.seq {
        Some(seq) => at(gateway, room, seq).await?.filter(|found| found.target.id == aim.id),
        None => None,
    };
    let found = match found {
        None => beyond_ring(gateway, room, aim.id, |_| true).await?,
        found => found,
    };
    let Some(found) = found else { return Ok(None) };
    // Log and history have for a moment still what the room says has expired.
    let expired = gateway.directory.expired(room).await?;
    Ok(Some(found).filter(|found| found.target.seq > expired))
}

/// The message that `author` sent with this id before, if it is stored.
///
/// # Errors
/// When the log can't be read now.
pub async fn sent_before(
    gateway: &Gateway,
    room: &RoomSlug,
    author: UserId,
    id: MessageId,
) -> Result<Option<Found>, Error> {
    let is_theirs = |found: &Found| found.target.author == author;
    match in_ring(gateway, room, id, is_theirs) {
        Some(found) => Ok(Some(found)),
        None => beyond_ring(gateway, room, id, is_theirs).await,
    }
}

fn in_ring(
    gateway: &Gateway,
    room: &RoomSlug,
    id: MessageId,
    is_meant: impl Fn(&Found) -> bool,
) -> Option<Found> {
    let shown = gateway.rooms.get(room)?.find(id)?;
    of_shown(&shown).filter(is_meant)
}

/// The message at a sequence of the log.
async fn at(gateway: &Gateway, room: &RoomSlug, seq: u64) -> Result<Option<Found>, Error> {
    let shard = gateway.shard(room)?;
    let record = gateway.broker.get(&shard.stream(), seq).await?;
    let record = record.filter(|record| record.subject == shard.log(room));
    let events = history::log::readable(gateway, room, record.iter()).await?;
    Ok(events.first().and_then(of_stored))
}

async fn beyond_ring(
    gateway: &Gateway,
    room: &RoomSlug,
    id: MessageId,
    is_meant: impl Fn(&Found) -> bool,
) -> Result<Option<Found>, Error> {
    let is_it = |stored: &StoredEvent| {
        of_stored(stored).is_some_and(|found| found.target.id == id && is_meant(&found))
    };
    if let Some((applied, rows)) = in_history(gateway, room, id).await? {
        if let Some(found) = rows.iter().filter_map(of_row).find(&is_meant) {
            return Ok(Some(found));
        }
        if let Some(End { events, upto }) = history::log::events_after(gateway, room, applied).await? {
            // What was acknowledged just now may be on its way to the ring still.
            let unseen = history::log::stored_after(gateway, room, upto).await?;
            return Ok(events.iter().chain(&unseen).find(|stored| is_it(stored)).and_then(of_stored));
        }
    }
    let Some(made) = made_at(id) else { return Ok(None) };
    let since = Timestamp::from_millis(made.as_millis().saturating_sub(CLOCK_DIFFERENCE_MS).max(0));
    let found = history::log::find_since(gateway, room, since, is_it).await?;
    Ok(found.as_ref().and_then(of_stored))
}

async fn in_history(
    gateway: &Gateway,
    room: &RoomSlug,
    id: MessageId,
) -> Result<Option<(u64, Vec<Row>)>, Error> {
    let shard = gateway.shard(room)?;
    let query = HistoryQuery::Find { room: room.clone(), id };
    match history::ask_worker(gateway, shard, &query).await {
        Some(HistoryAnswer::Found { stream, applied, rows })
            if history::is_present_life(gateway, shard, stream) =>
        {
            Ok(Some((applied, sealed::rows(&gateway.keyring, room, rows).await?)))
        }
        _ => Ok(None),
    }
}

/// When an id says that it was made; `None` for ids that carry no time.
pub fn made_at(id: MessageId) -> Option<Timestamp> {
    let (seconds, nanos) = id.0.get_timestamp().filter(|_| id.0.get_version_num() == 7)?.to_unix();
    let ms = i64::try_from(seconds).ok()?.checked_mul(1_000)?;
    Some(Timestamp::from_millis(ms.checked_add(i64::from(nanos / 1_000_000))?))
}

fn of_shown(shown: &Shown) -> Option<Found> {
    match &shown.what {
        Entry::Event(_) => of_stored(&shown.stored()?),
        Entry::Erased { id, author, is_message: true } => Some(Found {
            target: Target { id: *id, author: *author, seq: shown.seq },
            at: shown.at,
            text: Text::Erased,
            may_be_edited: true,
        }),
        Entry::Erased { .. } => None,
    }
}

fn of_stored(stored: &StoredEvent) -> Option<Found> {
    let Event::Message { id, author, body } = &stored.event else { return None };
    let target = Target { id: *id, author: *author, seq: stored.seq };
    Some(Found { target, at: stored.at, text: body.clone(), may_be_edited: false })
}

fn of_row(row: &Row) -> Option<Found> {
    let target = Target { id: row.id, author: row.author, seq: row.seq };
    let (text, may_be_edited) = match &row.what {
        What::Message(content) => (content.body.clone(), content.edited_at.is_some()),
        What::Erased => (Text::Erased, true),
        What::Unopened => (Text::Unopened, true),
        What::Created { .. }
        | What::Joined
        | What::Left
        | What::Retention { .. }
        | What::UserErased
        | What::Unreadable => return None,
    };
    Some(Found { target, at: row.at, text, may_be_edited })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_version_7_tells_when_it_was_made() {
        let id: MessageId = "0197b6f0-7d1c-7a54-9c0e-2f3a6f1d9e10".parse().unwrap();
        assert_eq!(made_at(id), Some(Timestamp::from_millis(0x0197_b6f0_7d1c)));
        let random: MessageId = "9f1c2b34-5d6e-4f70-8a9b-0c1d2e3f4a5b".parse().unwrap();
        assert_eq!(made_at(random), None);
    }
}
