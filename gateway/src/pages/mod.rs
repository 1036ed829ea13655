//! The gateway's pages, a page's `get` and `post` side by side.

pub mod create;
pub mod home;
pub mod join;
pub mod language;
pub mod room;
pub mod search;

use crate::{
    Error,
    directory::MyRoom,
    history::{self, NamedRow},
    state::Gateway,
};
use keyring::sealed;
use protocol::{
    RoomSlug, UserId,
    view::{Row, What},
};
use templates::{LastEvent, LastKind, RoomLink};

/// Rooms whose last message is looked for behind what happened since.
const SEARCHED_MAX: usize = 20;
/// Events in which a last message is looked for.
const SEARCH_EVENTS: usize = 20;

/// A person's rooms as a list shows them, the one with the newest event first.
async fn room_links(
    gateway: &Gateway,
    user: UserId,
    current: Option<&RoomSlug>,
) -> Result<Vec<RoomLink>, Error> {
    let mut links = Vec::new();
    for room in gateway.directory.rooms_of(user).await? {
        links.push(if links.len() < SEARCHED_MAX {
            room_link(gateway, &room, current).await
        } else {
            let last = match room.last.clone() {
                Some(last) => sealed::events(&gateway.keyring, &room.slug, vec![last]).await?.pop(),
                None => None,
            };
            link(gateway, &room, current, last.as_ref().and_then(Row::of)).await
        });
    }
    Ok(links)
}

/// A room as a list shows it, with its last message where one is near.
pub async fn room_link(gateway: &Gateway, room: &MyRoom, current: Option<&RoomSlug>) -> RoomLink {
    let last = last_row(gateway, room).await.map(|named| named.row);
    link(gateway, room, current, last).await
}

async fn link(gateway: &Gateway, room: &MyRoom, current: Option<&RoomSlug>, last: Option<Row>) -> RoomLink {
    RoomLink {
        seq: room.last.as_ref().map_or(0, |last| last.seq),
        last: match last {
            Some(row) => last_event(gateway, row).await,
            None => None,
        },
        current: current == Some(&room.slug),
        slug: room.slug.to_string(),
        name: room.name.clone(),
    }
}

async fn last_event(gateway: &Gateway, row: Row) -> Option<LastEvent> {
    Some(LastEvent {
        seq: row.seq,
        at: row.at.to_string(),
        author: gateway.profiles.name(row.author).await,
        kind: match row.what {
            What::Message(content) => LastKind::Message(content.body.as_str().to_owned()),
            What::Joined => LastKind::Joined,
            What::Left => LastKind::Left,
            What::Created { .. } => LastKind::Created,
            What::Retention { .. } | What::UserErased | What::Erased | What::Unopened | What::Unreadable => {
                return None;
            }
        },
    })
}

/// The last message of a room as it is now; the last row where no message is near.
pub async fn last_row(gateway: &Gateway, room: &MyRoom) -> Option<NamedRow> {
    let last = room.last.as_ref()?;
    let before = last.seq.saturating_add(1);
    let mut rows = history::before(gateway, &room.slug, before, SEARCH_EVENTS).await.ok()?.rows;
    let message = rows.iter().rposition(|named| matches!(named.row.what, What::Message(_)));
    let place = message.or_else(|| rows.len().checked_sub(1))?;
    Some(rows.swap_remove(place))
}
