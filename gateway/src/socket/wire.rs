//! The two formats of the wire: JSON for programs, HTML fragments (in two languages) for htmx.

use super::view;
use crate::{history::{HistoryPage, NamedRow}, room::shown::Shown};
use protocol::{
    Cursor, MessageId,
    frame::{Refusal, ResetReason, ServerFrame},
};
use templates::Lang;

/// How a socket's frames are written. Fragments say nothing about their viewer but the language, so each event is
/// encoded once per format and serves all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Html(Lang),
}

/// A refusal on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub id: Option<MessageId>,
    pub code: Refusal,
    pub message: String,
    pub retry_after_ms: Option<u64>,
}

impl Format {
    pub const COUNT: usize = 3;

    pub const fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Html(Lang::En) => 1,
            Self::Html(Lang::Fr) => 2,
        }
    }

    pub fn event(self, shown: &Shown) -> String {
        match self {
            Self::Json => json(&ServerFrame::Event(view::event_frame(shown))),
            Self::Html(lang) => templates::event_fragment(lang, &view::event_row(shown)),
        }
    }

    /// A row of the room's newest page as a frame of its own.
    pub fn row(self, row: &NamedRow) -> String {
        match self {
            Self::Json => json(&ServerFrame::Event(view::row_frame(row))),
            Self::Html(lang) => templates::event_fragment(lang, &view::row(row)),
        }
    }

    pub fn ack(self, id: MessageId, seq: u64, duplicate: bool) -> String {
        match self {
            Self::Json => json(&ServerFrame::Ack { id, seq, duplicate }),
            Self::Html(_) => templates::ack_fragment(&id.to_string(), seq, duplicate),
        }
    }

    pub fn page(self, page: &HistoryPage) -> String {
        match self {
            Self::Json => {
                let events = page.rows.iter().map(view::row_frame).collect();
                json(&ServerFrame::Page { events, more: page.more })
            }
            Self::Html(lang) => {
                let rows: Vec<_> = page.rows.iter().map(view::row).collect();
                templates::page_fragment(lang, &rows, page.more)
            }
        }
    }

    pub fn caught_up(self, cursor: Cursor) -> String {
        match self {
            Self::Json => json(&ServerFrame::CaughtUp { cursor }),
            Self::Html(_) => templates::caught_up_fragment(&cursor.to_string()),
        }
    }

    pub fn reset(self, reason: ResetReason) -> String {
        match self {
            Self::Json => json(&ServerFrame::Reset { reason }),
            Self::Html(_) => templates::reset_fragment(match reason {
                ResetReason::OtherStream => "other_stream",
                ResetReason::FromTheFuture => "from_the_future",
                ResetReason::Unreachable => "unreachable",
            }),
        }
    }

    pub fn refused(self, refused: &Refused) -> String {
        let Refused { id, code, message, retry_after_ms } = refused.clone();
        match self {
            Self::Json => json(&ServerFrame::Refused { id, code, message, retry_after_ms }),
            Self::Html(lang) => {
                let id = id.map(|id| id.to_string());
                templates::refused_fragment(lang, id.as_deref(), code.code(), &message, retry_after_ms)
            }
        }
    }

    pub fn ping(self) -> String {
        match self {
            Self::Json => json(&ServerFrame::Ping),
            Self::Html(_) => templates::ping_fragment(),
        }
    }
}

fn json(frame: &ServerFrame) -> String {
    serde_json::to_string(frame).expect("a frame is plain JSON")
}
