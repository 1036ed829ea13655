//! What crosses a WebSocket in the JSON format (`backchat.v1.json`), and the close codes of both formats.

use crate::{Cursor, KeepDays, MessageId, PagePlace, Reaction, RoomSlug, Since, Spot, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The subprotocol that a program asks for.
pub const JSON_SUBPROTOCOL: &str = "backchat.v1.json";

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    Send {
        id: Option<MessageId>,
        body: String,
    },
    Edit {
        id: Option<MessageId>,
        target: Aim,
        body: String,
    },
    Delete {
        id: Option<MessageId>,
        target: Aim,
    },
    React {
        id: Option<MessageId>,
        target: Aim,
        reaction: Reaction,
        /// False takes the reaction back.
        on: bool,
    },
    Page {
        place: PagePlace,
        limit: usize,
    },
    /// The member is writing something.
    Typing,
}

/// Which message a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    pub id: MessageId,
    /// Its sequence, where the client says it: that spares the server a search.
    pub seq: Option<u64>,
}

/// Why a text is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadFrame {
    /// Not JSON, or not an object.
    NotJson,
    UnknownType(String),
    /// A known type with a missing or wrong field.
    Field {
        kind: &'static str,
        field: &'static str,
        id: Option<MessageId>,
    },
}

#[derive(Deserialize)]
struct RawFrame {
    #[serde(rename = "type")]
    kind: Option<serde_json::Value>,
    id: Option<serde_json::Value>,
    body: Option<serde_json::Value>,
    /// The name of the body in the HTML format: the form's field.
    message: Option<serde_json::Value>,
    target: Option<serde_json::Value>,
    target_seq: Option<serde_json::Value>,
    reaction: Option<serde_json::Value>,
    on: Option<serde_json::Value>,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
    around: Option<serde_json::Value>,
    limit: Option<serde_json::Value>,
}

impl ClientFrame {
    /// Reads a frame of either format. The HTML format's form has no `type` and calls the body `message`.
    ///
    /// # Errors
    /// [`BadFrame`], which names what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadFrame> {
        // An array of the fields in their order would be read too.
        if !text.trim_start().starts_with('{') {
            return Err(BadFrame::NotJson);
        }
        let raw: RawFrame = serde_json::from_str(text).map_err(|_| BadFrame::NotJson)?;
        match raw.kind.as_ref() {
            None if raw.message.is_some() => raw.send(),
            None => Err(BadFrame::Field { kind: "frame", field: "type", id: None }),
            Some(kind) => match kind.as_str() {
                Some("send") => raw.send(),
                Some("edit") => raw.edit(),
                Some("delete") => raw.delete(),
                Some("react") => raw.react(),
                Some("typing") => Ok(ClientFrame::Typing),
                Some("page") => raw.page(),
                Some(other) => Err(BadFrame::UnknownType(other.chars().take(40).collect())),
                None => Err(BadFrame::Field { kind: "frame", field: "type", id: None }),
            },
        }
    }
}

impl RawFrame {
    fn send(mut self) -> Result<ClientFrame, BadFrame> {
        let id = self.id("send")?;
        let body = self.body("send", id)?;
        Ok(ClientFrame::Send { id, body })
    }

    fn edit(mut self) -> Result<ClientFrame, BadFrame> {
        let id = self.id("edit")?;
        let target = self.target("edit", id)?;
        Ok(ClientFrame::Edit { id, target, body: self.body("edit", id)? })
    }

    fn delete(self) -> Result<ClientFrame, BadFrame> {
        let id = self.id("delete")?;
        Ok(ClientFrame::Delete { id, target: self.target("delete", id)? })
    }

    fn react(self) -> Result<ClientFrame, BadFrame> {
        let id = self.id("react")?;
        let field = |field| BadFrame::Field { kind: "react", field, id };
        let target = self.target("react", id)?;
        let reaction = self.reaction.as_ref().and_then(serde_json::Value::as_str);
        let reaction = reaction.and_then(|text| Reaction::parse(text).ok()).ok_or(field("reaction"))?;
        let on = match self.on.as_ref() {
            None => true,
            Some(value) => value.as_bool().ok_or(field("on"))?,
        };
        Ok(ClientFrame::React { id, target, reaction, on })
    }

    fn id(&self, kind: &'static str) -> Result<Option<MessageId>, BadFrame> {
        match self.id.as_ref() {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(value) => {
                let id = value.as_str().and_then(|text| text.parse().ok());
                Ok(Some(id.ok_or(BadFrame::Field { kind, field: "id", id: None })?))
            }
        }
    }

    fn body(&mut self, kind: &'static str, id: Option<MessageId>) -> Result<String, BadFrame> {
        match self.body.take().or(self.message.take()) {
            Some(serde_json::Value::String(body)) => Ok(body),
            _ => Err(BadFrame::Field { kind, field: "body", id }),
        }
    }

    fn target(&self, kind: &'static str, id: Option<MessageId>) -> Result<Aim, BadFrame> {
        let field = |field| BadFrame::Field { kind, field, id };
        let target = self.target.as_ref().and_then(serde_json::Value::as_str);
        let target = target.and_then(|text| text.parse().ok()).ok_or(field("target"))?;
        let seq = match self.target_seq.as_ref() {
            None => None,
            Some(value) => Some(value.as_u64().ok_or(field("target_seq"))?),
        };
        Ok(Aim { id: target, seq })
    }

    fn page(self) -> Result<ClientFrame, BadFrame> {
        let field = |field| BadFrame::Field { kind: "page", field, id: None };
        let seq = |value: &serde_json::Value, name| value.as_u64().ok_or(field(name));
        let place = match (&self.before, &self.after, &self.around) {
            (Some(before), None, None) => PagePlace::Before(seq(before, "before")?),
            (None, Some(after), None) => PagePlace::After(seq(after, "after")?),
            (None, None, Some(around)) => PagePlace::Around(spot(around).ok_or(field("around"))?),
            _ => return Err(field("before, after or around")),
        };
        let limit = match self.limit.as_ref() {
            None => crate::limits::PAGE_EVENTS,
            Some(value) => {
                let limit = value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or(field("limit"))?;
                if !(1..=crate::limits::PAGE_EVENTS_MAX).contains(&limit) {
                    return Err(field("limit"));
                }
                limit
            }
        };
        Ok(ClientFrame::Page { place, limit })
    }
}

fn spot(value: &serde_json::Value) -> Option<Spot> {
    match value {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64().map(|seq| Spot::Since(Since::Seq(seq))),
    }
}

/// A person as frames show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: UserId,
    pub name: String,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    Ack {
        id: MessageId,
        seq: u64,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
    Page {
        events: Vec<EventFrame>,
        more: bool,
    },
    CaughtUp {
        cursor: Cursor,
    },
    Reset {
        reason: ResetReason,
    },
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        code: Refusal,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Ping,
    /// Somebody is writing something.
    Typing {
        user: Person,
    },
    Presence(PresenceFrame),
    /// On the socket of a person's rooms: what happened last in one of them.
    Head {
        room: RoomSlug,
        /// The room's newest row, as it is now.
        last: Box<EventFrame>,
    },
    #[serde(untagged)]
    Event(EventFrame),
}

/// Who is present in a room: first whole, then what changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceFrame {
    /// How many people are present, after the change.
    pub count: u64,
    /// Who is present, at most [`crate::limits::PEOPLE_NAMED_MAX`]: what was said before does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<Vec<Person>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came: Vec<Person>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<Person>,
}

/// An event as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventFrame {
    Message(MessageFrame),
    Created {
        #[serde(flatten)]
        head: EventHead,
        name: String,
    },
    Joined(EventHead),
    Left(EventHead),
    /// Everything that its author wrote was erased, and they are no member any more. Forget what you have of them.
    UserErased(EventHead),
    Edited {
        #[serde(flatten)]
        head: EventHead,
        target: MessageId,
        body: String,
    },
    Deleted {
        #[serde(flatten)]
        head: EventHead,
        target: MessageId,
    },
    Reacted {
        #[serde(flatten)]
        head: EventHead,
        target: MessageId,
        reaction: Reaction,
        on: bool,
    },
    /// From now on the room keeps what happens in it for so many days; 0 for ever.
    Retention {
        #[serde(flatten)]
        head: EventHead,
        keep: KeepDays,
    },
    /// Everything up to the sequence `upto` is gone: the room keeps things no longer. Forget what you have of it.
    Expired {
        #[serde(flatten)]
        head: EventHead,
        upto: u64,
    },
    /// Here stood a message, or an edit of one, that was deleted. Its id and author are those of what is gone.
    Erased(EventHead),
    /// A message, or an edit of one, whose text can't be opened: it was altered, or is not where it was written.
    Unopened(EventHead),
    /// Something that this version of the server can't read. Its author is nobody.
    Unreadable(EventHead),
}

/// What every event has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    pub seq: u64,
    /// The sequence of the room's event before this one, as far as the reader was shown one; 0 for none.
    pub prev: u64,
    pub id: MessageId,
    pub author: Person,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFrame {
    #[serde(flatten)]
    pub head: EventHead,
    pub body: String,
    /// When it was edited last. Only in pages, which show a message as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// Only in pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<ReactionFrame>,
}

/// A reaction that a message has, with those who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionFrame {
    pub reaction: Reaction,
    /// How many people gave it.
    pub count: u64,
    /// The first of them, at most [`crate::limits::PEOPLE_NAMED_MAX`].
    pub by: Vec<Person>,
}

/// Why a cursor could not be continued: what the client shows is not a part of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The stream was made anew.
    OtherStream,
    /// The cursor lies behind the log's end.
    FromTheFuture,
    /// The events after the cursor can't be had now or any more.
    Unreachable,
    /// Everything of a person was erased: what the client shows may be a part of it.
    Erased,
}

/// Why something was refused. The text is the contract; `message` beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    Empty,
    TooLong,
    ControlCharacter,
    IdReused,
    /// There is no such message in this room, or it was deleted.
    NoSuchMessage,
    /// Only its author may edit a message; only its author and the room's owner may delete it.
    NotAllowed,
    /// A message may be edited so often and no more.
    TooManyEdits,
    TooFast,
    NotJson,
    Binary,
    UnknownType,
    BadField,
    /// The broker did not confirm in time: the message may be stored or not; the same id may be sent again.
    NotConfirmed,
    /// The log takes no more.
    StorageFull,
    /// History can't be had now.
    Unavailable,
    /// Too many frames of this socket are still being worked on.
    Busy,
}

impl Refusal {
    /// All words of [`Refusal::code`].
    pub const CODES: [&str; 16] = [
        "empty",
        "too_long",
        "control_character",
        "id_reused",
        "no_such_message",
        "not_allowed",
        "too_many_edits",
        "too_fast",
        "not_json",
        "binary",
        "unknown_type",
        "bad_field",
        "not_confirmed",
        "storage_full",
        "unavailable",
        "busy",
    ];

    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::ControlCharacter => "control_character",
            Self::IdReused => "id_reused",
            Self::NoSuchMessage => "no_such_message",
            Self::NotAllowed => "not_allowed",
            Self::TooManyEdits => "too_many_edits",
            Self::TooFast => "too_fast",
            Self::NotJson => "not_json",
            Self::Binary => "binary",
            Self::UnknownType => "unknown_type",
            Self::BadField => "bad_field",
            Self::NotConfirmed => "not_confirmed",
            Self::StorageFull => "storage_full",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
        }
    }
}

/// Why a server closes a socket: RFC 6455's codes and ours (4000–4999 are free for applications).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    Done,
    Abuse,
    TooBig,
    Draining,
    SessionEnded,
    NotAMember,
    TooSlow,
    TooMany,
}

impl Close {
    pub const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Abuse => 1008,
            Self::TooBig => 1009,
            Self::Draining => 1012,
            Self::SessionEnded => 4401,
            Self::NotAMember => 4403,
            Self::TooSlow => 4408,
            Self::TooMany => 4429,
        }
    }

    /// Plain words beside the code; at most 123 bytes by RFC 6455.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abuse => "too many frames; slow down",
            Self::TooBig => "a frame may have 32 KiB at most",
            Self::Draining => "connect again: another gateway may answer",
            Self::SessionEnded => "the session has ended; log in again",
            Self::NotAMember => "not a member of this room",
            Self::TooSlow => "too slow; connect again from your cursor",
            Self::TooMany => "too many sockets; close some first",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_and_a_program_say_the_same() {
        let id = MessageId::new();
        let form = format!(r#"{{"message":"hi","id":"{id}","headers":{{"HX-Request":"true"}}}}"#);
        let json = format!(r#"{{"type":"send","body":"hi","id":"{id}"}}"#);
        let send = ClientFrame::Send { id: Some(id), body: "hi".into() };
        assert_eq!(ClientFrame::parse(&form), Ok(send.clone()));
        assert_eq!(ClientFrame::parse(&json), Ok(send));
    }

    #[test]
    fn a_bad_frame_is_named() {
        assert_eq!(ClientFrame::parse("{"), Err(BadFrame::NotJson));
        assert_eq!(ClientFrame::parse("[]"), Err(BadFrame::NotJson));
        let fields = r#"["typing",null,null,null,null,null,null,null,null,null]"#;
        assert_eq!(ClientFrame::parse(fields), Err(BadFrame::NotJson));
        assert_eq!(ClientFrame::parse(r#"{"type":"poll"}"#), Err(BadFrame::UnknownType("poll".into())));
        assert!(matches!(
            ClientFrame::parse(r#"{"type":"send"}"#),
            Err(BadFrame::Field { field: "body", .. })
        ));
        assert!(matches!(
            ClientFrame::parse(r#"{"type":"send","id":"x","body":"y"}"#),
            Err(BadFrame::Field { field: "id", .. })
        ));
        assert!(matches!(
            ClientFrame::parse(r#"{"type":"page","before":5,"limit":101}"#),
            Err(BadFrame::Field { field: "limit", .. })
        ));
    }
}
