//! Answers that every service writes alike: problem details (RFC 9457) for programs, and the way to another page.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A problem for a program. `code` is the contract; `detail` is a sentence for whoever reads the program's log.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    problem_with(status, code, detail, Value::Null)
}

/// A problem that says which fields it is about: `errors` is a list of `{"field", "code", "detail"}`.
pub fn problem_with(status: StatusCode, code: &str, detail: &str, errors: Value) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    if !errors.is_null() {
        body["errors"] = errors;
    }
    let mut response = (status, Json(body)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// To another page, by GET. The path is plain ASCII, as `protocol::path::Next` and our own words are.
pub fn see_other(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
