//! What a room's log stores. Sequence and time are not in an event: the broker gives them.

use crate::{
    KeepDays, MessageId, Reaction, Timestamp, UserId,
    ids::short,
    limits,
    sealed::{Sealed, SealedText, Tag},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};
use uuid::Uuid;

/// The format that this code writes and reads.
pub const VERSION: u32 = 1;

/// The text of a message, as its author wrote it.
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

/// A text as whoever has the keys sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Plain(Body),
    /// Its author's or its room's key was destroyed, so that nobody can read it again.
    Erased,
    /// It was altered, or is not where it was written: an alarm for the operator.
    Unopened,
}

impl Text {
    /// The text; empty where there is none to show.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(body) => body.as_str(),
            Self::Erased | Self::Unopened => "",
        }
    }
}

impl From<Body> for Text {
    fn from(body: Body) -> Self {
        Self::Plain(body)
    }
}

/// A reaction as log and database hold it. Two are equal when they say the same of one message, whoever gave them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedReaction {
    /// Equal reactions to one message have equal tags.
    pub tag: Tag,
    /// Who gave it, and the event that brought it: the box is bound to both.
    pub author: UserId,
    #[serde(flatten)]
    pub text: SealedText,
}

impl PartialEq for SealedReaction {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}
impl Eq for SealedReaction {}

/// One thing that happened in a room: with its texts in the open, as only a gateway has them, or as a [`SealedEvent`].
///
/// `Title` is a room's name, `Body` a message's text, `Emoji` a reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<Title = String, Body = Text, Emoji = Reaction> {
    /// The room was made; its maker is its first member.
    Created {
        id: MessageId,
        author: UserId,
        name: Title,
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
        /// [`crate::Sealed::hash`] of the message as it was last.
        hash: String,
    },
    /// A member puts a reaction on a message, or takes it back.
    Reacted {
        id: MessageId,
        author: UserId,
        target: Target,
        reaction: Emoji,
        on: bool,
    },
    /// From now on the room keeps what happens in it for so long.
    Retention {
        id: MessageId,
        author: UserId,
        keep: KeepDays,
    },
    /// The target, which may be anything that has a row, and everything before it is gone, with what changed it: the room keeps
    /// things for `keep` days. It is removed from the log after this event, but for the room's creation. The author is who made the room.
    Expired {
        id: MessageId,
        author: UserId,
        target: Target,
        /// When something had happened in the room last.
        of: Timestamp,
        keep: KeepDays,
    },
    /// Everything that a person wrote is erased, their key is destroyed; they are no member any more and never will be again.
    UserErased {
        id: MessageId,
        author: UserId,
    },
    /// The room is erased, its key is destroyed: nothing comes after this. The author is who had made it.
    RoomErased {
        id: MessageId,
        author: UserId,
    },
    /// Not in the log: what stands for an entry that this code can't read. Its id is made of its sequence, its author is nobody.
    Unreadable {
        id: MessageId,
        author: UserId,
    },
}

/// An event as log and database hold it.
pub type SealedEvent = Event<SealedText, SealedText, SealedReaction>;

/// The message that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub id: MessageId,
    pub author: UserId,
    /// Where it was stored: this alone is unique, since ids are made by clients.
    pub seq: u64,
}

impl<Title, Body, Emoji> Event<Title, Body, Emoji> {
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Created { id, .. }
            | Self::Joined { id, .. }
            | Self::Left { id, .. }
            | Self::Message { id, .. }
            | Self::Edited { id, .. }
            | Self::Deleted { id, .. }
            | Self::Reacted { id, .. }
            | Self::Retention { id, .. }
            | Self::Expired { id, .. }
            | Self::UserErased { id, .. }
            | Self::RoomErased { id, .. }
            | Self::Unreadable { id, .. } => *id,
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
            | Self::Reacted { author, .. }
            | Self::Retention { author, .. }
            | Self::Expired { author, .. }
            | Self::UserErased { author, .. }
            | Self::RoomErased { author, .. }
            | Self::Unreadable { author, .. } => *author,
        }
    }

    /// What stands for the entry at a sequence that can't be read.
    pub const fn unreadable(seq: u64) -> Self {
        Self::Unreadable { id: MessageId(Uuid::from_u64_pair(0, seq)), author: UserId(Uuid::nil()) }
    }

    /// What the broker knows it by while it watches for duplicates (`Nats-Msg-Id`): its author and its id, since ids are
    /// made by clients.
    pub fn deduplication_id(&self) -> String {
        format!("{}.{}", self.author().short(), self.id().short())
    }

    /// The text that it brings: a message's or an edit's.
    pub const fn body(&self) -> Option<&Body> {
        match self {
            Self::Message { body, .. } | Self::Edited { body, .. } => Some(body),
            _ => None,
        }
    }

    /// Whether a room's log can begin with it: with the room's creation, or with the erasure, which is all that is left of an erased one.
    pub const fn begins_log(&self) -> bool {
        matches!(self, Self::Created { .. }) || self.ends_room()
    }

    /// Whether nothing of its room is left after it.
    pub const fn ends_room(&self) -> bool {
        matches!(self, Self::RoomErased { .. })
    }

    /// The row that it changes, if it changes one; of [`Event::Expired`] the last that goes.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Edited { target, .. }
            | Self::Deleted { target, .. }
            | Self::Reacted { target, .. }
            | Self::Expired { target, .. } => Some(*target),
            _ => None,
        }
    }

    /// Up to which sequence the room is gone with this event, if it says so.
    pub const fn expires(&self) -> Option<u64> {
        match self {
            Self::Expired { target, .. } => Some(target.seq),
            _ => None,
        }
    }
}

impl SealedEvent {
    /// The event as the log has it: one flat object, in which the only text is a box.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Entry::of(self)).expect("an event is plain JSON")
    }

    /// Reads an event of the log.
    ///
    /// # Errors
    /// [`Unreadable`], for what every reader counts and shows as [`Event::Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > limits::EVENT_BYTES_MAX {
            return Err(Unreadable::TooLarge(bytes.len()));
        }
        match serde_json::from_slice::<Entry<'_>>(bytes) {
            Ok(entry) if entry.v == VERSION => entry.event(),
            _ => Err(unreadable(bytes)),
        }
    }
}

/// What is wrong with bytes that are no entry.
fn unreadable(bytes: &[u8]) -> Unreadable {
    match serde_json::from_slice::<Head>(bytes) {
        Err(_) => Unreadable::NotAnEvent,
        Ok(head) if head.v != VERSION => Unreadable::Version(head.v),
        Ok(head) if KINDS.contains(&head.kind.as_str()) => Unreadable::Fields,
        Ok(_) => Unreadable::Kind,
    }
}

const KINDS: [&str; 11] = [
    "created",
    "joined",
    "left",
    "message",
    "edited",
    "deleted",
    "reacted",
    "retention",
    "expired",
    "user_erased",
    "room_erased",
];

/// An event's fields as the log has them.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    v: u32,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(with = "short")]
    id: MessageId,
    #[serde(with = "short")]
    author: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<EntryTarget>,
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<KeepDays>,
}

/// A [`Target`] as the log has it.
#[derive(Serialize, Deserialize)]
struct EntryTarget {
    #[serde(with = "short")]
    id: MessageId,
    #[serde(with = "short")]
    author: UserId,
    seq: u64,
}

impl From<Target> for EntryTarget {
    fn from(Target { id, author, seq }: Target) -> Self {
        Self { id, author, seq }
    }
}

impl From<EntryTarget> for Target {
    fn from(EntryTarget { id, author, seq }: EntryTarget) -> Self {
        Self { id, author, seq }
    }
}

impl Entry<'_> {
    fn of(event: &SealedEvent) -> Self {
        let mut entry = Self {
            v: VERSION,
            kind: Cow::Borrowed(""),
            id: event.id(),
            author: event.author(),
            target: event.target().map(EntryTarget::from),
            sealed: event.body().map(|text| text.sealed.clone()),
            tag: None,
            on: None,
            of: None,
            hash: None,
            keep: None,
        };
        entry.kind = Cow::Borrowed(match event {
            Event::Created { name, .. } => {
                entry.sealed = Some(name.sealed.clone());
                "created"
            }
            Event::Joined { .. } => "joined",
            Event::Left { .. } => "left",
            Event::Message { .. } => "message",
            Event::Edited { .. } => "edited",
            Event::Deleted { of, hash, .. } => {
                (entry.of, entry.hash) = (Some(*of), Some(hash.clone()));
                "deleted"
            }
            Event::Reacted { reaction, on, .. } => {
                (entry.tag, entry.on) = (Some(reaction.tag), Some(*on));
                entry.sealed = Some(reaction.text.sealed.clone());
                "reacted"
            }
            Event::Retention { keep, .. } => {
                entry.keep = Some(*keep);
                "retention"
            }
            Event::Expired { of, keep, .. } => {
                (entry.of, entry.keep) = (Some(*of), Some(*keep));
                "expired"
            }
            Event::UserErased { .. } => "user_erased",
            Event::RoomErased { .. } => "room_erased",
            // Nobody writes it; were it in the log, no version could read it.
            Event::Unreadable { .. } => "unreadable",
        });
        entry
    }

    fn event(self) -> Result<SealedEvent, Unreadable> {
        const MISSING: Unreadable = Unreadable::Fields;
        let Self { id, author, target, sealed, .. } = self;
        let text = sealed.map(|sealed| SealedText { by: id, sealed }).ok_or(MISSING);
        let target = target.map(Target::from).ok_or(MISSING);
        Ok(match self.kind.as_ref() {
            "created" => Event::Created { id, author, name: text? },
            "joined" => Event::Joined { id, author },
            "left" => Event::Left { id, author },
            "message" => Event::Message { id, author, body: text? },
            "edited" => Event::Edited { id, author, target: target?, body: text? },
            "deleted" => {
                let (of, hash) = (self.of.ok_or(MISSING)?, self.hash.ok_or(MISSING)?);
                Event::Deleted { id, author, target: target?, of, hash }
            }
            "reacted" => {
                let reaction = SealedReaction { tag: self.tag.ok_or(MISSING)?, author, text: text? };
                Event::Reacted { id, author, target: target?, reaction, on: self.on.ok_or(MISSING)? }
            }
            "retention" => Event::Retention { id, author, keep: self.keep.ok_or(MISSING)? },
            "expired" => {
                let (of, keep) = (self.of.ok_or(MISSING)?, self.keep.ok_or(MISSING)?);
                Event::Expired { id, author, target: target?, of, keep }
            }
            "user_erased" => Event::UserErased { id, author },
            "room_erased" => Event::RoomErased { id, author },
            _ => return Err(Unreadable::Kind),
        })
    }
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
pub struct StoredEvent<E = Event> {
    /// Its sequence in the shard's stream: rises within a room, with gaps.
    pub seq: u64,
    /// When the broker stored it.
    pub at: Timestamp,
    pub event: E,
}

/// An event of the log as it is stored.
pub type SealedStored = StoredEvent<SealedEvent>;

impl SealedStored {
    /// Reads an entry of a room's log. What can't be read has its place in the room all the same, as [`Event::Unreadable`], beside
    /// the reason.
    pub fn read(seq: u64, at: Timestamp, payload: &[u8]) -> (Self, Option<Unreadable>) {
        match SealedEvent::decode(payload) {
            Ok(event) => (Self { seq, at, event }, None),
            Err(why) => (Self { seq, at, event: Event::unreadable(seq) }, Some(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(by: MessageId) -> SealedText {
        let bytes = [&[1, 0, 1, 0, 1][..], &[7; 30]].concat();
        SealedText { by, sealed: Sealed::from_bytes(bytes).unwrap() }
    }

    #[test]
    fn an_event_survives_the_log() {
        let (id, author) = (MessageId::new(), UserId::new());
        let target = Target { id: MessageId::new(), author, seq: 7 };
        let reaction = SealedReaction { tag: Tag([3; 8]), author, text: text(id) };
        let (of, hash) = (Timestamp::from_millis(5), text(id).sealed.hash());
        for event in [
            SealedEvent::Created { id, author, name: text(id) },
            SealedEvent::Joined { id, author },
            SealedEvent::Left { id, author },
            SealedEvent::Message { id, author, body: text(id) },
            SealedEvent::Edited { id, author, target, body: text(id) },
            SealedEvent::Deleted { id, author, target, of, hash },
            SealedEvent::Reacted { id, author, target, reaction, on: false },
            SealedEvent::UserErased { id, author },
            SealedEvent::RoomErased { id, author },
        ] {
            assert_eq!(SealedEvent::decode(&event.encode()), Ok(event));
        }
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
        let with_box = |sealed: &str| {
            format!(
                r#"{{"v":1,"type":"message","id":"{}","author":"{}","box":"{sealed}"}}"#,
                MessageId::new().short(),
                UserId::new().short()
            )
        };
        assert_eq!(SealedEvent::decode(b"{"), Err(Unreadable::NotAnEvent));
        assert_eq!(SealedEvent::decode(b""), Err(Unreadable::NotAnEvent));
        assert_eq!(SealedEvent::decode(&vec![b'a'; 900 * 1024]), Err(Unreadable::TooLarge(900 * 1024)));
        assert_eq!(SealedEvent::decode(br#"{"type":"poll","v":99}"#), Err(Unreadable::Version(99)));
        assert_eq!(SealedEvent::decode(br#"{"type":"poll","v":1}"#), Err(Unreadable::Kind));
        assert_eq!(SealedEvent::decode(br#"{"type":"message","v":1}"#), Err(Unreadable::Fields));
        assert_eq!(SealedEvent::decode(with_box("AA").as_bytes()), Err(Unreadable::Fields));
        assert!(SealedEvent::decode(with_box(&text(MessageId::new()).sealed.to_text()).as_bytes()).is_ok());
    }
}
