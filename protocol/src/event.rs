//! What a room's log stores. Sequence and time are not in an event: the broker gives them.

use crate::{MessageId, Reaction, Timestamp, UserId, limits};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The format that this code writes and reads.
pub const VERSION: u32 = 1;

/// The text of a message, as its author wrote it. The one home of a body, so that a change of how
/// bodies are kept is a change of this type.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Body(String);

impl Body {
    /// Takes the text of a message.
    ///
    /// # Errors
    /// [`BadBody`] when nothing in it can be seen, when it is longer than
    /// [`limits::BODY_CHARS_MAX`] characters, or when it holds a control character that is no
    /// line break or tab.
    pub fn parse(text: &str) -> Result<Self, BadBody> {
        if text.chars().count() > limits::BODY_CHARS_MAX {
            return Err(BadBody::TooLong);
        }
        let text = if text.contains('\r') {
            text.replace("\r\n", "\n").replace('\r', "\n")
        } else {
            text.to_owned()
        };
        if crate::text::is_blank(&text) {
            return Err(BadBody::Empty);
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(BadBody::Control);
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of a body that is erased: SHA-256 of its UTF-8 bytes, as lower-case hexadecimal text.
    pub fn hash(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(self.0.as_bytes()))
    }
}

/// No message text in logs: a body shows its length alone.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// Why a text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    Empty,
    TooLong,
    Control,
}

/// One thing that happened in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The room was made; its maker is its first member.
    Created {
        id: MessageId,
        author: UserId,
        name: String,
    },
    Joined {
        id: MessageId,
        author: UserId,
    },
    Left {
        id: MessageId,
        author: UserId,
    },
    Message {
        id: MessageId,
        author: UserId,
        body: Body,
    },
    /// A message has another body from now on.
    Edited {
        id: MessageId,
        author: UserId,
        target: Target,
        body: Body,
    },
    /// A message is gone: its body, and every body it had, are removed from the log after this event.
    Deleted {
        id: MessageId,
        author: UserId,
        target: Target,
        /// When the message had been stored.
        of: Timestamp,
        /// [`Body::hash`] of the message as it was last.
        hash: String,
    },
    /// A member puts a reaction on a message, or takes it back.
    Reacted {
        id: MessageId,
        author: UserId,
        target: Target,
        reaction: Reaction,
        on: bool,
    },
}

/// The message that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub id: MessageId,
    pub author: UserId,
    /// Where it was stored: this alone is unique, since ids are made by clients.
    pub seq: u64,
}

impl Event {
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Created { id, .. }
            | Self::Joined { id, .. }
            | Self::Left { id, .. }
            | Self::Message { id, .. }
            | Self::Edited { id, .. }
            | Self::Deleted { id, .. }
            | Self::Reacted { id, .. } => *id,
        }
    }

    pub const fn author(&self) -> UserId {
        match self {
            Self::Created { author, .. }
            | Self::Joined { author, .. }
            | Self::Left { author, .. }
            | Self::Message { author, .. }
            | Self::Edited { author, .. }
            | Self::Deleted { author, .. }
            | Self::Reacted { author, .. } => *author,
        }
    }

    /// The text that it brings: a message's or an edit's.
    pub const fn body(&self) -> Option<&Body> {
        match self {
            Self::Message { body, .. } | Self::Edited { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The message that it changes, if it changes one.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Edited { target, .. } | Self::Deleted { target, .. } | Self::Reacted { target, .. } => {
                Some(*target)
            }
            _ => None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Versioned { v: VERSION, event: self }).expect("an event is plain JSON")
    }

    /// Reads an event of the log.
    ///
    /// # Errors
    /// [`Unreadable`], for what every reader sets aside, counts and passes by.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > limits::EVENT_BYTES_MAX {
            return Err(Unreadable::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|_| Unreadable::NotAnEvent)?;
        if head.v != VERSION {
            return Err(Unreadable::Version(head.v));
        }
        let event: Self = serde_json::from_slice(bytes).map_err(|_| match head.kind.as_str() {
            "created" | "joined" | "left" | "message" | "edited" | "deleted" | "reacted" => {
                Unreadable::Fields
            }
            _ => Unreadable::Kind,
        })?;
        if let Some(body) = event.body()
            && Body::parse(body.as_str()).as_ref() != Ok(body)
        {
            return Err(Unreadable::Fields);
        }
        Ok(event)
    }
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
}

/// Why an entry of the log can't be read by this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    TooLarge(usize),
    NotAnEvent,
    Version(u32),
    Kind,
    Fields,
    /// The subject names no room.
    Subject,
    /// The room was never created.
    NoRoom,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "{bytes} bytes, more than {}", limits::EVENT_BYTES_MAX),
            Self::NotAnEvent => f.write_str("not an event"),
            Self::Version(v) => write!(f, "version {v}, this program reads {VERSION}"),
            Self::Kind => f.write_str("a kind of event that this program does not know"),
            Self::Fields => f.write_str("a known kind of event with wrong fields"),
            Self::Subject => f.write_str("its subject names no room"),
            Self::NoRoom => f.write_str("its room was never created"),
        }
    }
}
impl std::error::Error for Unreadable {}

/// An event with what the broker gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its sequence in the shard's stream: rises within a room, with gaps.
    pub seq: u64,
    /// When the broker stored it.
    pub at: Timestamp,
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_log() {
        let event = Event::Message {
            id: MessageId::new(),
            author: UserId::new(),
            body: Body::parse("a\r\nb\rc\n    d").unwrap(),
        };
        assert_eq!(Event::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn what_looks_empty_is_no_message() {
        for blank in ["", " ", "\n\n\n", "\u{200B}", "\u{A0}\u{A0}", "\u{2800}", "\u{AD}", "\u{3164}"] {
            assert_eq!(Body::parse(blank), Err(BadBody::Empty), "{blank:?}");
        }
    }

    #[test]
    fn a_body_is_measured_in_characters() {
        assert!(Body::parse(&"é".repeat(limits::BODY_CHARS_MAX)).is_ok());
        assert_eq!(Body::parse(&"x".repeat(limits::BODY_CHARS_MAX + 1)), Err(BadBody::TooLong));
        assert_eq!(Body::parse("a\0b"), Err(BadBody::Control));
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let with_body = |body: &str| {
            format!(
                r#"{{"v":1,"type":"message","id":"{}","author":"{}","body":"{body}"}}"#,
                MessageId::new(),
                UserId::new()
            )
        };
        assert_eq!(Event::decode(b"{"), Err(Unreadable::NotAnEvent));
        assert_eq!(Event::decode(b""), Err(Unreadable::NotAnEvent));
        assert_eq!(Event::decode(&vec![b'a'; 900 * 1024]), Err(Unreadable::TooLarge(900 * 1024)));
        assert_eq!(Event::decode(br#"{"type":"poll","v":99}"#), Err(Unreadable::Version(99)));
        assert_eq!(Event::decode(br#"{"type":"poll","v":1}"#), Err(Unreadable::Kind));
        assert_eq!(Event::decode(br#"{"type":"message","v":1}"#), Err(Unreadable::Fields));
        assert_eq!(Event::decode(with_body("\\u0000").as_bytes()), Err(Unreadable::Fields));
        assert!(Event::decode(with_body("hello").as_bytes()).is_ok());
    }
}
