//! Bodies of requests. All of ours are short forms, so one that trickles in is not waited for.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::timeout;

/// Time for a request's body, counted from its headers.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(15);

/// Reads a body whole before the request goes on: 408 when it does not come in time. Its size is bounded by the layer around
/// this one.
pub async fn in_time(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match read_within(body, BODY_TIME_MAX).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        // What is left of the body is not read, so nothing can follow on the connection.
        Err(status) => (status, [(header::CONNECTION, HeaderValue::from_static("close"))]).into_response(),
    }
}

async fn read_within(body: Body, time: Duration) -> Result<Bytes, StatusCode> {
    match timeout(time, to_bytes(body, usize::MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Limited;
    use std::io::Error;
    use tokio_stream::{StreamExt, iter, pending};

    async fn read(body: Body) -> Result<Bytes, StatusCode> {
        read_within(Body::new(Limited::new(body, 8)), Duration::from_millis(200)).await
    }

    #[tokio::test]
    async fn a_body_is_read_whole_in_time_or_refused_by_name() {
        let piece = |text: &'static str| Ok::<_, Error>(Bytes::from_static(text.as_bytes()));
        assert_eq!(read(Body::from_stream(iter([piece("a"), piece("b")]))).await, Ok("ab".into()));
        let too_large = Body::from_stream(iter([piece("12345678"), piece("9")]));
        assert_eq!(read(too_large).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        let broken = Body::from_stream(iter([piece("a"), Err(Error::other("gone"))]));
        assert_eq!(read(broken).await, Err(StatusCode::BAD_REQUEST));
        let unfinished = Body::from_stream(iter([piece("a")]).chain(pending()));
        assert_eq!(read(unfinished).await, Err(StatusCode::REQUEST_TIMEOUT));
    }
}
