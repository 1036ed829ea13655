//! A small HTTP client: one connection per request, so that nothing of an earlier test lives on, and no redirect
//! followed, so that a test sees each answer.

use crate::wire;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    method: &'static str,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Ask {
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A form as a browser sends it.
    pub fn post(path: &str, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
        let ask = Self {
            method: "POST",
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::from(pairs.join("&")),
        };
        ask.header("content-type", "application/x-www-form-urlencoded")
    }

    pub fn post_text(path: &str, text: &str) -> Self {
        let (path, body) = (path.into(), Bytes::copy_from_slice(text.as_bytes()));
        Self { method: "POST", path, headers: HeaderMap::new(), body }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a test's header is plain text");
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, address: &str) -> Answer {
        let sent = self.try_send(address).await;
        sent.unwrap_or_else(|error| panic!("{} http://{address}{}: {error}", self.method, self.path))
    }

    /// Like [`Ask::send`].
    ///
    /// # Errors
    /// A sentence, when there is no answer.
    pub async fn try_send(&self, address: &str) -> Result<Answer, String> {
        timeout(PATIENCE, self.exchange(address)).await.unwrap_or_else(|_| Err("no answer in time".into()))
    }

    async fn exchange(&self, address: &str) -> Result<Answer, String> {
        let stream = wire::open(address).await.map_err(|error| error.to_string())?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(&self.path)
            .body(Full::new(self.body.clone()))
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(wire::host(address)).map_err(|error| error.to_string())?;
            request.headers_mut().insert(HOST, host);
        }
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        connection.abort();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

impl Answer {
    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where a redirect leads, empty when it is none.
    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn is_problem(&self) -> bool {
        self.header(CONTENT_TYPE.as_str()).starts_with("application/problem+json")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Percent-encodes everything but letters, digits and `-._~`.
pub fn percent(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
