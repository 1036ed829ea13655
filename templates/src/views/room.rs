//! The room.

use askama::Template;

use crate::layout::Viewer;
use crate::rows::Row;
use crate::{EventRow, Lang, Layout, RoomLink, Words};

/// `/room/<slug>/`. The layout's viewer is set: only members see a room.
#[derive(Debug)]
pub struct RoomPage<'a> {
    pub layout: Layout<'a>,
    pub slug: &'a str,
    pub room_name: &'a str,
    /// The name of the person who made the room, if it is known.
    pub created_by: Option<&'a str>,
    /// The stream's identity: the first part of the page's cursor.
    pub stream: &'a str,
    /// The sequence from which the page's socket goes on.
    pub head_seq: u64,
    /// The sequence of the last event behind the rows; 0 when they are the room's newest.
    pub tail_seq: u64,
    /// The id of the row that the address means.
    pub spot_id: Option<String>,
    /// The address means something that is not there.
    pub is_spot_missing: bool,
    /// Events that follow each other, oldest first.
    pub rows: Vec<EventRow>,
    /// Whether there are events before the first row.
    pub more_before: bool,
    /// The rooms beside the room.
    pub rooms: Vec<RoomLink>,
    /// After how many seconds the page asks for a new session token; 0 for never.
    pub renew_after_s: u64,
    /// A fresh message id for the form when it is sent without the script.
    pub form_message_id: &'a str,
    pub may_moderate: bool,
    /// For how many days the room keeps what happens in it; 0 for ever.
    pub keep_days: u16,
}

/// The answer to `/room/<slug>/history/`: rows, oldest first, and
/// where the page before them begins.
#[derive(Debug)]
pub struct OlderFragment {
    pub lang: Lang,
    pub rows: Vec<EventRow>,
    /// Whether there are events before the first row.
    pub more_before: bool,
}

#[derive(Template)]
#[template(path = "pages/room.html")]
struct RoomTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a RoomPage<'a>,
    rows: Vec<Row<'a>>,
    before: u64,
    last: u64,
    viewer: Viewer<'a>,
    /// For how long the room keeps things.
    keeps: String,
    /// For how many days it can be told to keep them, how that is said, and whether it is so now.
    keep_choices: Vec<(u16, String, bool)>,
    chars_max: usize,
}

#[derive(Template)]
#[template(path = "fragments/older.html")]
struct OlderTemplate<'a> {
    w: &'static Words,
    rows: Vec<Row<'a>>,
    before: u64,
    more: bool,
}

impl RoomPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        RoomTemplate {
            w: self.layout.words(),
            layout: &self.layout,
            page: self,
            rows: Row::all(&self.rows),
            before: first_seq(&self.rows),
            last: self.rows.last().map_or(0, |row| row.seq),
            viewer: self.layout.viewer.unwrap_or(Viewer { id: "", name: "" }),
            keeps: self.layout.words().keeps(self.keep_days),
            keep_choices: keep_choices(self.layout.words(), self.keep_days),
            chars_max: protocol::limits::BODY_CHARS_MAX,
        }
        .render()
    }
}

/// What is usual, and what the room has now.
fn keep_choices(w: &Words, now: u16) -> Vec<(u16, String, bool)> {
    const USUAL: [u16; 6] = [1, 7, 30, 90, 365, 0];
    let unusual = Some(now).filter(|now| !USUAL.contains(now));
    unusual.into_iter().chain(USUAL).map(|days| (days, w.kept_for(days), days == now)).collect()
}

impl OlderFragment {
    /// The fragment as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        OlderTemplate {
            w: self.lang.words(),
            rows: Row::all(&self.rows),
            before: first_seq(&self.rows),
            more: self.more_before,
        }
        .render()
    }
}

/// Where the page before these rows ends; 0 when there are no rows.
fn first_seq(rows: &[EventRow]) -> u64 {
    rows.first().map_or(0, |row| row.seq)
}
