//! Passing requests under `/auth/` on to an auth service, for installations without a proxy that does so.

use crate::{
    edge::{answer, identity},
    state::Gateway,
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use service::http::PeerAddr;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use templates::{ErrorKind, Layout, answer::guard};

/// How long an auth service may take: it hashes passwords, and queues for that.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What only a trusted proxy may say of the address that the browser asked.
const FORWARDED_OTHERS: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
];

/// The way to the auth service, with its connections.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

impl Upstream {
    pub fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        Self { address, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Passes a request on and its answer back.
    pub async fn pass(self, State(gateway): State<Arc<Gateway>>, mut request: Request) -> Response {
        let lang = identity::language(request.headers());
        let path = request.uri().path().to_owned();
        let target = request.uri().path_and_query().cloned();
        let target = Uri::builder()
            .scheme("http")
            .authority(self.address.to_string())
            .path_and_query(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build();
        if let Ok(target) = target {
            *request.uri_mut() = target;
        }
        trust_nobody(&gateway, &mut request);
        *request.version_mut() = axum::http::Version::HTTP_11;
        match tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await {
            Ok(Ok(answer)) => answer.map(Body::new).into_response(),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(upstream = %self.address, "the auth service does not answer");
                let layout = Layout { lang, viewer: None, path: &path, notice: None };
                let mut answer = answer::error_page(layout, 503, ErrorKind::Unavailable);
                guard(answer.headers_mut());
                answer
            }
        }
    }
}

/// Says for whom the request is passed on. What a peer that is no trusted proxy says about that is dropped.
fn trust_nobody(gateway: &Gateway, request: &mut Request) {
    let Some(PeerAddr(peer)) = request.extensions().get::<PeerAddr>().copied() else { return };
    let headers = request.headers_mut();
    let trusted = gateway.config.trusted_proxies.iter().any(|network| network.contains(peer.ip()));
    let before = headers.get(&FORWARDED_FOR).filter(|_| trusted).and_then(|value| value.to_str().ok());
    let chain = before.map_or_else(|| peer.ip().to_string(), |before| format!("{before}, {}", peer.ip()));
    headers.remove(header::FORWARDED);
    if !trusted {
        for name in FORWARDED_OTHERS {
            headers.remove(name);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&chain) {
        headers.insert(FORWARDED_FOR, value);
    }
}
