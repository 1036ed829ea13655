//! An event as members see it: decoded once, and encoded at most once for each wire format.

use crate::socket::{frame, wire::Format};
use bytes::Bytes;
use protocol::{Event, MessageId, StoredEvent, Timestamp, UserId};
use std::sync::OnceLock;

/// One event of a room, with the name its author had when it was first shown here.
#[derive(Debug)]
pub struct Shown {
    pub seq: u64,
    /// The sequence of the event before this one that members see; 0 when there is none or it is not known.
    pub prev: u64,
    pub at: Timestamp,
    pub what: Entry,
    pub author_name: String,
    /// Bytes of the event in the log, by which rings are measured.
    pub bytes: usize,
    encoded: [OnceLock<Bytes>; Format::COUNT],
}

/// What stands at a place of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Event(Event),
    /// A message, or an edit of one, whose text was erased after it had been shown.
    Erased {
        id: MessageId,
        author: UserId,
        is_message: bool,
    },
}

impl Entry {
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Event(event) => event.id(),
            Self::Erased { id, .. } => *id,
        }
    }

    pub const fn author(&self) -> UserId {
        match self {
            Self::Event(event) => event.author(),
            Self::Erased { author, .. } => *author,
        }
    }
}

impl Shown {
    pub fn new(stored: StoredEvent, prev: u64, author_name: String, bytes: usize) -> Self {
        let StoredEvent { seq, at, event } = stored;
        Self { seq, prev, at, what: Entry::Event(event), author_name, bytes, encoded: Default::default() }
    }

    /// The same place in the log without its text.
    pub fn erased(&self) -> Self {
        let is_message = matches!(self.what, Entry::Event(Event::Message { .. }));
        Self {
            what: Entry::Erased { id: self.what.id(), author: self.what.author(), is_message },
            author_name: self.author_name.clone(),
            encoded: Default::default(),
            ..*self
        }
    }

    /// Whether it is a message or an edit.
    pub const fn has_text(&self) -> bool {
        matches!(&self.what, Entry::Event(Event::Message { .. } | Event::Edited { .. }))
    }

    /// Whether it says that texts before it were erased which members may have been shown.
    pub const fn tells_of_erased_texts(&self) -> bool {
        matches!(&self.what, Entry::Event(Event::UserErased { .. }))
    }

    /// Whether its text is gone with the deletion of the message at `seq`.
    pub fn goes_with(&self, seq: u64) -> bool {
        match &self.what {
            Entry::Event(Event::Message { .. }) => self.seq == seq,
            Entry::Event(Event::Edited { target, .. }) => target.seq == seq,
            _ => false,
        }
    }

    /// Whether it gives another text to something up to this sequence.
    pub fn is_text_of_any_up_to(&self, seq: u64) -> bool {
        matches!(&self.what, Entry::Event(Event::Edited { target, .. }) if target.seq <= seq)
    }

    /// The event, if its text is still there.
    pub fn stored(&self) -> Option<StoredEvent> {
        match &self.what {
            Entry::Event(event) => Some(StoredEvent { seq: self.seq, at: self.at, event: event.clone() }),
            Entry::Erased { .. } => None,
        }
    }

    /// The event as a WebSocket frame of this format. The first call encodes; all others share its bytes.
    pub fn encoded(&self, format: Format) -> Bytes {
        self.encoded[format.index()].get_or_init(|| frame::text(&format.event(self))).clone()
    }
}
