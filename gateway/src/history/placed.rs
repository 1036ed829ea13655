//! Pages by their place. Each is the rows before some sequence: where it ends is looked up first.

use super::{HistoryPage, ask_worker, before, is_present_life, log, newest};
use crate::{Error, lookup, state::Gateway};
use protocol::{
    PagePlace, RoomSlug, Since, Spot,
    frame::Aim,
    query::{HistoryAnswer, HistoryQuery, LocateQuery, Located},
};

/// At most `limit` rows at a place; the room's newest where the place is behind all of them, or is no message of the room.
///
/// # Errors
/// When neither worker nor log can be read.
pub async fn page(
    gateway: &Gateway,
    room: &RoomSlug,
    place: PagePlace,
    limit: usize,
) -> Result<HistoryPage, Error> {
    match place {
        PagePlace::Before(seq) => before(gateway, room, seq, limit).await,
        PagePlace::After(seq) => after(gateway, room, seq, limit).await,
        PagePlace::Around(spot) => around(gateway, room, spot, limit).await,
    }
}

async fn after(gateway: &Gateway, room: &RoomSlug, seq: u64, limit: usize) -> Result<HistoryPage, Error> {
    let since = Since::Seq(seq.saturating_add(1));
    let Some(found) = locate(gateway, room, since, limit).await? else {
        return Ok(HistoryPage { rows: Vec::new(), more: true, spot: None, applied: None });
    };
    let mut page = before(gateway, room, found.last.saturating_add(1), limit).await?;
    let all = page.rows.len();
    page.rows.retain(|named| named.row.seq > seq);
    page.more |= page.rows.len() < all;
    page.spot = Some(0);
    Ok(page)
}

async fn around(gateway: &Gateway, room: &RoomSlug, spot: Spot, limit: usize) -> Result<HistoryPage, Error> {
    let since = match spot {
        Spot::Since(since) => Some(since),
        Spot::Message(id) => {
            let found = lookup::aimed_at(gateway, room, Aim { id, seq: None }).await?;
            found.map(|found| Since::Seq(found.target.seq))
        }
    };
    // The row itself belongs to the newer half.
    let located = match since {
        Some(since) => locate(gateway, room, since, limit.div_ceil(2)).await?,
        None => None,
    };
    let Some(found) = located else { return Ok(newest(gateway, room, limit).await?.0) };
    let mut page = before(gateway, room, found.last.saturating_add(1), limit).await?;
    page.spot = page.rows.iter().position(|named| named.row.seq >= found.first);
    Ok(page)
}

/// The first `count` rows from a place on. The worker may lag, and the log may have aged: whoever sees further is right.
async fn locate(
    gateway: &Gateway,
    room: &RoomSlug,
    since: Since,
    count: usize,
) -> Result<Option<Located>, Error> {
    let projected = projected(gateway, LocateQuery { room: room.clone(), since, count }).await;
    if projected.is_some_and(|found| found.count == count) {
        return Ok(projected);
    }
    let logged = log::locate(gateway, room, since, count).await?;
    Ok(match (projected, logged) {
        (Some(projected), Some(logged)) => {
            Some(Located { first: projected.first.min(logged.first), ..logged })
        }
        (projected, logged) => projected.or(logged),
    })
}

async fn projected(gateway: &Gateway, query: LocateQuery) -> Option<Located> {
    let shard = gateway.shard(&query.room).ok()?;
    match ask_worker(gateway, shard, &HistoryQuery::Locate(query)).await? {
        HistoryAnswer::Located { stream, rows } if is_present_life(gateway, shard, stream) => rows,
        _ => None,
    }
}
