//! What was sent: a form's fields, or the same in JSON.

use crate::answer;
use crate::asker::Asker;
use axum::Form;
use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use templates::ErrorKind;

/// The fields of a request's body, whichever way they are written.
pub struct Fields<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let asker = Asker::of(&parts);
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let json = kind.is_some_and(|kind| kind.starts_with("application/json"));
        let request = Request::from_parts(parts, body);
        let read = if json {
            Json::from_request(request, state)
                .await
                .map(|Json(fields)| fields)
                .map_err(|error| error.status())
        } else {
            Form::from_request(request, state)
                .await
                .map(|Form(fields)| fields)
                .map_err(|error| error.status())
        };
        read.map(Self).map_err(|status| unreadable(&asker, status))
    }
}

fn unreadable(asker: &Asker, status: StatusCode) -> Response {
    // A wrong field is nothing that the form's own words could explain.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    let (kind, code) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorKind::TooLarge, "too_large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (ErrorKind::BadRequest, "unsupported_media_type"),
        _ => (ErrorKind::BadRequest, "bad_request"),
    };
    answer::refused(asker, status, kind, code)
}
