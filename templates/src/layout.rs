//! What every page's frame needs, and the list of rooms.

use crate::text::{colour_of, initials};
use crate::{Lang, Words};

/// What every page's frame needs.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    pub lang: Lang,
    /// Who is logged in, if anybody.
    pub viewer: Option<Viewer<'a>>,
    /// The path to come back to when the language is switched.
    pub path: &'a str,
    /// A sentence shown once on top of the page.
    pub notice: Option<&'a str>,
}

/// The person who looks at a page.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

/// A room in the list of rooms.
#[derive(Clone, Debug)]
pub struct RoomLink {
    pub slug: String,
    pub name: String,
    /// The sequence of the room's newest event, of whatever kind.
    pub seq: u64,
    /// What happened last in the room, if anything is known.
    pub last: Option<LastEvent>,
    /// Whether this is the room that the page shows.
    pub current: bool,
}

/// The last thing that happened in a room.
#[derive(Clone, Debug)]
pub struct LastEvent {
    pub seq: u64,
    /// RFC 3339, UTC.
    pub at: String,
    /// The author's name.
    pub author: String,
    pub kind: LastKind,
}

/// What the last thing in a room was.
#[derive(Clone, Debug)]
pub enum LastKind {
    /// A message with its text.
    Message(String),
    Joined,
    Left,
    Created,
}

impl Layout<'_> {
    /// The words of the page's language.
    #[must_use]
    pub fn words(&self) -> &'static Words {
        self.lang.words()
    }
}

impl Viewer<'_> {
    pub(crate) fn initials(&self) -> String {
        initials(self.name)
    }

    pub(crate) fn colour(&self) -> u8 {
        colour_of(self.id)
    }
}

impl RoomLink {
    pub(crate) fn initials(&self) -> String {
        initials(&self.name)
    }

    pub(crate) fn colour(&self) -> u8 {
        colour_of(&self.slug)
    }
}

/// How much of a message the list of rooms shows, in characters.
const PREVIEW_CHARS_MAX: usize = 120;

impl LastEvent {
    /// The day in UTC, for a page without its script.
    pub(crate) fn day(&self) -> &str {
        self.at.get(..10).unwrap_or_default()
    }

    /// The start of the message, on one line.
    pub(crate) fn preview(&self) -> Option<String> {
        match &self.kind {
            LastKind::Message(body) => Some(one_line(body)),
            _ => None,
        }
    }

    pub(crate) fn what(&self, words: &'static Words) -> &'static str {
        match self.kind {
            LastKind::Message(_) => "",
            LastKind::Joined => words.joined,
            LastKind::Left => words.left,
            LastKind::Created => words.created_it,
        }
    }
}

fn one_line(body: &str) -> String {
    let mut line = String::new();
    for word in body.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > PREVIEW_CHARS_MAX * 4 {
            break;
        }
    }
    line.chars().take(PREVIEW_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{LastEvent, LastKind};

    #[test]
    fn a_preview_is_one_short_line() {
        let last = LastEvent {
            seq: 1,
            at: "2026-11-25T09:14:37.000Z".to_owned(),
            author: "alice".to_owned(),
            kind: LastKind::Message(format!(" one\n\ntwo {}", "x".repeat(4000))),
        };
        let preview = last.preview().unwrap();
        assert!(preview.starts_with("one two xxx"));
        assert_eq!(preview.chars().count(), 120);
        assert_eq!(last.day(), "2026-11-25");
    }
}
