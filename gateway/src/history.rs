//! A room's past: from the ring, else from the history worker, else from the log. One order everywhere: the sequence.

use crate::{
    Error,
    room::{Room, shown::Shown},
    state::Gateway,
};
use broker::Record;
use protocol::{
    Event, RoomSlug, StoredEvent,
    query::{HistoryAnswer, HistoryQuery, Page, PageAt, PageQuery},
    subject::Shard,
};
use std::sync::Arc;

/// Records read at once from the log.
const READ_MAX: usize = 1_000;

/// A page of a room, oldest first.
pub struct HistoryPage {
    pub events: Vec<Arc<Shown>>,
    /// Whether the room has events before the first of them.
    pub more: bool,
}

/// The room's newest events, and up to where the room was read: what lies behind that is the socket's to bring.
///
/// # Errors
/// When neither worker nor log can be read.
pub async fn newest(gateway: &Gateway, room: &RoomSlug, limit: usize) -> Result<(HistoryPage, u64), Error> {
    if let Some((events, head)) = gateway.rooms.get(room).and_then(|open| open.newest(limit)) {
        let more = events.first().is_some_and(|first| first.prev > 0);
        return Ok((HistoryPage { events, more }, head));
    }
    let shard = gateway.shard(room);
    let head = gateway.broker.last(&shard.stream(), &shard.log(room)).await?.map_or(0, |record| record.seq);
    Ok((before(gateway, room, head.saturating_add(1), limit).await?, head))
}

/// At most `limit` events before a sequence.
///
/// # Errors
/// When neither worker nor log can be read.
pub async fn before(
    gateway: &Gateway,
    room: &RoomSlug,
    before: u64,
    limit: usize,
) -> Result<HistoryPage, Error> {
    if before <= 1 {
        // Nothing can be there. Clients ask so to hear whether anybody answers.
        return Ok(HistoryPage { events: Vec::new(), more: false });
    }
    let shard = gateway.shard(room);
    let query = PageQuery { room: room.clone(), at: PageAt::Before(before), limit, at_least: 0 };
    let page = match ask_worker(gateway, shard, query).await {
        Some(page) => completed(gateway, room, page, before, limit).await?,
        None => from_log(gateway, room, before, limit).await?,
    };
    Ok(HistoryPage { more: page.prev > 0, events: shown(gateway, page.events, page.prev).await })
}

/// A page that the projection gave, with what the log has behind the place to which it was applied.
async fn completed(
    gateway: &Gateway,
    room: &RoomSlug,
    page: Page,
    before: u64,
    limit: usize,
) -> Result<Page, Error> {
    if page.applied.saturating_add(1) >= before {
        return Ok(page);
    }
    let shard = gateway.shard(room);
    // The worker may have gone on between saying how far it was and reading the page.
    let known = page.events.last().map_or(0, |last| last.seq).max(page.applied);
    let (newer, ended) = read_window(gateway, shard, room, known, before - 1).await?;
    if !ended {
        // The projection is far behind: the log alone has the page.
        return from_log(gateway, room, before, limit).await;
    }
    let mut events = page.events;
    events.extend(newer);
    let drop = events.len().saturating_sub(limit);
    let prev = if drop > 0 { events[drop - 1].seq } else { page.prev };
    events.drain(..drop);
    Ok(Page { events, prev, ..page })
}

async fn ask_worker(gateway: &Gateway, shard: Shard, query: PageQuery) -> Option<Page> {
    let patience = gateway.config.history_patience;
    let answer = gateway.broker.ask(shard.history_queries(), &HistoryQuery::Page(query), patience).await;
    match answer {
        Ok(HistoryAnswer::Page(page)) if page.stream == gateway.streams.identity(shard) => {
            gateway.signals.history_ok();
            Some(page)
        }
        Ok(HistoryAnswer::Page(_)) => {
            gateway.signals.history_failed("it holds another life of the stream");
            None
        }
        Ok(HistoryAnswer::Behind { .. } | HistoryAnswer::Last { .. }) => None,
        Ok(HistoryAnswer::Refused { reason }) => {
            gateway.signals.history_failed(&reason);
            None
        }
        Err(error) => {
            gateway.signals.history_failed(&error.to_string());
            None
        }
    }
}

/// The readable events of a room with `after < seq <= upto`, and whether that is all of them.
async fn read_window(
    gateway: &Gateway,
    shard: Shard,
    room: &RoomSlug,
    after: u64,
    upto: u64,
) -> Result<(Vec<StoredEvent>, bool), Error> {
    let batch = gateway.broker.read_after(&shard.stream(), &shard.log(room), after, READ_MAX).await?;
    let beyond = batch.records.last().is_some_and(|record| record.seq > upto);
    let events = readable(batch.records.iter().filter(|record| record.seq <= upto));
    Ok((events, beyond || !batch.more))
}

fn readable<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<StoredEvent> {
    records
        .filter_map(|record| {
            let event = Event::decode(&record.payload).ok()?;
            Some(StoredEvent { seq: record.seq, at: record.at, event })
        })
        .collect()
}

/// A page from the log alone. The log is read forwards only, so windows before `before` are tried: wider ones while they
/// hold too little, narrower ones while they hold more than one read.
async fn from_log(gateway: &Gateway, room: &RoomSlug, before: u64, limit: usize) -> Result<Page, Error> {
    let shard = gateway.shard(room);
    let head = gateway.broker.stream(&shard.stream()).await?.last_seq;
    let mut end = before.saturating_sub(1).min(head);
    let (mut width, mut events) = (4 * limit as u64, Vec::new());
    // One more than asked for tells whether there are older ones.
    while events.len() <= limit && end > 0 {
        let start = end.saturating_sub(width);
        let (mut window, whole) = read_window(gateway, shard, room, start, end).await?;
        if !whole && width > 1 {
            width = (width / 8).max(1);
            continue;
        }
        window.append(&mut events);
        events = window;
        end = start;
        width = width.saturating_mul(4);
    }
    let drop = events.len().saturating_sub(limit);
    let prev = if drop > 0 { events[drop - 1].seq } else { 0 };
    events.drain(..drop);
    Ok(Page { stream: gateway.streams.identity(shard), applied: head, events, prev, more_after: false })
}

/// At most `limit` events after a sequence, and the place to which they bring a cursor.
///
/// # Errors
/// When the log can't be read, or it has aged past the cursor and the history worker does not answer.
pub async fn after(
    gateway: &Gateway,
    room: &Room,
    after: u64,
    limit: usize,
) -> Result<(Vec<Arc<Shown>>, u64), Error> {
    if gateway.streams.has_aged_past(room.shard, after) {
        let query = PageQuery { room: room.slug.clone(), at: PageAt::After(after), limit, at_least: after };
        let page = ask_worker(gateway, room.shard, query).await.ok_or_else(unreachable_history)?;
        if let Some(last) = page.events.last().map(|event| event.seq) {
            return Ok((shown(gateway, page.events, after).await, last));
        }
    }
    // A cursor never goes further than the room itself has come, so that what comes after it is the ring's.
    let seen = room.head().seq;
    let (stream, subject) = (room.shard.stream(), room.shard.log(&room.slug));
    let batch = gateway.broker.read_after(&stream, &subject, after, limit).await?;
    gateway.signals.caught_up_from_log(batch.records.len());
    let last = batch.records.last().map_or(after, |record| record.seq);
    let reached = if last >= seen {
        seen
    } else if batch.more || is_behind(gateway, room, last, seen).await? {
        last
    } else {
        seen
    };
    if reached <= after {
        return Err(unreachable_history());
    }
    let events = readable(batch.records.iter().filter(|record| record.seq <= seen));
    Ok((shown(gateway, events, after).await, reached))
}

/// Whether the replica that said "no more" after `last` lags: the leader has something up to `seen`.
async fn is_behind(gateway: &Gateway, room: &Room, last: u64, seen: u64) -> Result<bool, Error> {
    let (stream, subject) = (room.shard.stream(), room.shard.log(&room.slug));
    let next = gateway.broker.next_confirmed(&stream, &subject, last).await?;
    Ok(next.is_some_and(|next| next.seq <= seen))
}

fn unreachable_history() -> Error {
    Error::Broker(broker::Error::NobodyThere("the room's older history".into()))
}

/// Puts names to events and links each to the one before.
async fn shown(gateway: &Gateway, events: Vec<StoredEvent>, mut prev: u64) -> Vec<Arc<Shown>> {
    let mut all = Vec::with_capacity(events.len());
    for stored in events {
        let name = gateway.profiles.name(stored.event.author()).await;
        let seq = stored.seq;
        let bytes = match &stored.event {
            Event::Message { body, .. } => body.as_str().len() + 150,
            Event::Created { .. } | Event::Joined { .. } | Event::Left { .. } => 150,
        };
        all.push(Arc::new(Shown::new(stored, prev, name, bytes)));
        prev = seq;
    }
    all
}
