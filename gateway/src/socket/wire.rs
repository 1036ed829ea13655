//! The two formats of the wire: JSON for programs, HTML fragments (in two languages) for htmx.

use super::view;
use crate::{
    history::{HistoryPage, NamedRow},
    room::shown::Shown,
};
use protocol::{
    Cursor, MessageId, RoomSlug,
    frame::{Person, PresenceFrame, Refusal, ResetReason, ServerFrame},
};
use std::ops::Range;
use templates::Lang;

/// How a socket's frames are written. Fragments say nothing about their viewer but the language, so each event is
/// encoded once per format and serves all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Html(Lang),
}

/// Bytes of a page's frame, at most (or one event): a page of the longest messages is cut to what fits, and says that there is
/// more.
pub const PAGE_FRAME_BYTES_MAX: usize = 256 * 1024;

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

    /// A page, cut to [`PAGE_FRAME_BYTES_MAX`] at the ends that lie furthest from what was asked for.
    pub fn page(self, page: &HistoryPage) -> String {
        let whole = self.rows(&page.rows, page.more);
        if whole.len() <= PAGE_FRAME_BYTES_MAX {
            return whole;
        }
        let left = PAGE_FRAME_BYTES_MAX.saturating_sub(self.rows(&[], true).len());
        let sizes: Vec<_> = page.rows.iter().map(|row| self.row(row).len() + 1).collect();
        let spot = page.spot.unwrap_or(sizes.len() - 1);
        let fitting = fitting(&sizes, spot, left);
        let more = page.more || fitting.start > 0;
        self.rows(&page.rows[fitting], more)
    }

    fn rows(self, rows: &[NamedRow], more: bool) -> String {
        match self {
            Self::Json => {
                let events = rows.iter().map(view::row_frame).collect();
                json(&ServerFrame::Page { events, more })
            }
            Self::Html(lang) => {
                let rows: Vec<_> = rows.iter().map(view::row).collect();
                templates::page_fragment(lang, &rows, more)
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
                ResetReason::Erased => "erased",
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

    /// What happened last in a room of a list, for programs; pages get the list's own entry.
    pub fn head(self, room: &RoomSlug, row: &NamedRow) -> String {
        json(&ServerFrame::Head { room: room.clone(), last: Box::new(view::row_frame(row)) })
    }

    pub fn presence(self, presence: &PresenceFrame) -> String {
        match self {
            Self::Json => json(&ServerFrame::Presence(presence.clone())),
            Self::Html(_) => templates::presence_fragment(&view::presence(presence)),
        }
    }

    pub fn typing(self, user: &Person) -> String {
        match self {
            Self::Json => json(&ServerFrame::Typing { user: user.clone() }),
            Self::Html(_) => templates::typing_fragment(&view::person(user)),
        }
    }

    pub fn ping(self) -> String {
        match self {
            Self::Json => json(&ServerFrame::Ping),
            Self::Html(_) => templates::ping_fragment(),
        }
    }
}

/// The widest part around a spot whose sizes add up to at most `max`: at least the spot itself. It grows to both sides by turns.
fn fitting(sizes: &[usize], spot: usize, max: usize) -> Range<usize> {
    let mut left = max.saturating_sub(sizes[spot]);
    let mut take = |place: usize| {
        let rest = sizes.get(place).and_then(|size| left.checked_sub(*size));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let (mut older, mut newer) = (spot, spot + 1);
    let (mut is_older_open, mut is_newer_open) = (true, true);
    while is_older_open || is_newer_open {
        is_newer_open = is_newer_open && take(newer);
        newer += usize::from(is_newer_open);
        is_older_open = is_older_open && older > 0 && take(older - 1);
        older -= usize::from(is_older_open);
    }
    older..newer
}

fn json(frame: &ServerFrame) -> String {
    serde_json::to_string(frame).expect("a frame is plain JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Body, Event, StoredEvent, Timestamp, UserId, limits, view::Row};

    const FORMATS: [Format; Format::COUNT] = [Format::Json, Format::Html(Lang::En), Format::Html(Lang::Fr)];

    /// Texts that grow most when they are written.
    fn longest() -> Vec<String> {
        ["🙂", "\"", "&", "http://a ", "http://a.b/&", "http://🙂 "]
            .map(|part| part.chars().cycle().take(limits::BODY_CHARS_MAX).collect())
            .into()
    }

    fn name() -> String {
        "&".repeat(limits::USER_NAME_CHARS_MAX)
    }

    fn shown(seq: u64, text: &str) -> Shown {
        let body = Body::parse(text).unwrap().into();
        let event = Event::Message { id: MessageId::new(), author: UserId::new(), body };
        let stored = StoredEvent { seq, at: Timestamp::from_millis(0), event };
        Shown::new(stored, seq - 1, name(), text.len())
    }

    fn row(seq: u64, text: &str) -> NamedRow {
        let row = Row::of(&shown(seq, text).stored().unwrap()).unwrap();
        let author = Person { id: row.author, name: name() };
        NamedRow { row, prev: seq - 1, author, reactions: Vec::new() }
    }

    fn has(frame: &str, row: &NamedRow) -> bool {
        frame.contains(&row.row.id.to_string())
    }

    #[test]
    fn the_longest_event_is_within_a_piece() {
        for (format, text) in
            FORMATS.into_iter().flat_map(|format| longest().into_iter().map(move |text| (format, text)))
        {
            let bytes = shown(1, &text).encoded(format).len();
            assert!(bytes <= 64 * 1024, "{bytes} bytes of {format:?} for {}…", &text[..12]);
        }
    }

    #[test]
    fn a_page_of_the_longest_messages_is_cut_at_its_older_end_and_says_so() {
        for (format, text) in
            FORMATS.into_iter().flat_map(|format| longest().into_iter().map(move |text| (format, text)))
        {
            let rows = (1..=limits::PAGE_EVENTS_MAX as u64).map(|seq| row(seq, &text)).collect();
            let page = HistoryPage { rows, more: false, spot: None, applied: None };
            let frame = format.page(&page);
            assert!(frame.len() <= PAGE_FRAME_BYTES_MAX, "{} bytes of {format:?}", frame.len());
            assert!(frame.len() > PAGE_FRAME_BYTES_MAX / 2, "{} bytes of {format:?}", frame.len());
            assert!(has(&frame, &page.rows[99]) && !has(&frame, &page.rows[0]));
            assert!(frame.contains("\"more\":true") || frame.contains("data-more=\"true\""));
        }
    }

    #[test]
    fn a_page_is_cut_where_it_is_furthest_from_what_was_asked_for() {
        let sizes = [1; 10];
        assert_eq!(fitting(&sizes, 9, 4), 6..10, "before a place");
        assert_eq!(fitting(&sizes, 0, 4), 0..4, "after a place");
        assert_eq!(fitting(&sizes, 5, 4), 4..8, "around one");
        assert_eq!(fitting(&sizes, 1, 6), 0..6);
        assert_eq!(fitting(&sizes, 5, 100), 0..10);
        assert_eq!(fitting(&[1, 50, 3, 1], 2, 4), 2..4, "nothing behind what does not fit");
        assert_eq!(fitting(&[50], 0, 4), 0..1, "never nothing");
    }

    #[test]
    fn a_page_that_fits_is_whole() {
        let rows = (1..=50).map(|seq| row(seq, "short")).collect();
        let page = HistoryPage { rows, more: false, spot: None, applied: None };
        for format in FORMATS {
            let frame = format.page(&page);
            assert!(page.rows.iter().all(|row| has(&frame, row)));
            assert!(frame.contains("\"more\":false") || frame.contains("data-more=\"false\""));
        }
    }
}
