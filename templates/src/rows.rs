//! Rows of the message list: what the services give and what the templates show.

use crate::text::{body_html, colour_of, initials, is_emoji_only, is_long};

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

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKind {
    Message(MessageRow),
    Erased { row: bool },
    Edited { target: String, text: String },
    Deleted { target: String },
    Reacted { target: String, reaction: String, on: bool },
    Joined,
    Left,
    Created { room_name: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageRow {
    pub text: String,
    pub edited_at: Option<String>,
    pub reactions: Vec<ReactionRow>,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactionRow {
    pub reaction: String,
    pub count: u64,
    pub by: Vec<PersonRow>,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonRow {
    pub id: String,
    pub name: String,
}
impl RowKind {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            RowKind::Message(_) => "message",
            RowKind::Erased { .. } => "erased",
            RowKind::Edited { .. } => "edited",
            RowKind::Deleted { .. } => "deleted",
            RowKind::Reacted { .. } => "reacted",
            RowKind::Joined => "joined",
            RowKind::Left => "left",
            RowKind::Created { .. } => "created",
        }
    }
}

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
    /// The message's text as safe HTML; `None` for other kinds.
    pub body: Option<Body>,
}

#[derive(Debug)]
pub(crate) struct Body {
    pub html: String,
    pub emoji: bool,
    pub long: bool,
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
                RowKind::Message(MessageRow { text, .. }) => {
                    Some(Body { html: body_html(text), emoji: is_emoji_only(text), long: is_long(text) })
                }
                _ => None,
            },
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
    use super::{EventRow, Row, RowKind};

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
        row(seq, at, author, RowKind::Message("x".to_owned()))
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
