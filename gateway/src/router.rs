//! All addresses of a gateway, in one table.

use crate::{
    edge::{answer, identity},
    forward::Upstream,
    pages::{create, home, join, language, room},
    socket,
    state::Gateway,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{any, get, post},
};
use service::health::Health;
use std::{sync::Arc, time::Duration};
use templates::{ErrorKind, Layout};
use tower_http::{
    compression::CompressionLayer, csrf::CsrfLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
};

/// Bytes of a form, at most: 4,000 characters of four bytes each, percent-encoded, and some room.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// How long a page may take.
const PAGE_MAX: Duration = Duration::from_secs(30);

pub fn router(gateway: &Arc<Gateway>, health: Health) -> Router {
    let pages = Router::new()
        .route("/", get(home::get))
        .route("/create/", get(create::get).post(create::post))
        .route("/join/", get(join::get).post(join::post))
        .route("/room/{slug}/", get(room::get).post(room::post))
        .route("/room/{slug}/history/", get(room::history))
        .route("/room/{slug}/join/", post(room::join))
        .route("/room/{slug}/leave/", post(room::leave))
        .route("/language/", post(language::post))
        .fallback(not_found)
        .layer(csrf(gateway))
        .layer(RequestBodyLimitLayer::new(FORM_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PAGE_MAX))
        .layer(middleware::from_fn(page_headers));
    let mut all = pages.route("/chat/{slug}/", get(socket::open)).merge(templates::assets::router());
    if let Some(address) = gateway.config.auth_upstream {
        let upstream = Upstream::new(address);
        all = all.route(
            "/auth/{*path}",
            any(move |state, request| upstream.clone().pass(state, request))
                .layer(RequestBodyLimitLayer::new(FORM_BYTES_MAX)),
        );
    }
    all.layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), observed))
        .with_state(Arc::clone(gateway))
        .merge(service::operations::health_router(health))
}

/// Forms from other sites are refused. Behind a proxy that changes the Host header, the public origins tell ours.
fn csrf(gateway: &Gateway) -> CsrfLayer {
    gateway.config.public_origins.iter().fold(CsrfLayer::new(), |layer, origin| {
        layer.add_trusted_origin(origin.as_str()).expect("an origin was checked when it was read")
    })
}

/// What browsers are told about every page.
async fn page_headers(request: Request, next: Next) -> Response {
    let (lang, path) = (identity::language(request.headers()), request.uri().path().to_owned());
    let wants_page = answer::wants_page(request.headers());
    let mut response = next.run(request).await;
    let bare = !response.headers().contains_key(header::CONTENT_TYPE);
    if bare && wants_page && (response.status().is_client_error() || response.status().is_server_error()) {
        let kind = match response.status() {
            StatusCode::FORBIDDEN => ErrorKind::ForeignOrigin,
            other => ErrorKind::of_status(other.as_u16()),
        };
        let layout = Layout { lang, viewer: None, path: &path, notice: None };
        response = answer::error_page(layout, response.status().as_u16(), kind);
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, templates::CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Cookie, Accept-Language"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn not_found(headers: HeaderMap, uri: Uri) -> Response {
    if !answer::wants_page(&headers) {
        return answer::problem(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address");
    }
    let layout = Layout { lang: identity::language(&headers), viewer: None, path: uri.path(), notice: None };
    answer::error_page(layout, 404, ErrorKind::NotFound)
}

/// One line and one count for each request.
async fn observed(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let started = tokio::time::Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    gateway.signals.request(method.as_str(), &path, response.status().as_u16(), started.elapsed());
    response
}
