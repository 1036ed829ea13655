//! A room's past as the log alone has it.

use crate::{Error, state::Gateway};
use broker::Record;
use keyring::sealed;
use protocol::{
    Event, RoomSlug, SealedEvent, SealedStored, Since, StoredEvent, Timestamp,
    query::Located,
    state::MessageState,
    subject::Shard,
    view::{self, Row, What},
};

/// Records read at once.
const READ_MAX: usize = 1_000;
/// Rooms with so many events are read whole for a page.
const SHORT_ROOM: usize = 200;
/// Reads in a row for one answer.
const READS_MAX: usize = 10;

/// These records of a room as events, with their texts in the open.
///
/// # Errors
/// When the broker can't be asked for keys.
pub async fn readable<'a>(
    gateway: &Gateway,
    room: &RoomSlug,
    records: impl Iterator<Item = &'a Record>,
) -> Result<Vec<StoredEvent>, Error> {
    let stored = records.map(|record| SealedStored::read(record.seq, record.at, &record.payload).0);
    Ok(sealed::events(&gateway.keyring, room, stored.collect()).await?)
}

/// Rows of a page, without names.
pub struct Rows {
    pub rows: Vec<Row>,
    /// The row before the first; 0 for none.
    pub prev: u64,
    /// Nothing up to here is missing; what comes behind it may be.
    pub upto: u64,
}

/// The end of a room's log as somebody had it: a replica that lags has less than there is.
pub struct End {
    pub events: Vec<StoredEvent>,
    /// Nothing up to here is missing.
    pub upto: u64,
}

/// The room's events after a sequence, from the ring if it reaches so far back; `None` when there are too many.
///
/// # Errors
/// When the log can't be read.
pub async fn events_after(gateway: &Gateway, room: &RoomSlug, after: u64) -> Result<Option<End>, Error> {
    if let Some(end) = gateway.rooms.get(room).and_then(|open| open.stored_after(after)) {
        return Ok(Some(end));
    }
    let (end, is_all) = window(gateway, room, after, u64::MAX).await?;
    Ok(is_all.then_some(end))
}

/// What the log alone has of a room after a sequence, a thousand events at most.
///
/// # Errors
/// When the log can't be read.
pub async fn stored_after(gateway: &Gateway, room: &RoomSlug, after: u64) -> Result<Vec<StoredEvent>, Error> {
    Ok(window(gateway, room, after, u64::MAX).await?.0.events)
}

/// The first events of a room that were stored at or after a moment, and that fit the test; none when more than
/// ten thousand have to be looked at.
///
/// # Errors
/// When the log can't be read.
pub async fn find_since(
    gateway: &Gateway,
    room: &RoomSlug,
    since: Timestamp,
    is_meant: impl Fn(&StoredEvent) -> bool,
) -> Result<Option<StoredEvent>, Error> {
    let shard = gateway.shard(room)?;
    let (stream, subject) = (shard.stream(), shard.log(room));
    let mut batch = gateway.broker.read_since(&stream, &subject, since, READ_MAX).await?;
    for _ in 0..READS_MAX {
        let events = readable(gateway, room, batch.records.iter()).await?;
        if let Some(found) = events.into_iter().find(&is_meant) {
            return Ok(Some(found));
        }
        let Some(last) = batch.records.last().filter(|_| batch.more) else { break };
        batch = gateway.broker.read_after(&stream, &subject, last.seq, READ_MAX).await?;
    }
    Ok(None)
}

/// The first `count` rows of a room from a place on, as far as ten thousand events go; none when nothing is so new.
///
/// # Errors
/// When the log can't be read.
pub async fn locate(
    gateway: &Gateway,
    room: &RoomSlug,
    since: Since,
    count: usize,
) -> Result<Option<Located>, Error> {
    let shard = gateway.shard(room)?;
    let (stream, subject) = (shard.stream(), shard.log(room));
    let mut batch = match since {
        Since::Seq(seq) => {
            gateway.broker.read_after(&stream, &subject, seq.saturating_sub(1), READ_MAX).await?
        }
        Since::Time(time) => gateway.broker.read_since(&stream, &subject, time, READ_MAX).await?,
    };
    // Asked for what comes after its end, the broker gives what is before.
    let is_older = |record: &Record| matches!(since, Since::Time(time) if record.at < time);
    if batch.records.first().is_some_and(is_older) {
        return Ok(None);
    }
    let expired = gateway.directory.expired(room).await?;
    let is_there = |record: &&Record| record.seq > expired && is_row(record);
    let mut rows = Vec::new();
    for _ in 0..READS_MAX {
        rows.extend(batch.records.iter().filter(is_there).map(|record| record.seq));
        let Some(last) = batch.records.last().filter(|_| batch.more && rows.len() < count) else { break };
        batch = gateway.broker.read_after(&stream, &subject, last.seq, READ_MAX).await?;
    }
    rows.truncate(count);
    Ok(match rows[..] {
        [first, .., last] => Some(Located { first, last, count: rows.len() }),
        [only] => Some(Located { first: only, last: only, count: 1 }),
        [] => None,
    })
}

/// Whether an entry of the log is shown as a row of its own.
fn is_row(record: &Record) -> bool {
    SealedStored::read(record.seq, record.at, &record.payload).0.event.target().is_none()
}

/// The readable events of a room with `after < seq <= upto`, how far the log was read for them, and whether that is all of them.
async fn window(gateway: &Gateway, room: &RoomSlug, after: u64, upto: u64) -> Result<(End, bool), Error> {
    let shard = gateway.shard(room)?;
    let batch = gateway.broker.read_after(&shard.stream(), &shard.log(room), after, READ_MAX).await?;
    let last = batch.records.last().map_or(after, |record| record.seq);
    let within = batch.records.iter().filter(|record| record.seq <= upto);
    let events = readable(gateway, room, within).await?;
    Ok((End { events, upto: last }, last > upto || !batch.more))
}

/// A page from the log alone. A short room is read whole. Else, since the log is read forwards only, windows before `before` are
/// tried: wider ones while they hold too little, narrower ones while they hold more than one read. Reactions that were given
/// after the page are not in it.
///
/// # Errors
/// When the log can't be read.
pub async fn page(gateway: &Gateway, room: &RoomSlug, before: u64, limit: usize) -> Result<Rows, Error> {
    let shard = gateway.shard(room)?;
    let (stream, subject) = (shard.stream(), shard.log(room));
    let expired = gateway.directory.expired(room).await?;
    let all = gateway.broker.read_after(&stream, &subject, 0, SHORT_ROOM).await?;
    if !all.more {
        let mut rows = Vec::new();
        let before = all.records.iter().filter(|record| record.seq < before);
        readable(gateway, room, before).await?.iter().for_each(|stored| view::fold(&mut rows, stored));
        rows.retain(|row| row.seq > expired);
        let upto = all.records.last().map_or(0, |record| record.seq);
        return cut(gateway, (shard, room), (rows, upto), limit).await;
    }
    let head = gateway.broker.stream(&stream).await?.last_seq;
    let mut end = before.saturating_sub(1).min(head);
    let (mut width, mut events, mut rows, mut upto) = (4 * limit as u64, Vec::new(), Vec::new(), None);
    // One more than asked for tells whether there are older ones.
    while rows.len() <= limit && end > expired {
        let start = end.saturating_sub(width);
        let (End { events: mut older, upto: read_to }, is_all) = window(gateway, room, start, end).await?;
        if !is_all && width > 1 {
            width = (width / 8).max(1);
            continue;
        }
        upto = Some(complete_to(upto, read_to, end));
        older.append(&mut events);
        events = older;
        rows.clear();
        events.iter().for_each(|stored| view::fold(&mut rows, stored));
        rows.retain(|row| row.seq > expired);
        end = start;
        width = width.saturating_mul(4);
    }
    cut(gateway, (shard, room), (rows, upto.unwrap_or(0)), limit).await
}

/// Up to where nothing is missing of windows that were read from the newest to the oldest, each by any replica. One that shows
/// something behind its window's end had the window whole; one that shows nothing there may lag.
fn complete_to(newer: Option<u64>, read_to: u64, end: u64) -> u64 {
    newer.filter(|_| read_to > end).unwrap_or(read_to)
}

/// The newest `limit` of these rows as they are now.
async fn cut(
    gateway: &Gateway,
    (shard, room): (Shard, &RoomSlug),
    (mut rows, upto): (Vec<Row>, u64),
    limit: usize,
) -> Result<Rows, Error> {
    let dropped = rows.len().saturating_sub(limit);
    let prev = match dropped.checked_sub(1) {
        Some(last) => rows[last].seq,
        None => before_all(gateway, (shard, room), &rows).await?,
    };
    rows.drain(..dropped);
    apply_later_edits(gateway, (shard, room), &mut rows).await?;
    Ok(Rows { rows, prev, upto })
}

/// What is before all rows that the log has: nothing where it has the room's beginning; else something that the history worker alone
/// knows.
async fn before_all(
    gateway: &Gateway,
    (shard, room): (Shard, &RoomSlug),
    rows: &[Row],
) -> Result<u64, Error> {
    let begins = gateway.broker.read_after(&shard.stream(), &shard.log(room), 0, 1).await?;
    let is_beginning =
        |record: &Record| SealedEvent::decode(&record.payload).is_ok_and(|event| event.begins_log());
    match (begins.records.first(), rows.first()) {
        (Some(first), _) if is_beginning(first) => Ok(0),
        (None, None) => Ok(0),
        (_, Some(first)) => Ok(first.seq.saturating_sub(1)),
        (Some(_), None) => Err(super::unreachable_history()),
    }
}

/// Puts the last edit's text into messages that were edited after the page: the state beside the log tells which.
async fn apply_later_edits(
    gateway: &Gateway,
    (shard, room): (Shard, &RoomSlug),
    rows: &mut [Row],
) -> Result<(), Error> {
    let messages = rows.iter().filter(|row| matches!(row.what, What::Message(_)));
    let subjects: Vec<_> = messages.map(|row| shard.message(room, row.seq)).collect();
    for record in gateway.broker.last_many(&shard.stream(), &subjects).await? {
        let Some(state) = MessageState::read(record.seq, &record.payload) else { continue };
        let seq = record.subject.rsplit('.').next().and_then(|text| text.parse::<u64>().ok());
        let Some(row) = rows.iter_mut().find(|row| Some(row.seq) == seq) else { continue };
        if state.deleted.is_some() {
            row.what = What::Erased;
        } else if let (Some(edit), What::Message(content)) = (state.edits.last(), &mut row.what)
            && let Some(edit) = gateway.broker.get(&shard.stream(), edit.seq).await?
            && let [StoredEvent { at, event: Event::Edited { body, .. }, .. }] =
                &readable(gateway, room, std::iter::once(&edit)).await?[..]
        {
            content.body = body.clone();
            content.edited_at = Some(*at);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_replica_shows_does_not_hide_what_the_first_did_not_have() {
        // The newest window, 101 to 139, by a replica that has nothing behind 120.
        let newest = complete_to(None, 120, 139);
        assert_eq!(newest, 120);
        assert_eq!(complete_to(Some(newest), 139, 100), 120, "the older window by one that has all");
        assert_eq!(complete_to(Some(139), 90, 100), 90, "the older window by one that lags more");
        assert_eq!(complete_to(Some(139), 139, 100), 139);
    }
}
