//! An event as members see it: decoded once, and encoded at most once for each wire format.

use crate::socket::wire::Format;
use axum::extract::ws::Utf8Bytes;
use protocol::{
    Event, Timestamp,
    frame::{EventFrame, Person},
};
use std::sync::OnceLock;
use templates::{EventRow, RowKind};

/// One event of a room, with the name its author had when it was first shown here.
#[derive(Debug)]
pub struct Shown {
    pub seq: u64,
    /// The sequence of the event before this one that members see; 0 when there is none or it is not known.
    pub prev: u64,
    pub at: Timestamp,
    pub event: Event,
    pub author_name: String,
    /// Bytes of the event in the log, by which rings are measured.
    pub bytes: usize,
    encoded: [OnceLock<Utf8Bytes>; Format::COUNT],
}

impl Shown {
    pub fn new(stored: protocol::StoredEvent, prev: u64, author_name: String, bytes: usize) -> Self {
        let protocol::StoredEvent { seq, at, event } = stored;
        Self { seq, prev, at, event, author_name, bytes, encoded: Default::default() }
    }

    /// The event as a frame of this format. The first call encodes; all others share its bytes.
    pub fn encoded(&self, format: Format) -> Utf8Bytes {
        self.encoded[format.index()].get_or_init(|| format.event(self).into()).clone()
    }

    pub fn frame(&self) -> EventFrame {
        let author = Person { id: self.event.author(), name: self.author_name.clone() };
        let (seq, prev, at) = (self.seq, self.prev, self.at);
        match &self.event {
            Event::Message { id, body, .. } => {
                EventFrame::Message { seq, prev, id: *id, author, body: body.as_str().to_owned(), at }
            }
            Event::Created { id, name, .. } => {
                EventFrame::Created { seq, prev, id: *id, author, name: name.clone(), at }
            }
            Event::Joined { id, .. } => EventFrame::Joined { seq, prev, id: *id, author, at },
            Event::Left { id, .. } => EventFrame::Left { seq, prev, id: *id, author, at },
        }
    }

    pub fn row(&self) -> EventRow {
        EventRow {
            seq: self.seq,
            prev: self.prev,
            id: self.event.id().to_string(),
            at: self.at.to_string(),
            author_id: self.event.author().to_string(),
            author_name: self.author_name.clone(),
            kind: match &self.event {
                Event::Message { body, .. } => RowKind::Message(body.as_str().to_owned()),
                Event::Created { name, .. } => RowKind::Created { room_name: name.clone() },
                Event::Joined { .. } => RowKind::Joined,
                Event::Left { .. } => RowKind::Left,
            },
        }
    }
}
