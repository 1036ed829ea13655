//! The frames of the JSON format as a client reads them: the contract's text, parsed apart from the server's own types.

use protocol::frame::{EventFrame, EventHead, Person, PresenceFrame, Refusal, ResetReason};
use protocol::{MessageId, Timestamp};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Heard {
    Ack {
        id: MessageId,
        seq: u64,
        #[serde(default)]
        duplicate: bool,
    },
    Page {
        events: Vec<EventFrame>,
        more: bool,
    },
    CaughtUp {
        cursor: String,
    },
    Reset {
        reason: ResetReason,
    },
    Refused(Refused),
    Ping,
    Typing {
        user: Person,
    },
    Presence(PresenceFrame),
    Head {
        room: String,
        last: Box<EventFrame>,
    },
    /// A kind that these clients do not know: they pass over it.
    #[serde(skip)]
    Other,
    #[serde(untagged)]
    Event(EventFrame),
}

impl Heard {
    /// The kinds of frames that must be as the contract says; a client passes over others.
    pub const KINDS: [&str; 10] =
        ["ack", "page", "caught_up", "reset", "refused", "ping", "message", "created", "joined", "left"];
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    pub id: Option<MessageId>,
    pub code: Refusal,
    pub message: String,
    pub retry_after_ms: Option<u64>,
}

/// An event's place and id, and its text where it is a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub seq: u64,
    pub prev: u64,
    pub id: MessageId,
    pub body: Option<String>,
}

impl Heard {
    /// Whether it says something that passes: who is there, who writes, that the server lives.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Ping | Self::Typing { .. } | Self::Presence(_) | Self::Other)
    }
}

impl From<EventFrame> for Seen {
    fn from(event: EventFrame) -> Self {
        Self::at(event).0
    }
}

impl Seen {
    /// What was seen, and when it was stored.
    pub fn at(event: EventFrame) -> (Self, Timestamp) {
        let (head, body) = match event {
            EventFrame::Message(message) => (message.head, Some(message.body)),
            EventFrame::Created { head, .. }
            | EventFrame::Joined(head)
            | EventFrame::Left(head)
            | EventFrame::UserErased(head)
            | EventFrame::Edited { head, .. }
            | EventFrame::Deleted { head, .. }
            | EventFrame::Reacted { head, .. }
            | EventFrame::Retention { head, .. }
            | EventFrame::Expired { head, .. }
            | EventFrame::Erased(head)
            | EventFrame::Unopened(head)
            | EventFrame::Unreadable(head) => (head, None),
        };
        let EventHead { seq, prev, id, at, .. } = head;
        (Self { seq, prev, id, body }, at)
    }
}

/// The bodies of the messages among these events.
pub fn bodies(events: &[Seen]) -> Vec<&str> {
    events.iter().filter_map(|event| event.body.as_deref()).collect()
}
