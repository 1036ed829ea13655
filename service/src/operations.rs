//! What an operator's tools ask: is it alive, is it ready, what does it count.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health::Health;
use crate::metrics::{CONTENT_TYPE, Registry};

/// `/livez`, `/readyz` and `/metrics`, for the operations address.
pub fn router(health: Health, registry: Registry) -> Router {
    health_router(health).route("/metrics", get(move || async move { metrics(&registry) }))
}

/// `/livez` and `/readyz` alone, for a public address that a load balancer asks.
pub fn health_router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readyz(&health) }))
}

fn readyz(health: &Health) -> Response {
    let status = if health.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, health.json()).into_response()
}

fn metrics(registry: &Registry) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], registry.text()).into_response()
}
