//! A way into the chat, as a person's browser has it: HTTP and WebSocket, with TLS where the address says so.

use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures_util::{SinkExt, StreamExt};
use protocol::frame::JSON_SUBPROTOCOL;
use serde_json::Value;
use service::origin::PublicOrigin;
use service::probe::{self, Answer, Question};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::Error;
use crate::doctor::certificates::{self, Believed};
use crate::doctor::finding::Kind;
use crate::doctor::place::Place;

/// Longest wait for an answer, a handshake or a frame.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Bytes there and back.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// Where people come in.
pub struct Door {
    origin: PublicOrigin,
    place: Place,
    believed: Believed,
}

/// A room's open socket.
pub struct Socket(WebSocketStream<Box<dyn Wire>>);

impl Door {
    /// The door at an address, whose certificate these authorities must have signed (the public ones, when no file is named).
    ///
    /// # Errors
    /// [`Error::Refused`] when it is none.
    pub fn at(address: &str, authorities: Option<PathBuf>) -> Result<Self, Error> {
        let refused = |why: &str| Error::Refused(format!("{address}: {why}"));
        let origin: PublicOrigin = address.parse().map_err(|error| refused(&format!("{error}")))?;
        let usual_port = if origin.is_https() { 443 } else { 80 };
        let place = Place::of(origin.as_str(), usual_port).ok_or_else(|| refused("it names no host"))?;
        Ok(Self { origin, place, believed: Believed { setting: "--origin-ca", file: authorities } })
    }

    /// The address, without a slash at its end.
    pub fn address(&self) -> &str {
        self.origin.as_str()
    }

    /// Asks once, on a connection of its own.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let question = Question { method, path, host: self.host(), headers, body };
        let answer = probe::ask(self.connect().await?, &question, ANSWER_MAX).await;
        answer.map_err(|error| format!("{}{path}: {error}", self.address()))
    }

    /// Opens the socket of a room.
    ///
    /// # Errors
    /// Why it does not open.
    pub async fn socket(&self, room: &str, token: &str) -> Result<Socket, String> {
        let scheme = if self.origin.is_https() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}/chat/{room}/", self.host());
        let mut request = url.into_client_request().map_err(|error| error.to_string())?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| error.to_string())?;
        request.headers_mut().insert("authorization", bearer);
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(JSON_SUBPROTOCOL));
        let shaken = tokio_tungstenite::client_async(request, self.connect().await?);
        match timeout(ANSWER_MAX, shaken).await {
            Ok(Ok((stream, _))) => Ok(Socket(stream)),
            Ok(Err(SocketError::Http(answer))) => {
                Err(format!("the WebSocket is answered {}", answer.status().as_u16()))
            }
            Ok(Err(error)) => Err(format!("the WebSocket does not open: {error}")),
            Err(_) => Err("the WebSocket is not answered".to_owned()),
        }
    }

    fn host(&self) -> &str {
        self.origin.as_str().split_once("://").map_or("", |(_, host)| host)
    }

    async fn connect(&self) -> Result<Box<dyn Wire>, String> {
        let place = &self.place;
        let stream = place.connect().await.map_err(|why| format!("nobody is reached at {place}: {why}"))?;
        if !self.origin.is_https() {
            return Ok(Box::new(stream));
        }
        let shaken = certificates::shown(stream, &place.host, &self.believed, "edge");
        let shaken = timeout(ANSWER_MAX, shaken).await.map_err(|_| format!("{place} does not speak TLS"))?;
        let (stream, seen) = shaken.map_err(|fault| fault.found)?;
        if seen.kind == Kind::Fault { Err(seen.found) } else { Ok(Box::new(stream)) }
    }
}

impl Socket {
    /// # Errors
    /// When the socket takes no frame.
    pub async fn say(&mut self, frame: &Value) -> Result<(), String> {
        let sent = timeout(ANSWER_MAX, self.0.send(Message::text(frame.to_string()))).await;
        sent.map_err(|_| "the WebSocket takes no frame".to_owned())?.map_err(|error| error.to_string())
    }

    /// Waits for a frame, and passes over others.
    ///
    /// # Errors
    /// When it does not come in time, another frame refuses what was asked for, or the socket closes.
    pub async fn hear(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let heard = timeout(ANSWER_MAX, async {
            while let Some(frame) = self.0.next().await {
                let text = match frame.map_err(|error| format!("the WebSocket broke: {error}"))? {
                    Message::Text(text) => text,
                    Message::Close(close) => {
                        let code = close.map_or(0, |close| u16::from(close.code));
                        return Err(format!("the WebSocket is closed with {code} before {what}"));
                    }
                    _ => continue,
                };
                let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                if frame["type"] == "refused" {
                    return Err(format!("refused: {}", frame["message"].as_str().unwrap_or_default()));
                }
                if is_it(&frame) {
                    return Ok(frame);
                }
            }
            Err(format!("the WebSocket ends before {what}"))
        });
        let late = || format!("{what} does not come within {} s", ANSWER_MAX.as_secs());
        heard.await.unwrap_or_else(|_| Err(late()))
    }
}

/// Random letters that nobody has used before: a to z, so that a search takes them for one word.
///
/// # Errors
/// [`Error::Refused`] when the system has no randomness.
pub fn random_letters() -> Result<String, Error> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| Error::Refused(error.to_string()))?;
    Ok(bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect())
}

/// A password that nobody guesses, and nobody needs again.
///
/// # Errors
/// As [`random_letters`].
pub fn random_password() -> Result<String, Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| Error::Refused(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}
