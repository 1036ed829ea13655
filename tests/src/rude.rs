//! A peer that keeps to no rule: a WebSocket made by hand, so that it may write whatever it likes, and read or not.

use crate::person::Person;
use crate::socket::GONE;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Longest wait for a handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first bytes of whole frames.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;
/// A text that goes on in other frames, one that goes on, and its last.
pub const TEXT_BEGINS: u8 = 0x01;
pub const TEXT_GOES_ON: u8 = 0x00;
pub const TEXT_ENDS: u8 = 0x80;

/// A frame as a client sends it, masked with zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The head of a frame of this length.
pub fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => head.push(0x80 | short),
        (_, Ok(middle)) => {
            head.push(0x80 | 126);
            head.extend(middle.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// An open socket.
pub struct Rude {
    stream: TcpStream,
    /// Read, and not yet looked at.
    kept: Vec<u8>,
    /// What the server answered to the handshake.
    pub answer: String,
}

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The code of the server's close frame, or [`GONE`].
    pub code: u16,
    pub after: Duration,
}

impl Rude {
    /// Opens a socket of a person in a room, from the room's newest events on.
    ///
    /// # Panics
    /// When the server does not let it in.
    pub async fn enters(person: &Person, room: &str) -> Self {
        Self::enters_with(person, room, "").await
    }

    /// The same with these lines in the handshake, each with its line end.
    ///
    /// # Panics
    /// When the server does not let it in.
    pub async fn enters_with(person: &Person, room: &str, lines: &str) -> Self {
        let mut stream = TcpStream::connect(&person.address).await.expect("the server listens");
        let ask = format!(
            "GET /chat/{room}/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {}\r\n{lines}\r\n",
            person.address,
            person.token(),
            protocol::frame::JSON_SUBPROTOCOL,
        );
        stream.write_all(ask.as_bytes()).await.expect("the server takes a handshake");
        let mut answer = Vec::new();
        let read = async {
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.expect("the server answers a handshake"));
            }
        };
        timeout(PATIENCE, read).await.expect("the server answers in time");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { stream, kept: Vec::new(), answer }
    }

    /// Writes bytes, whatever they are; false when the server takes no more.
    pub async fn writes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads to the end, and says nothing more.
    ///
    /// # Panics
    /// When the socket is still open after `patience`.
    pub async fn ended(&mut self, patience: Duration) -> End {
        self.ended_under(&[], patience).await
    }

    /// Writes `piece` again and again, as fast as it is taken, and reads to the end.
    ///
    /// # Panics
    /// When the socket is still open after `patience`.
    pub async fn ended_under(&mut self, piece: &[u8], patience: Duration) -> End {
        let began = Instant::now();
        let Self { stream, kept, .. } = self;
        let (mut reading, mut writing) = stream.split();
        let mut buffer = vec![0; 64 * 1024];
        // Inputs: what the server says, and that it has taken more. Neither has an effect when it is given up.
        let code = timeout_at(began + patience, async {
            let (mut flooding, mut at) = (!piece.is_empty(), 0);
            loop {
                tokio::select! {
                    read = reading.read(&mut buffer) => match read {
                        Ok(count @ 1..) => kept.extend(&buffer[..count]),
                        Ok(0) | Err(_) => return GONE,
                    },
                    written = writing.write(&piece[at..]), if flooding => match written {
                        Ok(count) => at = (at + count) % piece.len(),
                        Err(_) => flooding = false,
                    },
                }
                if let Some(code) = close_code(kept) {
                    return code;
                }
            }
        });
        let code = code.await.unwrap_or_else(|_| panic!("the socket is still open after {patience:?}"));
        End { code, after: began.elapsed() }
    }

    /// Takes one byte every so often, for some time.
    pub async fn sips(&mut self, every: Duration, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            // A read that is given up has taken nothing.
            if let Ok(Ok(byte)) = timeout_at(until, self.stream.read_u8()).await {
                self.kept.push(byte);
            }
            sleep(every).await;
        }
    }

    /// Takes what came before the socket ended: the texts that are whole.
    ///
    /// # Panics
    /// When the socket is still open after some time.
    pub async fn texts(mut self) -> Vec<String> {
        let read = self.stream.read_to_end(&mut self.kept);
        // However it ended: what was read before stays.
        let _ = timeout(PATIENCE, read).await.expect("the server closes the connection");
        let mut texts = Vec::new();
        while let Some((first, payload)) = next_frame(&mut self.kept) {
            if first == TEXT {
                texts.push(String::from_utf8_lossy(&payload).into_owned());
            }
        }
        texts
    }
}

/// Takes whole frames off what was read; the code of a close frame among them.
fn close_code(kept: &mut Vec<u8>) -> Option<u16> {
    loop {
        let (first, payload) = next_frame(kept)?;
        if first == 0x88 {
            return Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
        }
    }
}

/// Takes a frame of a server off what was read, if it is whole: its first byte and what it carries.
fn next_frame(kept: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (first, second) = (*kept.first()?, *kept.get(1)?);
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(kept.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(kept.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = kept.get(start..start + length)?.to_vec();
    kept.drain(..start + length);
    Some((first, payload))
}
