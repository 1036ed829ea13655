//! How answers are written: pages for people, problem details (RFC 9457) for programs.

use crate::Error;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use templates::{ErrorKind, ErrorPage, Layout};

pub use service::answer::{problem, see_other};
pub use templates::answer::page;

/// What whoever asks for a page that can't be had now is asked to wait, in seconds.
const RETRY_AFTER_S: &str = "5";

/// Whether a request comes from somebody who reads pages.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") || !(accept.contains("json") || headers.contains_key(header::AUTHORIZATION))
}

/// A page that says what went wrong.
pub fn error_page(layout: Layout<'_>, status: u16, kind: ErrorKind) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    page(code, ErrorPage { layout, status, kind }.render())
}

/// The page for an error of ours; the cause is logged here and not shown.
pub fn failed(layout: Layout<'_>, error: &Error) -> Response {
    let status = error.status();
    if status >= 500 {
        tracing::warn!(%error, path = layout.path, "a page can't be served");
    }
    let kind = match error {
        Error::NoRoom => ErrorKind::RoomNotFound,
        Error::NotAMember => ErrorKind::NotAMember,
        _ => ErrorKind::of_status(status),
    };
    let mut answer = error_page(layout, status, kind);
    if status == 503 {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    answer
}
