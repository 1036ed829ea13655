//! The gateway's pages, a page's `get` and `post` side by side.

pub mod create;
pub mod home;
pub mod join;
pub mod language;
pub mod room;

use crate::{Error, directory::MyRoom, history, state::Gateway};
use protocol::{Event, RoomSlug, StoredEvent, UserId};
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
    let mut last = room.last.clone()?;
    let is_message = |stored: &StoredEvent| matches!(stored.event, Event::Message { .. });
    if search
        && !is_message(&last)
        && let Ok(page) = history::before(gateway, &room.slug, last.seq, SEARCH_EVENTS).await
        && let Some(message) =
            page.events.iter().rev().find(|shown| matches!(shown.event, Event::Message { .. }))
    {
        last = StoredEvent { seq: message.seq, at: message.at, event: message.event.clone() };
    }
    Some(LastEvent {
        seq: last.seq,
        at: last.at.to_string(),
        author: gateway.profiles.name(last.event.author()).await,
        kind: match last.event {
            Event::Message { body, .. } => LastKind::Message(body.as_str().to_owned()),
            Event::Joined { .. } => LastKind::Joined,
            Event::Left { .. } => LastKind::Left,
            Event::Created { .. } => LastKind::Created,
        },
    })
}
