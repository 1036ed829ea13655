//! What is served where, and what every request passes.

use crate::answer;
use crate::asker::{Asker, believe_proxies};
use crate::pages::{login, logout, register, renew};
use crate::state::App;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use service::body;
use service::origin::csrf_layer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use templates::ErrorKind;
use templates::answer::{guard, is_written};
use tower_http::csrf::ProtectionError;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// The largest body: a name, two passwords of 128 characters, a path, percent-encoded.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The longest time for one request.
const REQUEST_MAX: Duration = Duration::from_secs(25);

pub fn router(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route("/auth/register/", get(register::get).post(register::post))
        .route("/auth/login/", get(login::get).post(login::post))
        .route("/auth/logout/", get(logout::get).post(logout::post))
        .route("/auth/renew/", post(renew::post))
        .route("/auth/", get(|| async { Redirect::to("/auth/login/") }))
        .route("/auth/{page}", get(add_slash))
        .fallback(|| async { StatusCode::NOT_FOUND });
    let (believing, observing) = (Arc::clone(&app), Arc::clone(&app));
    // Read from below: the last layer is passed first.
    pages
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(body::in_time))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(csrf_layer(&app.public_origins))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_MAX))
        .layer(from_fn(explain_refusals))
        .merge(templates::assets::router())
        .layer(from_fn(security_headers))
        .layer(from_fn(move |request, next| believe_proxies(Arc::clone(&believing), request, next)))
        .layer(from_fn(move |request, next| observe(Arc::clone(&observing), request, next)))
        .with_state(app)
}

/// `/auth/login` and its like, as people type them.
async fn add_slash(Path(page): Path<String>) -> Response {
    match page.as_str() {
        "login" | "logout" | "register" => Redirect::permanent(&format!("/auth/{page}/")).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Gives the bare refusals of the layers below (not found, wrong method, foreign origin, too large, too slow)
/// a page or a problem.
async fn explain_refusals(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    if response.extensions().get::<ProtectionError>().is_some() {
        return answer::refused(&asker, status, ErrorKind::ForeignOrigin, "foreign_origin");
    }
    let explained = !(status.is_client_error() || status.is_server_error()) || is_written(&response);
    if explained {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "refused",
    };
    let mut answer = answer::refused(&asker, status, ErrorKind::of_status(status.as_u16()), code);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    guard(response.headers_mut());
    response
}

async fn observe(app: Arc<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    app.signals.answered(method.as_str(), &path, response.status().as_u16(), started.elapsed());
    response
}
