//! One WebSocket, whatever it carries: the handshake in all its wrong forms, frames, and how it ended.

use crate::http::percent;
use crate::wire::{self, Wire};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longest wait for a handshake, and for a frame where a test names no other time.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What a client sees when a connection ends without a close frame.
pub const GONE: u16 = 1006;

/// A handshake to be made.
#[derive(Debug, Clone)]
pub struct Dial {
    address: String,
    path: String,
    headers: HeaderMap,
}

/// How a handshake ended.
pub enum Dialled {
    Open(Box<Socket>),
    Refused {
        status: u16,
        body: String,
    },
    /// Nobody answered, or something that is no HTTP.
    Failed(String),
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<Wire>,
    ended: Option<Closed>,
}

/// What came over a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    Text(String),
    Closed(Closed),
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}

impl Dial {
    pub fn to(address: &str, room: &str) -> Self {
        Self { address: address.into(), path: format!("/chat/{room}/"), headers: HeaderMap::new() }
    }

    /// To the socket of a person's list of rooms.
    pub fn to_list(address: &str) -> Self {
        Self { path: "/chat/".into(), ..Self::to(address, "") }
    }

    pub fn after(mut self, cursor: &str) -> Self {
        self.path = format!("{}?after={}", self.path, percent(cursor));
        self
    }

    pub fn as_json(self) -> Self {
        self.header("sec-websocket-protocol", protocol::frame::JSON_SUBPROTOCOL)
    }

    pub fn cookie(self, cookies: &str) -> Self {
        if cookies.is_empty() { self } else { self.header("cookie", cookies) }
    }

    /// No cookie; this token instead.
    pub fn bearer(mut self, token: &str) -> Self {
        self.headers.remove("cookie");
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn origin(self, origin: &str) -> Self {
        self.header("origin", origin)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a test's header is plain text");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    pub async fn dial(&self) -> Dialled {
        let deadline = Instant::now() + PATIENCE;
        let dialled = timeout_at(deadline, self.shake_hands()).await;
        dialled.unwrap_or_else(|_| Dialled::Failed("no handshake in time".into()))
    }

    async fn shake_hands(&self) -> Dialled {
        let stream = match wire::open(&self.address).await {
            Ok(stream) => stream,
            Err(error) => return Dialled::Failed(error.to_string()),
        };
        let url = format!("ws://{}{}", wire::host(&self.address), self.path);
        let mut request = url.into_client_request().expect("a room's address is an address");
        request.headers_mut().extend(self.headers.clone());
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((stream, _)) => Dialled::Open(Box::new(Socket { stream, ended: None })),
            Err(Error::Http(answer)) => Dialled::Refused {
                status: answer.status().as_u16(),
                body: answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned(),
            },
            Err(error) => Dialled::Failed(error.to_string()),
        }
    }

    /// # Panics
    /// When the socket does not open.
    pub async fn connect(&self) -> Socket {
        match self.dial().await {
            Dialled::Open(socket) => *socket,
            Dialled::Refused { status, body } => panic!("{} was refused: {status} {body}", self.path),
            Dialled::Failed(why) => panic!("{} failed: {why}", self.path),
        }
    }
}

impl Dialled {
    /// The status of a refused handshake.
    ///
    /// # Panics
    /// When it was not refused.
    pub fn refused(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Open(_) => panic!("the handshake was accepted"),
            Self::Failed(why) => panic!("the handshake failed: {why}"),
        }
    }

    /// The code with which an accepted socket was closed at once.
    ///
    /// # Panics
    /// When it was refused, or stays open.
    pub async fn closed(self) -> u16 {
        match self {
            Self::Open(mut socket) => socket.closed().await.code,
            Self::Refused { status, body } => panic!("the handshake was refused: {status} {body}"),
            Self::Failed(why) => panic!("the handshake failed: {why}"),
        }
    }
}

impl Socket {
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::binary(bytes)).await;
    }

    /// A text frame with these bytes, UTF-8 or not.
    pub async fn send_raw_text(&mut self, bytes: Vec<u8>) {
        let frame = Frame::message(bytes, OpCode::Data(Data::Text), true);
        self.send(Message::Frame(frame)).await;
    }

    /// A server that has gone is seen when reading.
    async fn send(&mut self, message: Message) {
        let _ = tokio::time::timeout(PATIENCE, self.stream.send(message)).await;
    }

    /// What comes next.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn next(&mut self) -> Came {
        let came = self.next_before(Instant::now() + PATIENCE).await;
        came.unwrap_or_else(|| panic!("nothing came within {PATIENCE:?}"))
    }

    /// What comes next, or nothing when the deadline passes first.
    pub async fn next_before(&mut self, deadline: Instant) -> Option<Came> {
        if let Some(ended) = &self.ended {
            return Some(Came::Closed(ended.clone()));
        }
        loop {
            let closed = match timeout_at(deadline, self.stream.next()).await.ok()? {
                Some(Ok(Message::Text(text))) => return Some(Came::Text(text.to_string())),
                Some(Ok(Message::Close(frame))) => Closed {
                    code: frame.as_ref().map_or(1005, |frame| frame.code.into()),
                    reason: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
                },
                Some(Ok(_)) => continue,
                Some(Err(error)) => Closed { code: GONE, reason: error.to_string() },
                None => Closed { code: GONE, reason: String::new() },
            };
            // Answers the close frame, so that the server's side ends too.
            let _ = timeout_at(deadline, self.stream.flush()).await;
            self.ended = Some(closed.clone());
            return Some(Came::Closed(closed));
        }
    }

    /// Reads on until the socket ends.
    ///
    /// # Panics
    /// When it stays open.
    pub async fn closed(&mut self) -> Closed {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_before(deadline).await {
                Some(Came::Closed(closed)) => return closed,
                Some(Came::Text(_)) => {}
                None => panic!("the socket is still open after {PATIENCE:?}"),
            }
        }
    }

    /// Closes it in order.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(PATIENCE, self.stream.close(None)).await;
    }
}
