//! `/search/`: messages that were looked for.

use askama::Template;
use protocol::search::BadSearch;

use crate::text::{colour_of, initials};
use crate::{Layout, Words};

#[derive(Debug)]
pub struct SearchPage<'a> {
    pub layout: Layout<'a>,
    /// As it was typed.
    pub query: &'a str,
    pub outcome: SearchOutcome,
}

#[derive(Debug)]
pub enum SearchOutcome {
    /// Nothing was looked for.
    Nothing,
    Fault(SearchFault),
    /// Nobody answers searches now.
    Unavailable,
    Found(SearchFound),
}

/// What is wrong with what was typed.
#[derive(Debug)]
pub enum SearchFault {
    Unreadable(BadSearch),
    /// There is nothing to look for in these words.
    NoWords,
    /// A person has no room that is called so.
    NoRoom(String),
    TooFast,
}

#[derive(Debug)]
pub struct SearchFound {
    /// The best first.
    pub hits: Vec<SearchHit>,
    pub next: Option<NextHits>,
    /// Whether everything was searched that is there.
    pub complete: bool,
}

/// Where more hits are.
#[derive(Debug, Clone, Copy)]
pub struct NextHits {
    pub page: usize,
    pub as_of_ms: i64,
    pub zone_minutes: i32,
}

#[derive(Debug)]
pub struct SearchHit {
    pub room: String,
    pub room_name: String,
    pub message_id: String,
    pub author_id: String,
    pub author_name: String,
    /// RFC 3339, UTC.
    pub at: String,
    pub excerpt: Vec<ExcerptPiece>,
}

/// A piece of a message's text.
#[derive(Debug)]
pub struct ExcerptPiece {
    pub text: String,
    /// It was looked for.
    pub marked: bool,
}

#[derive(Template)]
#[template(path = "pages/search.html")]
struct SearchTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a SearchPage<'a>,
    query: &'a str,
    focused: bool,
}

impl SearchPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        let focused = !matches!(self.outcome, SearchOutcome::Found(_));
        let (w, layout) = (self.layout.words(), &self.layout);
        SearchTemplate { w, layout, page: self, query: self.query, focused }.render()
    }
}

impl SearchFault {
    fn text(&self, words: &'static Words) -> String {
        let faults = &words.search_faults;
        match self {
            Self::Unreadable(BadSearch::Empty) | Self::NoWords => faults.no_words.to_owned(),
            Self::Unreadable(BadSearch::TooLong) => faults.too_long.to_owned(),
            Self::Unreadable(BadSearch::TooMany) => faults.too_many.to_owned(),
            Self::Unreadable(BadSearch::Nothing(operator)) => {
                faults.nothing_behind.replace("{operator}", operator.word())
            }
            Self::Unreadable(BadSearch::NoDay(operator)) => {
                faults.no_day.replace("{operator}", operator.word())
            }
            Self::NoRoom(name) => faults.no_room.replace("{room}", name),
            Self::TooFast => faults.too_fast.to_owned(),
        }
    }
}

impl SearchHit {
    fn initials(&self) -> String {
        initials(&self.author_name)
    }

    fn colour(&self) -> u8 {
        colour_of(&self.author_id)
    }

    /// The day in UTC, for a page without its script.
    fn day(&self) -> &str {
        self.at.get(..10).unwrap_or_default()
    }
}
