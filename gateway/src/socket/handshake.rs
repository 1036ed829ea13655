//! Who may open a socket. A browser can't read the status of a refused handshake and would try for ever, so an ended session,
//! a missing membership or one socket too many is accepted and then closed with its code; a foreign origin is refused outright,
//! and so is everybody when this gateway is full.

use super::{
    list::ListSeat,
    outlet::Outlet,
    seat::{Member, Seat},
    upgrade::{Opening, Upgrade},
    wire::Format,
};
use crate::{
    Error,
    crowd::{self, Above, Comer, Full},
    edge::{answer, identity, origin},
    guests,
    state::Gateway,
};
use axum::{
    Extension,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use protocol::{
    Cursor, RoomSlug,
    frame::{Close, JSON_SUBPROTOCOL},
    token::Claims,
};
use service::{http::PeerAddr, proxies::origin_of};
use std::{net::IpAddr, sync::Arc};
use tokio::time::Instant;

#[derive(serde::Deserialize)]
pub struct After {
    after: Option<String>,
}

/// What whoever is refused for want of a place is asked to wait, in seconds.
const RETRY_AFTER_S: &str = "30";

/// Answers a handshake.
pub async fn open(
    State(gateway): State<Arc<Gateway>>,
    (Path(slug), Query(query)): (Path<String>, Query<After>),
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let cursor = query.after.as_deref().filter(|text| !text.is_empty()).map(str::parse::<Cursor>);
    let admitted = match cursor.transpose() {
        Ok(cursor) => {
            let wanted = Wanted::Room { slug: slug.parse().ok(), cursor };
            admit(&gateway, wanted, peer.ip(), (&headers, upgrade))
        }
        Err(_) => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            code: "bad_cursor",
            why: "after must be a cursor: <stream identity>.<sequence>, as caught_up gives it".into(),
        }),
    };
    answered(&gateway, admitted)
}

/// Answers a handshake for the news of all rooms that a person has.
pub async fn open_list(
    State(gateway): State<Arc<Gateway>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let admitted = admit(&gateway, Wanted::List, peer.ip(), (&headers, upgrade));
    answered(&gateway, admitted)
}

fn answered(gateway: &Gateway, admitted: Result<Response, Refusal>) -> Response {
    admitted.unwrap_or_else(|refusal| {
        gateway.signals.handshake(refusal.code);
        refusal.answer()
    })
}

/// What a socket is to be of.
enum Wanted {
    Room {
        /// `None`: no room can have this address.
        slug: Option<RoomSlug>,
        cursor: Option<Cursor>,
    },
    List,
}

enum Seated {
    Room(Box<Seat>),
    List(Box<ListSeat>),
}

/// A handshake that is not answered by a socket.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    why: String,
}

impl Refusal {
    fn answer(&self) -> Response {
        let mut answer = answer::problem(self.status, self.code, &self.why);
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        answer
    }
}

impl From<Full> for Refusal {
    fn from(Full(above): Full) -> Self {
        let why = "there are far too many sockets of this person or address; close some first".into();
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: above.code(), why }
    }
}

/// Takes whoever asks into the counts, and lets the socket begin.
fn admit(
    gateway: &Arc<Gateway>,
    wanted: Wanted,
    peer: IpAddr,
    (headers, upgrade): (&HeaderMap, Upgrade),
) -> Result<Response, Refusal> {
    let (config, asked_at) = (&gateway.config, Instant::now());
    origin::check(headers, &config.public_origins).map_err(|why| Refusal {
        status: StatusCode::FORBIDDEN,
        code: "foreign_origin",
        why,
    })?;
    let counted = gateway.guests.enter(config.sockets.all).ok_or_else(|| Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "full",
        why: "this gateway has as many sockets as it takes; try again, another one may have room".into(),
    })?;
    let claims = identity::claims(headers, &gateway.sessions);
    let address = origin_of(headers, peer, &config.trusted_proxies).client;
    let comer = Comer { user: claims.as_ref().map(|claims| claims.user), address };
    let place = gateway.crowd.enter(comer, config.sockets.per_user, config.sockets.per_address)?;
    let asks_for_json = upgrade.asks_for(JSON_SUBPROTOCOL);
    let format = if asks_for_json { Format::Json } else { Format::Html(identity::language(headers)) };
    let guest = Guest { wanted, asked_at, claims, above: place.above, format };
    let (response, opening) = upgrade.accept(asks_for_json.then_some(JSON_SUBPROTOCOL));
    tokio::spawn(come_in(Arc::clone(gateway), guest, opening, (counted, place)));
    Ok(response)
}

/// Whoever asks to come in.
struct Guest {
    wanted: Wanted,
    asked_at: Instant,
    /// `None`: no token, or none that is valid.
    claims: Option<Claims>,
    /// Whose limit this socket is above, if it is.
    above: Option<Above>,
    format: Format,
}

/// The life of a socket, which is counted for as long. What is seldom in hand is boxed: an idle socket takes no memory for it.
async fn come_in(
    gateway: Arc<Gateway>,
    guest: Guest,
    opening: Opening,
    _counted: (guests::Guest, crowd::Place),
) {
    let Some(duplex) = Box::pin(opening.connection()).await else { return };
    let mut outlet = Outlet::new(duplex, guest.format, &gateway.config.sockets);
    gateway.signals.socket_opened();
    let close = match Box::pin(guest.seat(&gateway, &outlet)).await {
        Ok(seated) => {
            gateway.signals.handshake("accepted");
            match seated {
                Seated::Room(seat) => seat.run(&mut outlet).await,
                Seated::List(seat) => Box::pin(seat.run(&mut outlet)).await,
            }
        }
        Err((outcome, close)) => {
            gateway.signals.handshake(outcome);
            Some(close)
        }
    };
    gateway.signals.socket_ended(close, outlet.line.slow());
    match close {
        Some(close) => Box::pin(outlet.close(close)).await,
        None => Box::pin(outlet.finish()).await,
    }
}

/// Why nothing can be said of a room here: whoever comes again may come to another gateway.
const fn no_way(error: &Error) -> (&'static str, Close) {
    let outcome = if matches!(error, Error::UnknownShard) { "unknown_shard" } else { "broker" };
    (outcome, Close::Draining)
}

impl Guest {
    async fn seat(self, gateway: &Arc<Gateway>, outlet: &Outlet) -> Result<Seated, (&'static str, Close)> {
        if let Some(above) = self.above {
            return Err((above.code(), Close::TooMany));
        }
        let claims = self.claims.ok_or(("logged_out", Close::SessionEnded))?;
        let registration = gateway.sessions.register(claims.session, &outlet.line);
        let (slug, cursor) = match self.wanted {
            Wanted::Room { slug, cursor } => (slug.ok_or(("no_room", Close::NotAMember))?, cursor),
            Wanted::List => {
                let seat = ListSeat::new(gateway, (claims, registration), self.format).await;
                return seat
                    .map(|seat| Seated::List(Box::new(seat)))
                    .map_err(|_| ("broker", Close::Draining));
            }
        };
        if gateway.keyring.has_erased_room(&slug) {
            return Err(("no_room", Close::NotAMember));
        }
        // The room is opened before the membership is asked for: who leaves in between is seen leaving.
        let room = gateway.rooms.open(gateway, &slug).await.map_err(|error| no_way(&error))?;
        match gateway.directory.is_member(claims.user, &slug).await {
            Ok(true) => {
                let Self { asked_at, format, .. } = self;
                let member = Member { room, asked_at, claims, registration, format };
                let seat = Seat::new(Arc::clone(gateway), member, &outlet.line, cursor);
                Ok(Seated::Room(Box::new(seat)))
            }
            Ok(false) => Err(("not_a_member", Close::NotAMember)),
            Err(error) => Err(no_way(&error)),
        }
    }
}
