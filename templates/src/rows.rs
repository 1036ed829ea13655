//! Rows of the message list: what the services give and what the templates show.

use crate::Words;
use crate::text::{body_html, colour_of, initials, is_emoji_only, is_long};

/// The reactions that a row offers.
pub(crate) const QUICK_REACTIONS: [&str; 8] = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👀"];

/// An event of a room as a row shows it.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// The event's sequence in its stream.
    pub seq: u64,
    /// The sequence of the room's event before this one; 0 when there is none.
    pub prev: u64,
    /// The event's id, which is also the id of the row's element.
    pub id: String,
    /// RFC 3339 with milliseconds, UTC.
    pub at: String,
    pub author_id: String,
    pub author_name: String,
    pub kind: RowKind,
}

/// What happened. A page has rows alone; what changes another row comes over the socket
/// and is written as a *change*: an element that is never shown and that the page's
/// script applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKind {
    Message(MessageRow),
    /// A message, or a change of one, whose content is gone. With `row`, a message stood
    /// here and a quiet row says so; without, nothing is shown.
    Erased {
        row: bool,
    },
    /// A message whose text could not be opened: a quiet row says so. With `target`, an edit of that message: a change.
    Unopened {
        target: Option<String>,
    },
    /// The message `target` has a new text. A change.
    Edited {
        target: String,
        text: String,
    },
    /// The message `target` is gone. A change.
    Deleted {
        target: String,
    },
    /// The author gave the message `target` a reaction, or took it back. A change.
    Reacted {
        target: String,
        /// One emoji.
        reaction: String,
        on: bool,
    },
    Joined,
    Left,
    /// The author told the room for how many days to keep things; 0 for ever.
    Retention {
        days: u16,
    },
    /// Everything up to a sequence is gone. A change.
    Expired {
        upto: u64,
    },
    /// Something that this version can't read.
    Unreadable,
    /// Everything that the author wrote was erased, and they are gone for good.
    UserErased,
    Created {
        room_name: String,
    },
}

/// A message as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageRow {
    /// As its author wrote it: no markup.
    pub text: String,
    /// When the text was changed last; RFC 3339 with milliseconds, UTC.
    pub edited_at: Option<String>,
    /// In the order in which each was first given.
    pub reactions: Vec<ReactionRow>,
}

/// Who reacted to a message with one emoji.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactionRow {
    pub reaction: String,
    /// How many people; more than `by` names when they are many.
    pub count: u64,
    pub by: Vec<PersonRow>,
}

/// A person beside their work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonRow {
    pub id: String,
    pub name: String,
}

impl ReactionRow {
    /// The ids of the people who are named, with a space between two.
    pub(crate) fn ids(&self) -> String {
        joined(self.by.iter().map(|person| person.id.as_str()), " ")
    }

    /// The names of the people, one a line, and how many more there are.
    pub(crate) fn names(&self, w: &Words) -> String {
        let named = self.by.len() as u64;
        let more = (self.count > named).then(|| w.and_more(self.count - named));
        joined(self.by.iter().map(|person| person.name.as_str()).chain(more.as_deref()), "\n")
    }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

impl RowKind {
    /// What the page's script calls it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            RowKind::Message(_) => "message",
            RowKind::Erased { .. } => "erased",
            RowKind::Unopened { .. } => "unopened",
            RowKind::Edited { .. } => "edited",
            RowKind::Deleted { .. } => "deleted",
            RowKind::Reacted { .. } => "reacted",
            RowKind::Joined => "joined",
            RowKind::Left => "left",
            RowKind::Unreadable => "unreadable",
            RowKind::Retention { .. } => "retention",
            RowKind::Expired { .. } => "expired",
            RowKind::UserErased => "user_erased",
            RowKind::Created { .. } => "created",
        }
    }

    /// Whether it has no row of its own.
    pub(crate) fn is_change(&self) -> bool {
        matches!(
            self,
            RowKind::Erased { row: false }
                | RowKind::Unopened { target: Some(_) }
                | RowKind::Edited { .. }
                | RowKind::Deleted { .. }
                | RowKind::Reacted { .. }
                | RowKind::Expired { .. }
        )
    }

    /// The message that a change is about.
    pub(crate) fn target(&self) -> Option<&str> {
        match self {
            RowKind::Edited { target, .. }
            | RowKind::Unopened { target: Some(target) }
            | RowKind::Deleted { target }
            | RowKind::Reacted { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// What stands for the name of a person who is not known, or was erased.
const NAMELESS: &str = "?";

/// A row with everything that the template writes.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub event: &'a EventRow,
    /// Goes on with what the row above it began: no avatar, no name.
    pub run: bool,
    /// The time in UTC as `HH:MM`, for a page without its script.
    pub time: &'a str,
    pub initials: String,
    pub colour: u8,
    /// The text of a message or of an edit; `None` for other kinds.
    pub body: Option<Body>,
    /// The reactions of a message.
    pub reactions: &'a [ReactionRow],
}

/// A text, ready to be written.
#[derive(Debug)]
pub(crate) struct Body {
    /// Safe HTML.
    pub html: String,
    pub emoji: bool,
    pub long: bool,
    /// When it was written, if it is not the first text of its message.
    pub edited_at: Option<String>,
}

impl Body {
    fn new(text: &str, edited_at: Option<&String>) -> Self {
        let edited_at = edited_at.cloned();
        Self { html: body_html(text), emoji: is_emoji_only(text), long: is_long(text), edited_at }
    }
}

impl<'a> Row<'a> {
    pub(crate) fn new(event: &'a EventRow, above: Option<&EventRow>) -> Self {
        Self {
            event,
            run: above.is_some_and(|above| continues_run(above, event)),
            time: event.at.get(11..16).unwrap_or_default(),
            initials: initials(&event.author_name),
            colour: colour_of(&event.author_id),
            body: match &event.kind {
                RowKind::Message(message) => Some(Body::new(&message.text, message.edited_at.as_ref())),
                RowKind::Edited { text, .. } => Some(Body::new(text, Some(&event.at))),
                _ => None,
            },
            reactions: match &event.kind {
                RowKind::Message(message) => &message.reactions,
                _ => &[],
            },
        }
    }

    /// The author's name, as far as there is one to show.
    pub(crate) fn who<'b>(&'b self, w: &'b Words) -> &'b str {
        let is_known = self.event.author_name != NAMELESS && self.event.kind != RowKind::UserErased;
        if is_known { &self.event.author_name } else { w.somebody }
    }

    /// What its author did who told the room how long to keep things; empty for other kinds.
    pub(crate) fn retention(&self, w: &Words) -> String {
        match self.event.kind {
            RowKind::Retention { days } => w.retention(days),
            _ => String::new(),
        }
    }

    /// Rows for consecutive events, oldest first.
    pub(crate) fn all(events: &'a [EventRow]) -> Vec<Self> {
        let above = std::iter::once(None).chain(events.iter().map(Some));
        events.iter().zip(above).map(|(event, above)| Row::new(event, above)).collect()
    }
}

/// How far apart two messages of one run may be, in seconds.
const RUN_GAP_SECS_MAX: u64 = 300;

/// Whether `row` goes on with the run of the row above: two messages of one author
/// within five minutes. `static/room/rows.js` has the same rule.
fn continues_run(above: &EventRow, row: &EventRow) -> bool {
    let messages = matches!(above.kind, RowKind::Message(_)) && matches!(row.kind, RowKind::Message(_));
    messages
        && above.author_id == row.author_id
        && seconds_of(&above.at)
            .zip(seconds_of(&row.at))
            .is_some_and(|(before, after)| after >= before && after - before <= RUN_GAP_SECS_MAX)
}

/// Seconds on a line on which days follow each other (but months do not), of an
/// RFC 3339 time in UTC. Good for differences of minutes; at the end of a month
/// two times are merely too far apart, and the author is named once more.
fn seconds_of(at: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| at.get(range)?.parse::<u64>().ok();
    let days = (number(0..4)? * 12 + number(5..7)?) * 32 + number(8..10)?;
    Some(days * 86_400 + number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?)
}

#[cfg(test)]
mod tests {
    use super::{EventRow, MessageRow, PersonRow, ReactionRow, Row, RowKind};
    use crate::words::{EN, FR};

    fn row(seq: u64, at: &str, author: &str, kind: RowKind) -> EventRow {
        EventRow {
            seq,
            prev: seq - 1,
            id: format!("id-{seq}"),
            at: format!("2026-11-25T{at}.000Z"),
            author_id: author.to_owned(),
            author_name: author.to_owned(),
            kind,
        }
    }

    fn message(seq: u64, at: &str, author: &str) -> EventRow {
        row(seq, at, author, RowKind::Message(MessageRow { text: "x".to_owned(), ..MessageRow::default() }))
    }

    fn runs(events: &[EventRow]) -> Vec<bool> {
        Row::all(events).iter().map(|row| row.run).collect()
    }

    #[test]
    fn messages_of_one_author_within_five_minutes_are_a_run() {
        let events = [
            message(1, "09:00:00", "a"),
            message(2, "09:05:00", "a"),
            message(3, "09:10:01", "a"),
            message(4, "09:10:02", "b"),
            message(5, "09:10:03", "b"),
        ];
        assert_eq!(runs(&events), [false, true, false, false, true]);
    }

    #[test]
    fn a_run_ends_where_somebody_joins() {
        let events = [
            message(1, "09:00:00", "a"),
            row(2, "09:00:01", "a", RowKind::Joined),
            message(3, "09:00:02", "a"),
        ];
        assert_eq!(runs(&events), [false, false, false]);
    }

    #[test]
    fn a_run_ends_where_a_message_was_deleted() {
        let events = [
            message(1, "09:00:00", "a"),
            row(2, "09:00:01", "a", RowKind::Erased { row: true }),
            message(3, "09:00:02", "a"),
        ];
        assert_eq!(runs(&events), [false, false, false]);
    }

    #[test]
    fn every_reaction_on_offer_is_one_that_can_be_given() {
        for reaction in super::QUICK_REACTIONS {
            assert!(protocol::Reaction::parse(reaction).is_ok(), "{reaction}");
        }
    }

    #[test]
    fn a_reaction_names_people_and_counts_those_it_does_not_name() {
        let person = |id: &str, name: &str| PersonRow { id: id.to_owned(), name: name.to_owned() };
        let by = vec![person("a", "Ada"), person("b", "Ben, the cook")];
        let reaction = ReactionRow { reaction: "👍".to_owned(), count: 120, by };
        assert_eq!(reaction.ids(), "a b");
        assert_eq!(reaction.names(&EN), "Ada\nBen, the cook\nand 118 more");
        assert_eq!(ReactionRow { count: 2, ..reaction }.names(&FR), "Ada\nBen, the cook");
    }

    #[test]
    fn a_run_goes_over_midnight_and_not_backwards() {
        let mut events = [message(1, "23:59:00", "a"), message(2, "00:01:00", "a")];
        assert_eq!(runs(&events), [false, false]);
        events[1].at = "2026-11-26T00:01:00.000Z".to_owned();
        assert_eq!(runs(&events), [false, true]);
    }

    #[test]
    fn a_time_that_cannot_be_read_ends_a_run() {
        let mut events = [message(1, "09:00:00", "a"), message(2, "09:00:01", "a")];
        events[1].at = "é".repeat(20);
        assert_eq!(runs(&events), [false, false]);
        assert_eq!(Row::new(&events[1], None).time, "");
    }
}
