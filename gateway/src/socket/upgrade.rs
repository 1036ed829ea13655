//! The handshake of RFC 6455, and the connection behind it.

use crate::edge::answer;
use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use service::connection::Duplex;
use tungstenite::handshake::server::create_response;

/// A request to go on as a WebSocket, which was found to be a proper one.
pub struct Upgrade {
    on_upgrade: OnUpgrade,
    response: axum::http::Response<()>,
    asked: Option<HeaderValue>,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        let refuse = |why: &str| answer::problem(StatusCode::BAD_REQUEST, "not_a_websocket", why);
        let response = create_response(&request).map_err(|error| refuse(&error.to_string()))?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let on_upgrade = on_upgrade.ok_or_else(|| refuse("this connection can't be upgraded"))?;
        let asked = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
        Ok(Self { on_upgrade, response, asked })
    }
}

impl Upgrade {
    /// Whether the client offers this subprotocol.
    pub fn asks_for(&self, subprotocol: &str) -> bool {
        let asked = self.asked.as_ref().and_then(|asked| asked.to_str().ok());
        asked.is_some_and(|asked| asked.split(',').any(|one| one.trim() == subprotocol))
    }

    /// Answers the handshake; the connection is there when the answer has been sent.
    pub fn accept(self, subprotocol: Option<&'static str>) -> (Response, Opening) {
        let Self { on_upgrade, mut response, .. } = self;
        let headers: &mut HeaderMap = response.headers_mut();
        if let Some(subprotocol) = subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        (response.map(|()| Body::empty()), Opening(on_upgrade))
    }
}

/// A WebSocket whose handshake is being answered.
pub struct Opening(OnUpgrade);

impl Opening {
    /// Waits for the connection; `None` when the peer has gone.
    pub async fn connection(self) -> Option<Duplex> {
        match self.0.await.map(Duplex::take_over) {
            Ok(Ok(duplex)) => return Some(duplex),
            Ok(Err(_)) => tracing::error!("a connection is not one of this server's"),
            Err(error) => tracing::debug!(%error, "a handshake was not finished"),
        }
        None
    }
}
