//! Events and rows in the words of the two formats: frames for programs, rows for templates.

use crate::{
    history::NamedRow,
    room::shown::{Entry, Shown},
};
use protocol::{
    Event, Text, Timestamp,
    frame::{EventFrame, EventHead, MessageFrame, Person, PresenceFrame},
    view::What,
};
use templates::{EventRow, MessageRow, PersonRow, PresenceView, ReactionRow, RowKind};

/// An event of the log as a frame.
pub fn event_frame(shown: &Shown) -> EventFrame {
    let head = EventHead {
        seq: shown.seq,
        prev: shown.prev,
        id: shown.what.id(),
        author: Person { id: shown.what.author(), name: shown.author_name.clone() },
        at: shown.at,
    };
    let event = match &shown.what {
        Entry::Event(event) => event.clone(),
        Entry::Erased { .. } => return EventFrame::Erased(head),
    };
    match event.body() {
        Some(Text::Erased) => return EventFrame::Erased(head),
        Some(Text::Unopened) => return EventFrame::Unopened(head),
        Some(Text::Plain(_)) | None => {}
    }
    match event {
        Event::Message { body, .. } => EventFrame::Message(MessageFrame {
            head,
            body: body.as_str().to_owned(),
            edited_at: None,
            reactions: Vec::new(),
        }),
        Event::Created { name, .. } => EventFrame::Created { head, name },
        Event::Joined { .. } => EventFrame::Joined(head),
        Event::Left { .. } => EventFrame::Left(head),
        Event::Retention { keep, .. } => EventFrame::Retention { head, keep },
        Event::Expired { target, .. } => EventFrame::Expired { head, upto: target.seq },
        Event::UserErased { .. } => EventFrame::UserErased(head),
        Event::Unreadable { .. } => EventFrame::Unreadable(head),
        // Members are shown out before they are given it.
        Event::RoomErased { .. } => EventFrame::Erased(head),
        Event::Edited { target, body, .. } => {
            EventFrame::Edited { head, target: target.id, body: body.as_str().to_owned() }
        }
        Event::Deleted { target, .. } => EventFrame::Deleted { head, target: target.id },
        Event::Reacted { target, reaction, on, .. } => {
            EventFrame::Reacted { head, target: target.id, reaction, on }
        }
    }
}

/// A row of a page as a frame.
pub fn row_frame(named: &NamedRow) -> EventFrame {
    let NamedRow { row, prev, author, reactions } = named;
    let head = EventHead { seq: row.seq, prev: *prev, id: row.id, author: author.clone(), at: row.at };
    match &row.what {
        What::Created { name } => EventFrame::Created { head, name: name.clone() },
        What::Joined => EventFrame::Joined(head),
        What::Left => EventFrame::Left(head),
        What::Retention { keep } => EventFrame::Retention { head, keep: *keep },
        What::UserErased => EventFrame::UserErased(head),
        What::Erased => EventFrame::Erased(head),
        What::Unopened => EventFrame::Unopened(head),
        What::Unreadable => EventFrame::Unreadable(head),
        What::Message(content) => EventFrame::Message(MessageFrame {
            head,
            body: content.body.as_str().to_owned(),
            edited_at: content.edited_at,
            reactions: reactions.clone(),
        }),
    }
}

/// An event of the log for the templates.
pub fn event_row(shown: &Shown) -> EventRow {
    let kind = match &shown.what {
        Entry::Erased { is_message, .. } => RowKind::Erased { row: *is_message },
        Entry::Event(event) => match event {
            Event::Message { body: Text::Erased, .. } => RowKind::Erased { row: true },
            Event::Edited { body: Text::Erased, .. } => RowKind::Erased { row: false },
            Event::Message { body: Text::Unopened, .. } => RowKind::Unopened { target: None },
            Event::Edited { target, body: Text::Unopened, .. } => {
                RowKind::Unopened { target: Some(target.id.to_string()) }
            }
            Event::Message { body, .. } => {
                RowKind::Message(MessageRow { text: body.as_str().to_owned(), ..MessageRow::default() })
            }
            Event::Created { name, .. } => RowKind::Created { room_name: name.clone() },
            Event::Joined { .. } => RowKind::Joined,
            Event::Left { .. } => RowKind::Left,
            Event::Retention { keep, .. } => RowKind::Retention { days: keep.get() },
            Event::Expired { target, .. } => RowKind::Expired { upto: target.seq },
            Event::UserErased { .. } => RowKind::UserErased,
            Event::RoomErased { .. } => RowKind::Erased { row: false },
            Event::Unreadable { .. } => RowKind::Unreadable,
            Event::Edited { target, body, .. } => {
                RowKind::Edited { target: target.id.to_string(), text: body.as_str().to_owned() }
            }
            Event::Deleted { target, .. } => RowKind::Deleted { target: target.id.to_string() },
            Event::Reacted { target, reaction, on, .. } => RowKind::Reacted {
                target: target.id.to_string(),
                reaction: reaction.as_str().to_owned(),
                on: *on,
            },
        },
    };
    EventRow {
        seq: shown.seq,
        prev: shown.prev,
        id: shown.what.id().to_string(),
        at: shown.at.to_string(),
        author_id: shown.what.author().to_string(),
        author_name: shown.author_name.clone(),
        kind,
    }
}

/// A row of a page for the templates.
pub fn row(named: &NamedRow) -> EventRow {
    let NamedRow { row, prev, author, reactions } = named;
    let kind = match &row.what {
        What::Created { name } => RowKind::Created { room_name: name.clone() },
        What::Joined => RowKind::Joined,
        What::Left => RowKind::Left,
        What::Retention { keep } => RowKind::Retention { days: keep.get() },
        What::UserErased => RowKind::UserErased,
        What::Erased => RowKind::Erased { row: true },
        What::Unopened => RowKind::Unopened { target: None },
        What::Unreadable => RowKind::Unreadable,
        What::Message(content) => RowKind::Message(MessageRow {
            text: content.body.as_str().to_owned(),
            edited_at: content.edited_at.as_ref().map(Timestamp::to_string),
            reactions: reactions.iter().map(reaction_row).collect(),
        }),
    };
    EventRow {
        seq: row.seq,
        prev: *prev,
        id: row.id.to_string(),
        at: row.at.to_string(),
        author_id: author.id.to_string(),
        author_name: author.name.clone(),
        kind,
    }
}

pub fn person(person: &Person) -> PersonRow {
    PersonRow { id: person.id.to_string(), name: person.name.clone() }
}

/// Who is present, for the templates.
pub fn presence(presence: &PresenceFrame) -> PresenceView {
    let people = |people: &[Person]| people.iter().map(person).collect();
    PresenceView {
        count: presence.count,
        is_whole: presence.present.is_some(),
        came: people(presence.present.as_ref().unwrap_or(&presence.came)),
        went: people(&presence.went),
    }
}

fn reaction_row(given: &protocol::frame::ReactionFrame) -> ReactionRow {
    ReactionRow {
        reaction: given.reaction.as_str().to_owned(),
        count: given.count,
        by: given.by.iter().map(person).collect(),
    }
}
