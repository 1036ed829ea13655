//! A socket's two directions, with the limits of each.

use super::wire::PAGE_FRAME_BYTES_MAX;
use crate::config::SocketLimits;
use axum::extract::{
    WebSocketUpgrade,
    ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures_util::{SinkExt, StreamExt};
use protocol::{
    frame::{Close, JSON_SUBPROTOCOL},
    limits,
};
use service::bucket::{Bucket, Rate};
use std::time::Duration;
use tokio::time::{Instant, error::Elapsed, timeout};

/// How long a peer is given to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Bytes that tungstenite reads at once: its default of 128 KiB for each socket would be most of an idle socket's memory.
const READ_BUFFER_BYTES: usize = 1024;
/// Bytes that may wait to be written: the queue limit of a socket. A frame is added when the one before has been taken, so
/// that it holds one frame, and pongs beside it where a peer asks and does not read; with those it may come to be full.
const WRITE_BUFFER_BYTES_MAX: usize = 512 * 1024;
/// Bytes of events that are written at once, which is what a peer must take within the stall limit; one event may be more.
const PIECE_BYTES: usize = 64 * 1024;

/// Every frame fits when nothing waits but pongs.
const _: () = assert!(PAGE_FRAME_BYTES_MAX + 128 * 1024 < WRITE_BUFFER_BYTES_MAX);

/// Bounds what a socket may take of this process's memory. To read: one message of [`limits::FRAME_BYTES_MAX`], whole and in
/// parts. To write: [`WRITE_BUFFER_BYTES_MAX`], and what the seat has ready (two pages).
pub fn limited(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .protocols([JSON_SUBPROTOCOL])
}

/// A WebSocket whose writes have a time-out and whose frames are counted.
pub struct Outlet {
    socket: WebSocket,
    stall: Duration,
    rate: Rate,
    /// What the peer may still send.
    frames: Bucket,
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

/// Why something could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The peer did not take it in time, however much of it, or what waits for it has reached its limit.
    TooSlow,
    Gone,
}

impl Outlet {
    pub fn new(socket: WebSocket, limits: &SocketLimits) -> Self {
        let frames = Bucket::full(limits.frames, Instant::now());
        Self { socket, stall: limits.write_stall, rate: limits.frames, frames }
    }

    /// The next thing heard. Cancel safe: a frame that is not whole yet stays in the socket's buffer.
    ///
    /// Everything that comes here is counted, whatever it is: who sends more than [`SocketLimits::frames`] is closed for abuse.
    /// The parts of a message are joined below and not seen here; they are bounded by the message's size and by the rate at
    /// which a connection is read.
    pub async fn hear(&mut self) -> Heard {
        let heard = match self.socket.next().await {
            None | Some(Ok(Message::Close(_))) => return Heard::Closed,
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Binary(_))) => Heard::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Alive,
            Some(Err(error)) => return broken(error),
        };
        match self.frames.take(self.rate, Instant::now()) {
            Ok(()) => heard,
            Err(_) => Heard::Broken(Some(Close::Abuse), Close::Abuse.code()),
        }
    }

    /// Writes the first of these frames with one flush: as many as make a piece of [`PIECE_BYTES`], and at least one. Gives how
    /// many.
    pub async fn show(&mut self, frames: &[Utf8Bytes]) -> Result<usize, WriteError> {
        let (mut count, mut bytes) = (0, 0);
        let write = async {
            for frame in frames {
                bytes += frame.len();
                if count > 0 && bytes > PIECE_BYTES {
                    break;
                }
                self.socket.feed(Message::Text(frame.clone())).await?;
                count += 1;
            }
            self.socket.flush().await
        };
        finished(timeout(self.stall, write).await)?;
        Ok(count)
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

fn finished(write: Result<Result<(), axum::Error>, Elapsed>) -> Result<(), WriteError> {
    match write {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_full(&error) => Err(WriteError::TooSlow),
        Ok(Err(_)) => Err(WriteError::Gone),
        Err(_) => Err(WriteError::TooSlow),
    }
}

/// Whether what waits for the peer has reached [`WRITE_BUFFER_BYTES_MAX`].
fn is_full(error: &axum::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(tungstenite::Error::WriteBufferFull(_)))
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
