//! Looking for messages: what a person writes into the search field, and what the search worker is asked over the broker, as JSON
//! requests on [`crate::subject::SEARCH_QUERIES`].

use crate::{RoomSlug, StreamIdentity, Timestamp, subject::Shard};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Characters of a search, at most.
pub const SEARCH_CHARS_MAX: usize = 500;
/// Words, phrases and operators in a search, at most.
pub const SEARCH_PARTS_MAX: usize = 16;
/// Hits on a page.
pub const SEARCH_PAGE: usize = 20;
/// Hits that can be paged to.
pub const SEARCH_HITS_MAX: usize = 1_000;
/// Rooms in which one search looks, at most.
pub const SEARCH_ROOMS_MAX: usize = 5_000;
/// Minutes that a reader's clock may be ahead of UTC or behind it, at most.
const ZONE_MINUTES_MAX: i32 = 14 * 60;

/// One condition on a message's text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// In this form, or another form of the word.
    Word(String),
    /// These words one behind the other, in these forms.
    Phrase(String),
    /// A word that begins so.
    Prefix(String),
}

/// What is looked for is private: no text of it in logs.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Word(text) => ("Word", text),
            Self::Phrase(text) => ("Phrase", text),
            Self::Prefix(text) => ("Prefix", text),
        };
        write!(f, "{kind}({} bytes)", text.len())
    }
}

/// A search as a person means it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// All of these.
    pub wanted: Vec<Wanted>,
    /// Written by somebody who has one of these names; by anybody when there is none.
    pub from: Vec<String>,
    /// In one of these rooms, by name or address; in any when there is none.
    pub rooms: Vec<String>,
    /// Stored from then on.
    pub since: Option<Timestamp>,
    /// Stored before then.
    pub before: Option<Timestamp>,
}

/// Why a text is no search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSearch {
    Empty,
    TooLong,
    TooMany,
    /// There is nothing behind this operator.
    Nothing(Operator),
    /// What stands behind `before:` or `after:` is no day.
    NoDay(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    From,
    In,
    Before,
    After,
}

impl Operator {
    const ALL: [Self; 4] = [Self::From, Self::In, Self::Before, Self::After];

    /// As it is typed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::From => "from:",
            Self::In => "in:",
            Self::Before => "before:",
            Self::After => "after:",
        }
    }

    /// The operator that a text begins with, and what stands behind it.
    fn begins(text: &str) -> Option<(Self, &str)> {
        let is_it = |operator: &Self| {
            let word = operator.word();
            text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        let operator = Self::ALL.into_iter().find(is_it)?;
        Some((operator, &text[operator.word().len()..]))
    }
}

impl Search {
    /// Reads what was typed; days are those of a reader whose clock is `zone_minutes` ahead of UTC.
    ///
    /// # Errors
    /// [`BadSearch`].
    pub fn parse(text: &str, zone_minutes: i32) -> Result<Self, BadSearch> {
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(BadSearch::TooLong);
        }
        let mut search = Self::default();
        let mut rest = text.trim_start();
        let mut parts = 0;
        while !rest.is_empty() {
            parts += 1;
            if parts > SEARCH_PARTS_MAX {
                return Err(BadSearch::TooMany);
            }
            rest = search.take(rest, zone_minutes)?.trim_start();
        }
        if search == Self::default() { Err(BadSearch::Empty) } else { Ok(search) }
    }

    /// Takes one part from the begin of a text, and gives what is left of it.
    fn take<'a>(&mut self, text: &'a str, zone_minutes: i32) -> Result<&'a str, BadSearch> {
        let Some((operator, behind)) = Operator::begins(text) else {
            let (part, is_quoted, rest) = next(text);
            match part.strip_suffix('*') {
                _ if part.trim().is_empty() => {}
                Some(begin) if !is_quoted && !begin.is_empty() => {
                    self.wanted.push(Wanted::Prefix(begin.to_owned()));
                }
                _ if is_quoted => self.wanted.push(Wanted::Phrase(part.to_owned())),
                _ => self.wanted.push(Wanted::Word(part.to_owned())),
            }
            return Ok(rest);
        };
        let (value, _, rest) = next(behind);
        let value = value.trim();
        let bare = value.trim_start_matches(['@', '#']);
        match operator {
            _ if bare.is_empty() => return Err(BadSearch::Nothing(operator)),
            Operator::From => self.from.push(bare.to_owned()),
            Operator::In => self.rooms.push(bare.to_owned()),
            Operator::Before | Operator::After => {
                let day = day(value, zone_minutes).ok_or(BadSearch::NoDay(operator))?;
                if operator == Operator::Before {
                    self.before = Some(self.before.map_or(day, |known| known.min(day)));
                } else {
                    self.since = Some(self.since.map_or(day, |known| known.max(day)));
                }
            }
        }
        Ok(rest)
    }
}

/// The next word or quoted text, whether it was quoted, and what comes behind it. A quote that is not closed goes to the end.
fn next(text: &str) -> (&str, bool, &str) {
    for (opens, closes) in [('"', '"'), ('“', '”'), ('«', '»'), ('„', '“')] {
        if let Some(quoted) = text.strip_prefix(opens) {
            let (inside, rest) = quoted.split_once(closes).unwrap_or((quoted, ""));
            return (inside, true, rest);
        }
    }
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, false, rest)
}

/// When a day (`2026-11-26`) begins for a reader.
fn day(text: &str, zone_minutes: i32) -> Option<Timestamp> {
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let midnight = Timestamp::parse(&format!("{text}T00:00:00Z")).ok().filter(|_| is_day)?;
    let zone = zone_minutes.clamp(-ZONE_MINUTES_MAX, ZONE_MINUTES_MAX);
    Some(midnight.plus_seconds(-60 * i64::from(zone)))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum SearchQuery {
    Find(FindQuery),
    /// How far the index is.
    Status,
    /// Making the index anew from the log.
    Replay(AskSearchReplay),
}

/// A search, as the gateway asks it for one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindQuery {
    /// Where to look: rooms of which the person is a member, at most [`SEARCH_ROOMS_MAX`].
    pub rooms: Vec<RoomSlug>,
    pub wanted: Vec<Wanted>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Nothing that was stored later: what the answer to the first page said, so that those behind it stay the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// How many hits to pass over.
    pub offset: usize,
    /// Hits in the answer, at most [`SEARCH_PAGE`].
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskSearchReplay {
    /// Begin; one that is under way goes on.
    Begin,
    /// Say how far it has come.
    Status,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum SearchAnswer {
    Found(Found),
    Status(SearchStatus),
    Replay {
        /// The last one since the worker began, under way or ended.
        last: Option<SearchReplaying>,
    },
    /// The query can't be answered: its sense is wrong, or the index fails.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The best first.
    pub hits: Vec<Hit>,
    /// Whether more lie behind them.
    pub more: bool,
    /// Whether the index has everything that the log had a moment ago.
    pub complete: bool,
    /// Of what moment the answer is, by the broker's clock: that of the newest entry in the index, or the one that was asked for.
    pub as_of: Timestamp,
}

/// A message that was found. Its text is not in the index: whoever shows it reads the row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub room: RoomSlug,
    /// Where the message was stored.
    pub seq: u64,
    pub score: f32,
}

/// How far the index is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchStatus {
    pub shards: Vec<SearchShard>,
    /// Messages in the index.
    pub documents: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// It is being made from the beginning of the log, so that older messages are not found yet.
    pub rebuilding: bool,
}

/// How far the index is in one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchShard {
    pub shard: Shard,
    pub stream: StreamIdentity,
    /// Up to which sequence the log is in the index.
    pub applied: u64,
    /// Entries of the shard's stream after that; 0 when no event is among them.
    pub lag_entries: u64,
    /// How long ago the first event that is not in the index was stored, in seconds.
    pub lag_seconds: u64,
}

/// How far an index has been made anew beside the one that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchReplaying {
    pub began_at: Timestamp,
    /// When it took the place of the other; nothing while it is under way.
    pub ended_at: Option<Timestamp>,
    /// How much is done, and of how much: in sequences of all shards together.
    pub done: u64,
    pub of: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> Wanted {
        Wanted::Word(text.to_owned())
    }

    #[test]
    fn words_phrases_and_beginnings_are_told_apart() {
        let search = Search::parse(r#"tea "hot milk" pre* week-end «au lait» *"#, 0).unwrap();
        assert_eq!(
            search.wanted,
            [
                word("tea"),
                Wanted::Phrase("hot milk".into()),
                Wanted::Prefix("pre".into()),
                word("week-end"),
                Wanted::Phrase("au lait".into()),
                word("*"),
            ]
        );
        assert_eq!(Search::parse("\"not closed", 0).unwrap().wanted, [Wanted::Phrase("not closed".into())]);
        assert_eq!(Search::parse("http://a:b", 0).unwrap().wanted, [word("http://a:b")]);
    }

    #[test]
    fn operators_name_people_rooms_and_days() {
        let search = Search::parse(
            "From:@ada from:\"Ada Lovelace\" in:#tea_x7qa after:2026-11-25 before:2026-11-26",
            60,
        );
        let search = search.unwrap();
        assert_eq!(search.from, ["ada", "Ada Lovelace"]);
        assert_eq!(search.rooms, ["tea_x7qa"]);
        assert_eq!(search.since, Timestamp::parse("2026-11-24T23:00:00Z").ok());
        assert_eq!(search.before, Timestamp::parse("2026-11-25T23:00:00Z").ok());
        assert!(search.wanted.is_empty());
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        for (text, why) in [
            ("", BadSearch::Empty),
            ("  \"\" ", BadSearch::Empty),
            ("from:", BadSearch::Nothing(Operator::From)),
            ("tea in:#", BadSearch::Nothing(Operator::In)),
            ("before:tomorrow", BadSearch::NoDay(Operator::Before)),
            ("after:2026-02-30", BadSearch::NoDay(Operator::After)),
            ("after:2026-11-26T00", BadSearch::NoDay(Operator::After)),
        ] {
            assert_eq!(Search::parse(text, 0), Err(why), "{text}");
        }
        assert_eq!(Search::parse(&"a ".repeat(17), 0), Err(BadSearch::TooMany));
        assert_eq!(Search::parse(&"a".repeat(501), 0), Err(BadSearch::TooLong));
    }

    #[test]
    fn what_is_looked_for_is_in_no_log() {
        let search = Search::parse("secret \"very secret\" secr*", 0).unwrap();
        assert!(!format!("{search:?}").contains("secr"), "{search:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_search_or_not(text in ".{0,600}", zone in any::<i32>()) {
            if let Ok(search) = Search::parse(&text, zone) {
                let parts = search.wanted.len() + search.from.len() + search.rooms.len();
                prop_assert!(parts <= SEARCH_PARTS_MAX);
            }
        }

        #[test]
        fn any_words_and_operators_are_a_search_or_not(
            parts in prop::collection::vec("(from:|in:|before:|after:|\"|“|a\\*|2026-11-26|é| ){1,5}", 0..8),
        ) {
            let _ = Search::parse(&parts.concat(), 0);
        }
    }
}
