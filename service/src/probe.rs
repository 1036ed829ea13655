//! One small HTTP GET, to ask whether a process is ready.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer longer than this is not one of ours.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
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
    let answer = tokio::time::timeout(limit, exchange(address, path)).await;
    match answer {
        Ok(answer) => answer.map_err(|error| ProbeError::Unreachable(error.to_string())),
        Err(_) => Err(ProbeError::TimedOut(limit)),
    }
}

async fn exchange(
    address: SocketAddr,
    path: &str,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(hyper::header::HOST, address.to_string());
    let request = request.body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await?.to_bytes();
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    tokio::pin!(connection);
    // The connection does the reading and writing; when it ends first, the exchange has what it needs or fails.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => { ended?; exchange.await }
    }
}
