//! How answers are written: pages for people, JSON and problem details (RFC 9457) for programs.

use crate::asker::Asker;
use crate::error::Error;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use std::time::Duration;
use templates::{ErrorKind, ErrorPage, FormError};

pub use service::answer::{problem, problem_with, see_other};
pub use templates::answer::page;

/// The same answer with cookies to set.
pub fn with_cookies(mut response: Response, cookies: [String; 2]) -> Response {
    for cookie in cookies {
        match HeaderValue::from_str(&cookie) {
            Ok(cookie) => drop(response.headers_mut().append(header::SET_COOKIE, cookie)),
            Err(_) => tracing::error!("a cookie can't be written"),
        }
    }
    response
}

/// The same answer with the time after which to come back, rounded up to seconds.
pub fn retry_after(mut response: Response, wait: Option<Duration>) -> Response {
    if let Some(wait) = wait {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let value = HeaderValue::from_str(&seconds.to_string()).expect("digits are a header's value");
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// What is wrong in one field, for a program.
pub fn field_problem(asker: &Asker, field: &str, error: FormError) -> Value {
    json!({ "field": field, "code": code_of(error), "detail": error.text(asker.lang.words()) })
}

/// A refusal without a form to show it in: the page of its status, or a problem.
pub fn refused(asker: &Asker, status: StatusCode, kind: ErrorKind, code: &str) -> Response {
    if asker.program {
        return problem(status, code, detail_of(code));
    }
    page(status, ErrorPage { layout: asker.layout(), status: status.as_u16(), kind }.render())
}

fn detail_of(code: &str) -> &'static str {
    match code {
        "foreign_origin" => "the Origin is neither this server's Host nor one of its public origins",
        "not_found" => "there is nothing at this address",
        "method_not_allowed" => "this address does not know the method: see Allow",
        "too_large" => "the body is larger than 16 KiB",
        "unsupported_media_type" => "send a form or JSON",
        "bad_request" => "the body can't be read",
        "too_many_tries" => "too many wrong passwords for this name: see Retry-After",
        "busy" => "too many passwords are being checked: see Retry-After",
        "unavailable" => "something that this server needs is away: see Retry-After",
        _ => "the request was not carried out",
    }
}

/// A failure, without its cause.
pub fn failed(asker: &Asker, error: &Error) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    retry_after(refused(asker, status, ErrorKind::of_status(error.status()), error.code()), error.retry())
}

/// The form error that says a failure best, for pages that can be sent again as they are.
pub const fn form_error_of(error: &Error) -> Option<FormError> {
    match error {
        Error::Busy => Some(FormError::Busy),
        Error::TooManyTries(_) => Some(FormError::TooManyTries),
        _ => None,
    }
}

const fn code_of(error: FormError) -> &'static str {
    match error {
        FormError::NameEmpty => "name_empty",
        FormError::NameTooLong => "name_too_long",
        FormError::NameInvisible => "name_invisible",
        FormError::NameControl => "name_control",
        FormError::NameDirection => "name_direction",
        FormError::NameTaken => "name_taken",
        FormError::PasswordTooShort => "password_too_short",
        FormError::PasswordTooLong => "password_too_long",
        FormError::PasswordCommon => "password_common",
        FormError::PasswordIsName => "password_is_name",
        FormError::PasswordsDiffer => "passwords_differ",
        _ => "invalid",
    }
}
