//! The gateway's pages, a page's `get` and `post` side by side.

pub mod create;
pub mod home;
pub mod join;
pub mod language;
pub mod room;

use crate::{Error, directory::MyRoom, history, state::Gateway};
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
    for (place, room) in gateway.directory.rooms_of(user).await?.into_iter().enumerate() {
        links.push(RoomLink {
            last: last_event(gateway, &room, place < SEARCHED_MAX).await,
            current: current == Some(&room.slug),
            slug: room.slug.to_string(),
            name: room.name,
        });
    }
    Ok(links)
}

/// The last message of a room; the last event where no message is near.
async fn last_event(gateway: &Gateway, room: &MyRoom, search: bool) -> Option<LastEvent> {
    let last = room.last.as_ref()?;
    let row = match Row::of(last) {
        Some(row) if matches!(row.what, What::Message(_)) => row,
        row if search => last_message(gateway, &room.slug, last.seq).await.or(row)?,
        row => row?,
    };
    Some(LastEvent {
        seq: row.seq,
        at: row.at.to_string(),
        author: gateway.profiles.name(row.author).await,
        kind: match row.what {
            What::Message(content) => LastKind::Message(content.body.as_str().to_owned()),
            What::Joined => LastKind::Joined,
            What::Left => LastKind::Left,
            What::Created { .. } => LastKind::Created,
            What::Erased => return None,
        },
    })
}

/// The last message among the rows up to a sequence, as it is now.
async fn last_message(gateway: &Gateway, room: &RoomSlug, upto: u64) -> Option<Row> {
    let page = history::before(gateway, room, upto.saturating_add(1), SEARCH_EVENTS).await.ok()?;
    page.rows.into_iter().rev().map(|named| named.row).find(|row| matches!(row.what, What::Message(_)))
}
