//! `/room/<slug>/`: a room, its older pages, and the ways into and out of it.

use super::room_links;
use crate::{
    Error,
    edge::{answer, identity::Visitor},
    history::{self, HistoryPage},
    socket::{
        inbound::{self, Action},
        view,
    },
    state::Gateway,
    writing::{self, Arrival, Outcome},
};
use axum::{
    Form,
    extract::{Path, Query, State},
    http::{HeaderValue, StatusCode},
    response::Response,
};
use keyring::sealed;
use protocol::{
    KeepDays, MessageId, PagePlace, RoomSlug,
    frame::Refusal,
    limits,
    query::APPLIED_HEADER,
    state::{Role, Room},
    token::Claims,
};
use std::sync::Arc;
use templates::{ErrorKind, InvitePage, OlderFragment, RoomPage};
use tokio::time::Instant;

type Gate = State<Arc<Gateway>>;

/// Which part of the room an address means: `before` and `after` a sequence, or `at` a message, a sequence, a day or a time.
#[derive(serde::Deserialize)]
pub struct Part {
    before: Option<u64>,
    after: Option<u64>,
    at: Option<String>,
}

/// What an address means.
enum Meant {
    Newest,
    Place(PagePlace),
    /// It names no spot that a room can have.
    Nothing,
}

impl Part {
    fn meant(&self) -> Meant {
        match (self.before, self.after, self.at.as_deref()) {
            (None, None, None) => Meant::Newest,
            (Some(before), None, None) => Meant::Place(PagePlace::Before(before)),
            (None, Some(after), None) => Meant::Place(PagePlace::After(after)),
            (None, None, Some(at)) => {
                at.parse().map_or(Meant::Nothing, |spot| Meant::Place(PagePlace::Around(spot)))
            }
            _ => Meant::Nothing,
        }
    }
}

#[derive(serde::Deserialize)]
pub struct Message {
    #[serde(default)]
    message: String,
    id: Option<String>,
}

/// The room for its members; an invitation for others.
pub async fn get(
    State(gateway): Gate,
    visitor: Visitor,
    Path(slug): Path<String>,
    Query(part): Query<Part>,
) -> Response {
    let shown = async {
        let (slug, room) = find(&gateway, &slug).await?;
        let name = sealed::name(&gateway.keyring, &slug, &room).await?;
        if let Some(role) = gateway.directory.role(visitor.claims.user, &slug).await? {
            let named = Named { slug: &slug, name: &name, room: &room };
            member_page(&gateway, &visitor, (named, role), &part.meant()).await
        } else {
            let page = InvitePage { layout: visitor.layout(), slug: slug.as_str(), room_name: &name };
            Ok(answer::page(StatusCode::OK, page.render()))
        }
    };
    shown.await.unwrap_or_else(|error| answer::failed(visitor.layout(), &error))
}

/// A room with its name in the open.
struct Named<'a> {
    slug: &'a RoomSlug,
    name: &'a str,
    room: &'a Room,
}

async fn member_page(
    gateway: &Gateway,
    visitor: &Visitor,
    (Named { slug, name, room }, role): (Named<'_>, Role),
    meant: &Meant,
) -> Result<Response, Error> {
    let stream = gateway.streams.identity(gateway.shard(slug)?).to_string();
    let Shown { page, head, tail, spot_id, is_spot_missing } = shown(gateway, slug, meant).await?;
    let creator = gateway.profiles.name(room.creator).await;
    let html = RoomPage {
        layout: visitor.layout(),
        slug: slug.as_str(),
        room_name: name,
        created_by: Some(&creator),
        stream: &stream,
        head_seq: head,
        tail_seq: tail,
        spot_id,
        is_spot_missing,
        rows: rows(&page),
        more_before: page.more,
        rooms: room_links(gateway, visitor.claims.user, Some(slug)).await?,
        renew_after_s: renew_after_s(&visitor.claims),
        may_moderate: role.may_moderate(),
        keep_days: room.keep.get(),
        form_message_id: &MessageId::new().to_string(),
    }
    .render();
    Ok(answer::page(StatusCode::OK, html))
}

/// The part of a room that a page shows.
struct Shown {
    page: HistoryPage,
    /// From where its socket goes on.
    head: u64,
    /// The sequence of the room's last event, if it lies behind the part; else 0.
    tail: u64,
    spot_id: Option<String>,
    is_spot_missing: bool,
}

async fn shown(gateway: &Gateway, room: &RoomSlug, meant: &Meant) -> Result<Shown, Error> {
    if let Meant::Place(place) = meant
        && let Some(part) = part_at(gateway, room, *place).await?
    {
        return Ok(part);
    }
    let (page, head) = history::newest(gateway, room, limits::PAGE_EVENTS).await?;
    let is_spot_missing = !matches!(meant, Meant::Newest);
    Ok(Shown { page, head, tail: 0, spot_id: None, is_spot_missing })
}

/// The part of the room at a place; `None` when it has no rows.
async fn part_at(gateway: &Gateway, room: &RoomSlug, place: PagePlace) -> Result<Option<Shown>, Error> {
    // The head is read before the page: what changes meanwhile is the socket's to bring, a second time maybe.
    let head = history::head(gateway, room).await?;
    let page = history::page(gateway, room, place, limits::PAGE_EVENTS).await?;
    let Some(last) = page.rows.last().map(|last| last.row.seq) else { return Ok(None) };
    let is_linked = matches!(place, PagePlace::Around(_));
    let spot = page.spot.filter(|_| is_linked).and_then(|spot| page.rows.get(spot));
    let spot_id = spot.map(|named| named.row.id.to_string());
    // Around nothing, the page is the newest already.
    let is_spot_missing = is_linked && spot_id.is_none();
    // A row that came meanwhile is in the page with all that was before it.
    let head = head.max(last);
    let tail = if last < head && !is_spot_missing { head } else { 0 };
    Ok(Some(Shown { page, head, tail, spot_id, is_spot_missing }))
}

/// A page renews its token when half of the token's life is over.
fn renew_after_s(claims: &Claims) -> u64 {
    let life_s = claims.expires_at_s.saturating_sub(claims.issued_at_s);
    u64::try_from(life_s / 2).unwrap_or(0).max(1)
}

fn rows(page: &HistoryPage) -> Vec<templates::EventRow> {
    page.rows.iter().map(view::row).collect()
}

/// A part of the room, for the page's script.
pub async fn history(
    State(gateway): Gate,
    visitor: Visitor,
    Path(slug): Path<String>,
    Query(part): Query<Part>,
) -> Response {
    let read = async {
        let slug = for_member(&gateway, &visitor, &slug).await?;
        let place = match part.meant() {
            Meant::Place(place) => place,
            Meant::Newest => PagePlace::Before(u64::MAX),
            Meant::Nothing => return Ok(answer::error_page(visitor.layout(), 400, ErrorKind::BadRequest)),
        };
        let page = history::page(&gateway, &slug, place, limits::PAGE_EVENTS).await?;
        let fragment = OlderFragment { lang: visitor.lang, rows: rows(&page), more_before: page.more };
        let mut response = answer::page(StatusCode::OK, fragment.render());
        if let Some(applied) = page.applied {
            response.headers_mut().insert(APPLIED_HEADER, HeaderValue::from(applied));
        }
        Ok(response)
    };
    read.await.unwrap_or_else(|error| answer::failed(visitor.layout(), &error))
}

/// A message sent as a form, for a page without its script.
pub async fn post(
    State(gateway): Gate,
    visitor: Visitor,
    Path(slug): Path<String>,
    Form(message): Form<Message>,
) -> Response {
    let slug = match for_member(&gateway, &visitor, &slug).await {
        Ok(slug) => slug,
        Err(error) => return answer::failed(visitor.layout(), &error),
    };
    let (user, arrival) = (visitor.claims.user, Arrival::now(&gateway));
    let id = message.id.and_then(|id| id.parse().ok()).unwrap_or_default();
    let request = match inbound::send(user, id, &message.message) {
        Action::Store(request) => request,
        Action::Refuse(refused) if refused.code == Refusal::Empty => {
            return answer::see_other(&format!("/room/{slug}/"));
        }
        _ => return answer::error_page(visitor.layout(), 422, ErrorKind::BadRequest),
    };
    if gateway.rates.take(user, Instant::now()).is_err() {
        return answer::error_page(visitor.layout(), 429, ErrorKind::TooMany);
    }
    match writing::perform(&gateway, &slug, &request, arrival).await {
        Outcome::Stored { .. } => answer::see_other(&format!("/room/{slug}/")),
        Outcome::Refused { code: Refusal::IdReused, .. } => {
            answer::error_page(visitor.layout(), 409, ErrorKind::BadRequest)
        }
        Outcome::Refused { .. } => answer::error_page(visitor.layout(), 503, ErrorKind::Unavailable),
    }
}

/// The one click of an invitation.
pub async fn join(State(gateway): Gate, visitor: Visitor, Path(slug): Path<String>) -> Response {
    let joined = async {
        let (slug, _) = find(&gateway, &slug).await?;
        gateway.directory.join(visitor.claims.user, &slug).await?;
        Ok(answer::see_other(&format!("/room/{slug}/")))
    };
    joined.await.unwrap_or_else(|error: Error| answer::failed(visitor.layout(), &error))
}

#[derive(serde::Deserialize)]
pub struct Keep {
    days: u16,
}

/// How long the room is to keep what happens in it, as its owner says.
pub async fn keep(
    State(gateway): Gate,
    visitor: Visitor,
    Path(slug): Path<String>,
    Form(Keep { days }): Form<Keep>,
) -> Response {
    let set = async {
        let slug = RoomSlug::parse(&slug).map_err(|_| Error::NoRoom)?;
        let user = visitor.claims.user;
        let role = gateway.directory.role(user, &slug).await?.ok_or(Error::NotAMember)?;
        if !role.may_moderate() {
            return Ok(answer::error_page(visitor.layout(), 403, ErrorKind::Forbidden));
        }
        let Some(keep) = KeepDays::new(days) else {
            return Ok(answer::error_page(visitor.layout(), 422, ErrorKind::BadRequest));
        };
        if gateway.rates.take(user, Instant::now()).is_err() {
            return Ok(answer::error_page(visitor.layout(), 429, ErrorKind::TooMany));
        }
        gateway.directory.set_retention(user, &slug, keep).await?;
        Ok(answer::see_other(&format!("/room/{slug}/")))
    };
    set.await.unwrap_or_else(|error: Error| answer::failed(visitor.layout(), &error))
}

pub async fn leave(State(gateway): Gate, visitor: Visitor, Path(slug): Path<String>) -> Response {
    let left = async {
        let (slug, _) = find(&gateway, &slug).await?;
        gateway.directory.leave(visitor.claims.user, &slug).await?;
        Ok(answer::see_other("/"))
    };
    left.await.unwrap_or_else(|error: Error| answer::failed(visitor.layout(), &error))
}

async fn find(gateway: &Gateway, slug: &str) -> Result<(RoomSlug, Room), Error> {
    let slug = RoomSlug::parse(slug).map_err(|_| Error::NoRoom)?;
    let room = gateway.directory.room(&slug).await?.ok_or(Error::NoRoom)?;
    Ok((slug, room))
}

/// The slug, for a member; others learn nothing of the room.
async fn for_member(gateway: &Gateway, visitor: &Visitor, slug: &str) -> Result<RoomSlug, Error> {
    let slug = RoomSlug::parse(slug).map_err(|_| Error::NoRoom)?;
    let member = gateway.directory.is_member(visitor.claims.user, &slug).await?;
    if member { Ok(slug) } else { Err(Error::NotAMember) }
}
