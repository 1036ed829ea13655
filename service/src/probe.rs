//! One small HTTP request, to ask whether a process is ready, or what a proxy makes of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap};
use hyper::{StatusCode, upgrade};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// An answer longer than this is not one of ours.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of what comes behind an upgrade that are looked at: a frame without a longer payload fits.
const UPGRADED_BYTES_MAX: usize = 127;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
}

impl<'a> Question<'a> {
    /// A GET without more headers.
    #[must_use]
    pub const fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", path, host, headers: &[], body: "" }
    }
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// What came first behind a status 101.
    pub upgraded: Vec<u8>,
}

impl Answer {
    /// The values of a header, in their order.
    pub fn header(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ProbeError {
    /// Nobody listens there, or the connection broke.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut(Duration),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => formatter.write_str(why),
            Self::TimedOut(limit) => write!(formatter, "no answer in {} ms", limit.as_millis()),
        }
    }
}

impl std::error::Error for ProbeError {}

/// Asks `address` for `path`, all within `limit`.
///
/// # Errors
/// When nobody listens, the connection breaks, the answer is larger than 64 KiB, or it takes too long.
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, ProbeError> {
    let host = address.to_string();
    let connected = async { exchange(TcpStream::connect(address).await?, &Question::get(&host, path)).await };
    in_time(connected, limit).await
}

/// Asks on a connection, which is closed afterwards, all within `limit`.
///
/// # Errors
/// As [`get`].
pub async fn ask<S>(stream: S, question: &Question<'_>, limit: Duration) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    in_time(exchange(stream, question), limit).await
}

async fn in_time(
    answer: impl Future<Output = Result<Answer, BoxError>>,
    limit: Duration,
) -> Result<Answer, ProbeError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| ProbeError::Unreachable(error.to_string())),
        Err(_) => Err(ProbeError::TimedOut(limit)),
    }
}

async fn exchange<S>(stream: S, question: &Question<'_>) -> Result<Answer, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = hyper::Request::builder().method(question.method).uri(question.path);
    request = request.header(HOST, question.host);
    for (name, value) in question.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(question.body.as_bytes())))?;
    let exchange = async move {
        let mut response = sender.send_request(request).await?;
        let status = response.status();
        let upgrading = (status == StatusCode::SWITCHING_PROTOCOLS).then(|| upgrade::on(&mut response));
        let (parts, body) = response.into_parts();
        let (mut text, mut upgraded) = (String::new(), Vec::new());
        match upgrading {
            Some(upgrading) => {
                let first = TokioIo::new(upgrading.await?).take(UPGRADED_BYTES_MAX as u64);
                read_first(first, &mut upgraded).await?;
            }
            None => {
                let body = Limited::new(body, BODY_BYTES_MAX).collect().await?.to_bytes();
                text = String::from_utf8_lossy(&body).into_owned();
            }
        }
        Ok(Answer { status: status.as_u16(), headers: parts.headers, body: text, upgraded })
    };
    let connection = connection.with_upgrades();
    tokio::pin!(connection);
    // The connection does the reading and writing; when it ends first, the exchange has what it needs or fails.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => { ended?; exchange.await }
    }
}

/// Reads until a whole frame without a longer payload is there, or the peer closes.
async fn read_first(mut from: impl AsyncRead + Unpin, into: &mut Vec<u8>) -> std::io::Result<()> {
    let is_whole =
        |bytes: &[u8]| bytes.get(1).is_some_and(|length| bytes.len() >= 2 + usize::from(length & 0x7f));
    while !is_whole(into) && from.read_buf(into).await? > 0 {}
    Ok(())
}

/// An address that stands for all of the machine's is reached at the machine itself.
#[must_use]
pub fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_said_can_be_opened() {
        let said = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(said("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(said("[::]:8080"), "[::1]:8080");
        assert_eq!(said("192.0.2.1:80"), "192.0.2.1:80");
    }
}
