//! A room's past: from the ring, else from the history worker, else from the log. One order everywhere: the sequence.
//!
//! A page ([`newest`], [`page`]) shows rows as they are now. What a socket is given behind its cursor ([`after`]) is the log's
//! events, one after the other.

pub mod log;
mod named;
mod placed;

pub use log::End;
use log::Rows;
pub use named::{HistoryPage, NamedRow};
pub use placed::page;

use crate::{
    Error,
    room::{Room, shown::Shown},
    signals::PageFrom,
    state::Gateway,
};
use keyring::sealed;
use protocol::{
    RoomSlug,
    query::{AfterQuery, Events, HistoryAnswer, HistoryQuery, Page, PageQuery},
    subject::Shard,
    view,
};
use std::{sync::Arc, time::Duration};

/// How often a page is read whose end is missing, because a replica lags, and the pause between.
const WHOLE_TRIES: u32 = 10;
const WHOLE_PAUSE: Duration = Duration::from_millis(150);

/// The room's newest rows, and up to where the room was read: what lies behind that is the socket's to bring.
///
/// # Errors
/// When neither worker nor log can be read.
pub async fn newest(gateway: &Gateway, room: &RoomSlug, limit: usize) -> Result<(HistoryPage, u64), Error> {
    if let Some((rows, prev, head)) = gateway.rooms.get(room).and_then(|open| open.newest(limit)) {
        gateway.signals.page(Some(PageFrom::Ring));
        return Ok((named::page(gateway, rows, prev).await, head));
    }
    let head = logged_head(gateway, room).await?;
    Ok((before(gateway, room, head.saturating_add(1), limit).await?, head))
}

/// The sequence of the room's last event; 0 in an empty room.
///
/// # Errors
/// When the log can't be read.
pub async fn head(gateway: &Gateway, room: &RoomSlug) -> Result<u64, Error> {
    match gateway.rooms.get(room) {
        Some(open) => Ok(open.head().seq),
        None => logged_head(gateway, room).await,
    }
}

async fn logged_head(gateway: &Gateway, room: &RoomSlug) -> Result<u64, Error> {
    let shard = gateway.shard(room)?;
    let last = gateway.broker.last(&shard.stream(), &shard.log(room)).await?;
    Ok(last.map_or(0, |record| record.seq))
}

/// At most `limit` rows before a sequence, of what was there when it was asked.
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
        return Ok(HistoryPage { rows: Vec::new(), more: false, spot: None, applied: None });
    }
    let read = whole_before(gateway, room, before, limit).await;
    gateway.signals.page(read.as_ref().ok().map(|(_, applied)| from(*applied)));
    let (Rows { rows, prev, .. }, applied) = read?;
    Ok(HistoryPage { applied, ..named::page(gateway, rows, prev).await })
}

fn from(applied: Option<u64>) -> PageFrom {
    if applied.is_some() { PageFrom::Worker } else { PageFrom::Log }
}

/// The rows, and how far the history worker was that gave them; nothing where they are the log's.
async fn whole_before(
    gateway: &Gateway,
    room: &RoomSlug,
    mut before: u64,
    limit: usize,
) -> Result<(Rows, Option<u64>), Error> {
    for attempt in 0..WHOLE_TRIES {
        let query = PageQuery { room: room.clone(), before, limit, at_least: 0 };
        let page = match projected(gateway, query).await {
            Some(page) => {
                let applied = page.applied;
                let rows = completed(gateway, room, page, (before, limit)).await?;
                rows.map(|rows| (rows, Some(applied)))
            }
            None => None,
        };
        let (page, applied) = match page {
            Some(given) => given,
            None => (log::page(gateway, room, before, limit).await?, None),
        };
        if is_whole(gateway, room, (page.upto, before)).await? {
            return Ok((page, applied));
        }
        if attempt == 0 {
            // What is stored from now on, in a room where people write all the time, is none of it.
            let shard = gateway.shard(room)?;
            let last = gateway.broker.last_confirmed(&shard.stream(), &shard.log(room)).await?;
            before = before.min(last.map_or(0, |last| last.seq).saturating_add(1));
        } else {
            tokio::time::sleep(WHOLE_PAUSE).await;
        }
    }
    Err(unreachable_history())
}

/// Whether nothing of the room lies between these sequences. A page that ends with what a lagging replica had would have a hole
/// there that nobody sees.
async fn is_whole(gateway: &Gateway, room: &RoomSlug, (upto, before): (u64, u64)) -> Result<bool, Error> {
    if upto.saturating_add(1) >= before {
        return Ok(true);
    }
    if let Some(End { events, upto: seen }) = gateway.rooms.get(room).and_then(|open| open.stored_after(upto))
    {
        if events.iter().any(|event| event.seq < before) {
            return Ok(false);
        }
        if seen.saturating_add(1) >= before {
            return Ok(true);
        }
    }
    let shard = gateway.shard(room)?;
    let next = gateway.broker.next_known(&shard.stream(), &shard.log(room), upto).await?;
    Ok(next.is_none_or(|next| next.seq >= before))
}

/// A page as the history worker has it. Of the longest messages it sends fewer at once than a page has, so the rest is asked for, as
/// long as it has not gone on meanwhile.
async fn projected(gateway: &Gateway, query: PageQuery) -> Option<Page> {
    let mut page = projected_once(gateway, query.clone()).await?;
    while page.prev > 0 && page.rows.len() < query.limit {
        let Some(first) = page.rows.first().map(|row| row.seq) else { break };
        let rest = PageQuery { before: first, limit: query.limit - page.rows.len(), ..query.clone() };
        let rest = projected_once(gateway, rest).await.filter(|rest| rest.applied == page.applied);
        let Some(mut rest) = rest.filter(|rest| !rest.rows.is_empty()) else { break };
        rest.rows.append(&mut page.rows);
        page = rest;
    }
    Some(page)
}

async fn projected_once(gateway: &Gateway, query: PageQuery) -> Option<Page> {
    let shard = gateway.shard(&query.room).ok()?;
    match ask_worker(gateway, shard, &HistoryQuery::Page(query)).await? {
        HistoryAnswer::Page(page) if is_present_life(gateway, shard, page.stream) => Some(page),
        _ => None,
    }
}

/// A page that the projection gave, with what happened behind the place to which it was applied: later rows, and changes of
/// the rows in it. `None` when that is too much to read at once.
async fn completed(
    gateway: &Gateway,
    room: &RoomSlug,
    page: Page,
    (before, limit): (u64, usize),
) -> Result<Option<Rows>, Error> {
    let Page { rows, mut prev, applied, .. } = page;
    let mut rows = sealed::rows(&gateway.keyring, room, rows).await?;
    // The worker may have gone on between saying how far it was and reading the page.
    let known = rows.last().map_or(0, |last| last.seq);
    let Some(End { events, upto }) = log::events_after(gateway, room, applied).await? else {
        return Ok(None);
    };
    for stored in events {
        if stored.event.expires().is_some_and(|upto| prev <= upto) {
            prev = 0;
        }
        let concerns_page = match stored.event.target() {
            Some(target) => target.seq < before,
            None => stored.seq > known && stored.seq < before,
        };
        if concerns_page {
            view::fold(&mut rows, &stored);
        }
    }
    let dropped = rows.len().saturating_sub(limit);
    if dropped > 0 {
        prev = rows[dropped - 1].seq;
        rows.drain(..dropped);
    }
    Ok(Some(Rows { rows, prev, upto }))
}

/// What the history worker answers; `None` when it is not there, lags, or fails.
pub async fn ask_worker(gateway: &Gateway, shard: Shard, query: &HistoryQuery) -> Option<HistoryAnswer> {
    let patience = gateway.config.history_patience;
    match gateway.broker.ask(shard.history_queries(), query, patience).await {
        Ok(HistoryAnswer::Refused { reason }) => {
            gateway.signals.history_failed(&reason);
            None
        }
        Ok(answer) => {
            gateway.signals.history_ok();
            Some(answer)
        }
        Err(error) => {
            gateway.signals.history_failed(&error.to_string());
            None
        }
    }
}

/// Whether what the worker says is of the stream that lives now.
pub fn is_present_life(gateway: &Gateway, shard: Shard, stream: protocol::StreamIdentity) -> bool {
    let is_same = stream == gateway.streams.identity(shard);
    if !is_same {
        gateway.signals.history_failed("it holds another life of the stream");
    }
    is_same
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
        let query = AfterQuery { room: room.slug.clone(), after, limit, at_least: after };
        let Events { events, reached, .. } =
            projected_after(gateway, room.shard, query).await.ok_or_else(unreachable_history)?;
        if reached > after {
            let events = sealed::events(&gateway.keyring, &room.slug, events).await?;
            return Ok((named::shown(gateway, events, after).await, reached));
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
    let within = batch.records.iter().filter(|record| record.seq <= seen);
    let events = log::readable(gateway, &room.slug, within).await?;
    Ok((named::shown(gateway, events, after).await, reached))
}

async fn projected_after(gateway: &Gateway, shard: Shard, query: AfterQuery) -> Option<Events> {
    match ask_worker(gateway, shard, &HistoryQuery::After(query)).await? {
        HistoryAnswer::Events(events) if is_present_life(gateway, shard, events.stream) => Some(events),
        _ => None,
    }
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
