//! What differs on the wire between the gateway and the ceiling server, and nothing else.

use crate::server::Member;
use memchr::memmem;
use protocol::{MessageId, frame::JSON_SUBPROTOCOL};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The path names the room, and a frame is a message.
    Ceiling,
    /// `backchat.v1.json`.
    Backchat,
}

/// What a frame without a mark means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Joined,
    Acknowledged,
    Refused,
    Nothing,
}

impl Dialect {
    /// The request that opens a socket. Its key is the example of RFC 6455.
    pub fn request(self, host: &str, member: &Member) -> String {
        let more = match (self, &member.token) {
            (Self::Backchat, Some(token)) => {
                format!("Sec-WebSocket-Protocol: {JSON_SUBPROTOCOL}\r\nAuthorization: Bearer {token}\r\n")
            }
            _ => String::new(),
        };
        format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            member.path
        )
    }

    /// Whether a finished handshake means that the member is in its room.
    pub const fn joins_when_open(self) -> bool {
        matches!(self, Self::Ceiling)
    }

    /// The frame that publishes a body.
    pub fn publication(self, body: &str) -> String {
        match self {
            Self::Ceiling => body.to_owned(),
            Self::Backchat => format!(r#"{{"type":"send","id":"{}","body":"{body}"}}"#, MessageId::new()),
        }
    }

    pub fn meaning(self, frame: &[u8]) -> Meaning {
        // A frame's type is its first field; what a body says is no type.
        let start = &frame[..frame.len().min(24)];
        let says = |kind: &[u8]| memmem::find(start, kind).is_some();
        match self {
            Self::Ceiling => Meaning::Nothing,
            Self::Backchat if says(b"\"ack\"") => Meaning::Acknowledged,
            Self::Backchat if says(b"\"caught_up\"") => Meaning::Joined,
            Self::Backchat if says(b"\"refused\"") || says(b"\"reset\"") => Meaning::Refused,
            Self::Backchat => Meaning::Nothing,
        }
    }
}
