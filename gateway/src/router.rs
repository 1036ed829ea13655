//! All addresses of a gateway, in one table.

use crate::{
    edge::{answer, identity},
    forward::Upstream,
    pages::{create, home, join, language, room, search},
    socket,
    state::Gateway,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{any, get, post},
};
use service::{body, health::Health, origin::csrf_layer};
use std::{sync::Arc, time::Duration};
use templates::{
    ErrorKind, Layout,
    answer::{guard, is_written},
};
use tower_http::{
    compression::CompressionLayer, csrf::ProtectionError, limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
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
        .route("/room/{slug}/keep/", post(room::keep))
        .route("/room/{slug}/leave/", post(room::leave))
        .route("/search/", get(search::get))
        .route("/language/", post(language::post))
        .fallback(not_found)
        .layer(csrf_layer(&gateway.config.public_origins))
        .layer(middleware::from_fn(body::in_time))
        .layer(RequestBodyLimitLayer::new(FORM_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PAGE_MAX))
        .layer(middleware::from_fn(page_headers));
    let mut all = pages
        .route("/chat/", get(socket::open_list))
        .route("/chat/{slug}/", get(socket::open))
        .merge(templates::assets::router());
    if let Some(address) = gateway.config.auth_upstream {
        let upstream = Upstream::new(address);
        let passed = any(move |state, request| upstream.clone().pass(state, request));
        let auth = Router::new().route("/auth/{*path}", passed).layer(middleware::from_fn(body::in_time));
        all = all.merge(auth.layer(RequestBodyLimitLayer::new(FORM_BYTES_MAX)));
    }
    all.layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), observed))
        .with_state(Arc::clone(gateway))
        .merge(service::operations::health_router(health))
}

/// Explains what the layers refuse by themselves (a foreign form, one too large, a wrong method, too slow), and tells browsers
/// what they are told about every page.
async fn page_headers(request: Request, next: Next) -> Response {
    let (lang, path) = (identity::language(request.headers()), request.uri().path().to_owned());
    let wants_page = answer::wants_page(request.headers());
    let mut response = next.run(request).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !is_written(&response) {
        let foreign = response.extensions().get::<ProtectionError>().is_some();
        let explained = if wants_page {
            let of_status = ErrorKind::of_status(status.as_u16());
            let layout = Layout { lang, viewer: None, path: &path, notice: None };
            let kind = if foreign { ErrorKind::ForeignOrigin } else { of_status };
            answer::error_page(layout, status.as_u16(), kind)
        } else if foreign {
            answer::problem(
                status,
                "foreign_origin",
                "the Origin is neither this server's Host nor a public origin",
            )
        } else {
            answer::problem(status, "refused", "the request was not carried out")
        };
        let allow = response.headers_mut().remove(header::ALLOW);
        response = explained;
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
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
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    let status = response.status().as_u16();
    gateway.signals.request((method.as_str(), &path), route, status, started.elapsed());
    response
}
