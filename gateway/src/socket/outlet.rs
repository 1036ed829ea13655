//! A socket's two directions, with the limits of each.

use super::{
    frame,
    line::Line,
    queue::{Slow, WAITING_BYTES_MAX, WriteError},
    wire::{Format, PAGE_FRAME_BYTES_MAX},
};
use crate::config::SocketLimits;
use bytes::Bytes;
use protocol::{frame::Close, limits};
use service::{
    bucket::{Bucket, Rate},
    connection::{Duplex, Ear},
};
use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tungstenite::{
    Error, Message, Utf8Bytes, WebSocket,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig},
};

/// How long a peer is given to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Bytes that tungstenite reads at once, kept for each socket: a common message, where its default is 128 KiB.
const READ_BUFFER_BYTES: usize = 256;

/// Every frame fits when nothing waits but pongs.
const _: () = assert!(PAGE_FRAME_BYTES_MAX + 128 * 1024 < WAITING_BYTES_MAX);

/// A WebSocket whose writes have a time-out and whose frames are counted.
///
/// What it may take of this process's memory: to read, one message of [`limits::FRAME_BYTES_MAX`], whole and in parts; to write,
/// [`WAITING_BYTES_MAX`], and what the seat has ready (two pages).
pub struct Outlet {
    pub line: Arc<Line>,
    /// Reads frames, and answers pings and closes.
    socket: WebSocket<Wire>,
    stall: Duration,
    /// Over when the peer must have taken what waits; `None` while nothing was seen to wait.
    patience: Option<Pin<Box<Sleep>>>,
    rate: Rate,
    /// What the peer may still send.
    frames: Bucket,
    /// What came was broken: where the next frame begins is not known, and tungstenite must not be asked again.
    deaf: bool,
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
    /// The peer did not take what is written to it.
    Stalled(WriteError),
}

impl Outlet {
    pub fn new(duplex: Duplex, format: Format, limits: &SocketLimits) -> Self {
        Self::that_takes(duplex, format, limits, limits::FRAME_BYTES_MAX)
    }

    /// One that takes messages of so many bytes.
    pub(super) fn that_takes(
        duplex: Duplex,
        format: Format,
        limits: &SocketLimits,
        message_bytes_max: usize,
    ) -> Self {
        let line = Arc::new(Line::new(duplex.out, format));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WAITING_BYTES_MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let wire = Wire { ear: duplex.ear, line: Arc::clone(&line) };
        Self {
            socket: WebSocket::from_partially_read(wire, duplex.heard, Role::Server, Some(config)),
            line,
            stall: limits.write_stall,
            patience: None,
            rate: limits.frames,
            frames: Bucket::full(limits.frames, Instant::now()),
            deaf: false,
        }
    }

    /// The next thing heard; meanwhile what waits is written. Cancel safe: a frame that is not whole yet stays in the socket's
    /// buffer, and what is not written yet in the line's queue.
    ///
    /// Everything that comes here is counted, whatever it is: who sends more than [`SocketLimits::frames`] is closed for abuse.
    /// The parts of a message are joined below and not seen here; they are bounded by the message's size and by the rate at
    /// which a connection is read.
    ///
    /// Polled by hand: what is idle for hours takes no memory for a wait, and wakes up cheaply.
    pub fn hear(&mut self) -> impl Future<Output = Heard> + '_ {
        poll_fn(|context| self.poll_heard(context))
    }

    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        let message = loop {
            match self.socket.read() {
                Ok(message) => break message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(stalled) = ready!(self.poll_readable_or_written(context)) {
                        return Poll::Ready(Heard::Stalled(stalled));
                    }
                }
                Err(error) => {
                    self.deaf = true;
                    return Poll::Ready(broken(&error));
                }
            }
        };
        Poll::Ready(match message {
            Message::Close(_) => {
                // Tungstenite has the answer ready. It may fail: then the peer is gone without it.
                let _ = self.socket.flush();
                Heard::Closed
            }
            Message::Text(text) => self.counted(Heard::Text(text)),
            Message::Binary(_) => self.counted(Heard::Binary),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => self.counted(Heard::Alive),
        })
    }

    fn counted(&mut self, heard: Heard) -> Heard {
        self.line.heard();
        match self.frames.take(self.rate, Instant::now()) {
            Ok(()) => heard,
            Err(_) => Heard::Broken(Some(Close::Abuse), Close::Abuse.code()),
        }
    }

    fn poll_readable_or_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.line.flush()? {
            self.patience = None;
        } else if self.poll_taken(context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.socket.get_mut().ear.poll_readable(context).map_err(|_| WriteError::Gone)
    }

    /// Ready when the peer may take more, or has taken too long.
    fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let stall = self.stall;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(stall)));
        if patience.as_mut().poll(context).is_ready() {
            self.line.is_slow(Slow::Stalled);
            return Poll::Ready(Err(WriteError::TooSlow));
        }
        self.line.poll_writable(context).map(Ok)
    }

    /// Writes frames as one piece, and waits until the peer has taken them.
    pub async fn show(&mut self, frames: impl IntoIterator<Item = Bytes>) -> Result<(), WriteError> {
        self.line.push(frames)?;
        self.written().await
    }

    /// Writes one frame, or puts it behind what waits.
    pub fn say(&self, frame: &str) -> Result<(), WriteError> {
        self.line.push([frame::text(frame)])
    }

    /// Writes what waits, to the end or until the peer has had its time, however much of it was taken.
    async fn written(&mut self) -> Result<(), WriteError> {
        while !self.line.flush()? {
            poll_fn(|context| self.poll_taken(context)).await?;
        }
        self.patience = None;
        Ok(())
    }

    /// Writes what waits still, the answer to a peer's close last, for as long as a goodbye may take.
    pub async fn finish(&mut self) {
        // Who is gone or does not take it is left alone.
        let _ = timeout(CLOSE_WAIT, self.written()).await;
    }

    /// Closes, and hears the peer out for a moment, so that what was written last is not lost to a reset.
    pub async fn close(&mut self, close: Close) {
        self.close_with(close.code(), close.reason()).await;
    }

    /// Closes with any code.
    pub async fn close_with(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
        let goodbye = async {
            if self.socket.close(Some(frame)).is_err() || self.written().await.is_err() {
                return;
            }
            // A flood is heard out too, or the peer's kernel throws away the close that it has not read yet.
            while !self.deaf {
                if matches!(self.hear().await, Heard::Closed | Heard::Stalled(_)) {
                    return;
                }
            }
            self.socket.get_mut().ear.hear_out().await;
        };
        // A peer that does not answer is left alone.
        let _ = timeout(CLOSE_WAIT, goodbye).await;
    }
}

/// What tungstenite reads from, and writes its answers to.
struct Wire {
    ear: Ear,
    line: Arc<Line>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ear.read(buffer)
    }
}

impl Write for Wire {
    /// Takes whole frames, since tungstenite's own buffer is of size 0 and it writes what it has at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.line.push([Bytes::copy_from_slice(bytes)]) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(error: &Error) -> Heard {
    match error {
        Error::Capacity(_) => Heard::Broken(Some(Close::TooBig), Close::TooBig.code()),
        // 1007: RFC 6455 for a text that is no UTF-8.
        Error::Utf8(_) => Heard::Broken(None, 1007),
        // 1002: RFC 6455 for a peer that breaks the protocol.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Heard::Closed,
        Error::Protocol(_) => Heard::Broken(None, 1002),
        _ => Heard::Closed,
    }
}
