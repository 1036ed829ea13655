//! A room's past as the log alone has it.

use crate::{Error, state::Gateway};
use broker::Record;
use protocol::{
    Event, RoomSlug, StoredEvent, Timestamp,
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

/// What can be read of these records, as events.
pub fn readable<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<StoredEvent> {
    records
        .filter_map(|record| {
            let event = Event::decode(&record.payload).ok()?;
            Some(StoredEvent { seq: record.seq, at: record.at, event })
        })
        .collect()
}

/// The room's events after a sequence, from the ring if it reaches so far back; `None` when there are too many.
///
/// # Errors
/// When the log can't be read.
pub async fn events_after(
    gateway: &Gateway,
    room: &RoomSlug,
    after: u64,
) -> Result<Option<Vec<StoredEvent>>, Error> {
    if let Some(events) = gateway.rooms.get(room).and_then(|open| open.stored_after(after)) {
        return Ok(Some(events));
    }
    let (events, is_all) = window(gateway, room, after, u64::MAX).await?;
    Ok(is_all.then_some(events))
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
    let shard = gateway.shard(room);
    let (stream, subject) = (shard.stream(), shard.log(room));
    let mut batch = gateway.broker.read_since(&stream, &subject, since, READ_MAX).await?;
    for _ in 0..READS_MAX {
        if let Some(found) = readable(batch.records.iter()).into_iter().find(&is_meant) {
            return Ok(Some(found));
        }
        let Some(last) = batch.records.last().filter(|_| batch.more) else { break };
        batch = gateway.broker.read_after(&stream, &subject, last.seq, READ_MAX).await?;
    }
    Ok(None)
}

/// The readable events of a room with `after < seq <= upto`, and whether that is all of them.
async fn window(
    gateway: &Gateway,
    room: &RoomSlug,
    after: u64,
    upto: u64,
) -> Result<(Vec<StoredEvent>, bool), Error> {
    let shard = gateway.shard(room);
    let batch = gateway.broker.read_after(&shard.stream(), &shard.log(room), after, READ_MAX).await?;
    let beyond = batch.records.last().is_some_and(|record| record.seq > upto);
    let events = readable(batch.records.iter().filter(|record| record.seq <= upto));
    Ok((events, beyond || !batch.more))
}

/// A page from the log alone, and the row before it (0 for none). A short room is read whole. Else, since the log is read forwards
/// only, windows before `before` are tried: wider ones while they hold too little, narrower ones while they hold more than one
/// read. Reactions that were given after the page are not in it.
///
/// # Errors
/// When the log can't be read.
pub async fn page(
    gateway: &Gateway,
    room: &RoomSlug,
    before: u64,
    limit: usize,
) -> Result<(Vec<Row>, u64), Error> {
    let shard = gateway.shard(room);
    let (stream, subject) = (shard.stream(), shard.log(room));
    let all = gateway.broker.read_after(&stream, &subject, 0, SHORT_ROOM).await?;
    if !all.more {
        let mut rows = Vec::new();
        let before = all.records.iter().filter(|record| record.seq < before);
        readable(before).iter().for_each(|stored| view::fold(&mut rows, stored));
        return cut(gateway, (shard, room), rows, limit).await;
    }
    let head = gateway.broker.stream(&stream).await?.last_seq;
    let mut end = before.saturating_sub(1).min(head);
    let (mut width, mut events, mut rows) = (4 * limit as u64, Vec::new(), Vec::new());
    // One more than asked for tells whether there are older ones.
    while rows.len() <= limit && end > 0 {
        let start = end.saturating_sub(width);
        let (mut older, is_all) = window(gateway, room, start, end).await?;
        if !is_all && width > 1 {
            width = (width / 8).max(1);
            continue;
        }
        older.append(&mut events);
        events = older;
        rows.clear();
        events.iter().for_each(|stored| view::fold(&mut rows, stored));
        end = start;
        width = width.saturating_mul(4);
    }
    cut(gateway, (shard, room), rows, limit).await
}

/// The newest `limit` of these rows as they are now, and the row before them.
async fn cut(
    gateway: &Gateway,
    (shard, room): (Shard, &RoomSlug),
    mut rows: Vec<Row>,
    limit: usize,
) -> Result<(Vec<Row>, u64), Error> {
    let dropped = rows.len().saturating_sub(limit);
    let prev = if dropped > 0 { rows[dropped - 1].seq } else { 0 };
    rows.drain(..dropped);
    apply_later_edits(gateway, (shard, room), &mut rows).await?;
    Ok((rows, prev))
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
            && let Ok(Event::Edited { body, .. }) = Event::decode(&edit.payload)
        {
            content.body = body;
            content.edited_at = Some(edit.at);
        }
    }
    Ok(())
}
