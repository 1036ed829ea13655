//! The frames of the JSON format as a client reads them: the contract's text, parsed apart from the server's own types.

use protocol::MessageId;
use protocol::frame::{EventFrame, Refusal, ResetReason};
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

impl From<EventFrame> for Seen {
    fn from(event: EventFrame) -> Self {
        match event {
            EventFrame::Message { seq, prev, id, body, .. } => Self { seq, prev, id, body: Some(body) },
            EventFrame::Created { seq, prev, id, .. }
            | EventFrame::Joined { seq, prev, id, .. }
            | EventFrame::Left { seq, prev, id, .. } => Self { seq, prev, id, body: None },
        }
    }
}

/// The bodies of the messages among these events.
pub fn bodies(events: &[Seen]) -> Vec<&str> {
    events.iter().filter_map(|event| event.body.as_deref()).collect()
}
