//! A socket's two directions, with the limits of each.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt};
use protocol::frame::Close;
use std::time::Duration;
use tokio::time::timeout;

/// How long a peer is given to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A WebSocket whose writes have a time-out.
pub struct Outlet {
    socket: WebSocket,
    stall: Duration,
}

/// What came from a peer.
pub enum Heard {
    Text(Utf8Bytes),
    Binary,
    /// A sign of life: ping or pong.
    Alive,
    Closed,
    /// The peer broke the protocol; this is how the socket ends.
    Broken(Option<Close>, u16),
}

/// The peer took nothing for too long, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    TooSlow,
    Gone,
}

impl Outlet {
    pub const fn new(socket: WebSocket, stall: Duration) -> Self {
        Self { socket, stall }
    }

    /// The next thing heard. Cancel safe: a frame that is not whole yet stays in the socket's buffer.
    pub async fn hear(&mut self) -> Heard {
        match self.socket.next().await {
            None => Heard::Closed,
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Binary(_))) => Heard::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Alive,
            Some(Ok(Message::Close(_))) => Heard::Closed,
            Some(Err(error)) => broken(error),
        }
    }

    /// Writes frames, all of them with one flush.
    pub async fn show(&mut self, frames: impl Iterator<Item = Utf8Bytes>) -> Result<(), WriteError> {
        let write = async {
            for frame in frames {
                self.socket.feed(Message::Text(frame)).await?;
            }
            self.socket.flush().await
        };
        finished(timeout(self.stall, write).await)
    }

    /// Writes one frame.
    pub async fn say(&mut self, frame: String) -> Result<(), WriteError> {
        finished(timeout(self.stall, self.socket.send(Message::Text(frame.into()))).await)
    }

    /// Asks for a sign of life, beside a frame that a page's script can see.
    pub async fn ping(&mut self, frame: String) -> Result<(), WriteError> {
        let write = async {
            self.socket.feed(Message::Ping(bytes::Bytes::new())).await?;
            self.socket.send(Message::Text(frame.into())).await
        };
        finished(timeout(self.stall, write).await)
    }

    /// Closes, and hears the peer out for a moment, so that what was written last is not lost to a reset.
    pub async fn close(mut self, close: Close) {
        self.close_with(close.code(), close.reason()).await;
    }

    /// Closes with any code.
    pub async fn close_with(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let goodbye = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A peer that does not answer is left alone.
        let _ = timeout(CLOSE_WAIT, goodbye).await;
    }
}

fn finished<E>(write: Result<Result<(), E>, tokio::time::error::Elapsed>) -> Result<(), WriteError> {
    match write {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(WriteError::Gone),
        Err(_) => Err(WriteError::TooSlow),
    }
}

fn broken(error: axum::Error) -> Heard {
    use tungstenite::Error;
    match error.into_inner().downcast::<Error>().map(|error| *error) {
        Ok(Error::Capacity(_)) => Heard::Broken(Some(Close::TooBig), Close::TooBig.code()),
        // 1007: RFC 6455 for a text that is no UTF-8.
        Ok(Error::Utf8(_)) => Heard::Broken(None, 1007),
        // 1002: RFC 6455 for a peer that breaks the protocol.
        Ok(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => Heard::Closed,
        Ok(Error::Protocol(_)) => Heard::Broken(None, 1002),
        _ => Heard::Closed,
    }
}
