//! Who may open a socket. A browser can't read the status of a refused handshake and would try for ever, so an ended session
//! or a missing membership is accepted and then closed with its code; a foreign origin is refused outright.

use super::{outlet::Outlet, seat::Seat, wire::Format};
use crate::{
    edge::{answer, identity, origin},
    state::Gateway,
};
use axum::{
    extract::{Path, Query, State, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use protocol::{
    Cursor, RoomSlug,
    frame::{Close, JSON_SUBPROTOCOL},
    limits,
    token::Claims,
};
use std::sync::Arc;

#[derive(serde::Deserialize)]
pub struct After {
    after: Option<String>,
}

/// Bytes that tungstenite reads at once: its default of 128 KiB for each socket would be most of an idle socket's memory.
const READ_BUFFER_BYTES: usize = 1024;
/// Bytes that may wait to be written before the socket counts as full.
const WRITE_BUFFER_BYTES_MAX: usize = 512 * 1024;

/// Answers a handshake.
pub async fn open(
    State(gateway): State<Arc<Gateway>>,
    Path(slug): Path<String>,
    Query(query): Query<After>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refusal) = origin::check(&headers, &gateway.config.public_origins) {
        gateway.signals.handshake("foreign_origin");
        return answer::problem(StatusCode::FORBIDDEN, "foreign_origin", &refusal);
    }
    let cursor = match query.after.as_deref().filter(|text| !text.is_empty()).map(str::parse::<Cursor>) {
        None => None,
        Some(Ok(cursor)) => Some(cursor),
        Some(Err(_)) => {
            gateway.signals.handshake("bad_cursor");
            let why = "after must be a cursor: <stream identity>.<sequence>, as caught_up gives it";
            return answer::problem(StatusCode::BAD_REQUEST, "bad_cursor", why);
        }
    };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .protocols([JSON_SUBPROTOCOL]);
    let format = match upgrade.selected_protocol() {
        Some(_) => Format::Json,
        None => Format::Html(identity::language(&headers)),
    };
    let claims = identity::claims(&headers, &gateway.sessions);
    let guest = Guest { slug: slug.parse().ok(), claims, format, cursor };
    let counted = gateway.guests.enter();
    upgrade.on_upgrade(move |socket| async move {
        guest.come_in(gateway, socket).await;
        drop(counted);
    })
}

/// Whoever asks to come in.
struct Guest {
    /// `None`: no room can have this address.
    slug: Option<RoomSlug>,
    /// `None`: no token, or none that is valid.
    claims: Option<Claims>,
    format: Format,
    cursor: Option<Cursor>,
}

impl Guest {
    async fn come_in(self, gateway: Arc<Gateway>, socket: WebSocket) {
        let mut outlet = Outlet::new(socket, gateway.config.sockets.write_stall);
        gateway.signals.socket_opened();
        let close = match self.seat(&gateway).await {
            Ok(seat) => {
                gateway.signals.handshake("accepted");
                seat.run(&mut outlet).await
            }
            Err((outcome, close)) => {
                gateway.signals.handshake(outcome);
                Some(close)
            }
        };
        gateway.signals.socket_ended(close);
        if let Some(close) = close {
            outlet.close(close).await;
        }
    }

    async fn seat(self, gateway: &Arc<Gateway>) -> Result<Seat, (&'static str, Close)> {
        let claims = self.claims.ok_or(("logged_out", Close::SessionEnded))?;
        let registration = gateway.sessions.register(claims.session);
        let slug = self.slug.ok_or(("no_room", Close::NotAMember))?;
        // The room is opened before the membership is asked for: who leaves in between is seen leaving.
        let room = gateway.rooms.open(gateway, &slug).await.map_err(|_| ("broker", Close::Draining))?;
        match gateway.directory.is_member(claims.user, &slug).await {
            Ok(true) => {
                Ok(Seat::new(Arc::clone(gateway), room, claims, registration, (self.format, self.cursor)))
            }
            Ok(false) => Err(("not_a_member", Close::NotAMember)),
            Err(_) => Err(("broker", Close::Draining)),
        }
    }
}
