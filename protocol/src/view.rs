//! A page of a room as it is now: rows, with what happened to them since. The one home of what edits, deletions and
//! reactions mean; whoever shows a page folds events with it.

use crate::{
    Event, KeepDays, MessageId, Reaction, SealedText, StoredEvent, Target, Text, Timestamp, UserId,
    event::SealedReaction, limits,
};
use serde::{Deserialize, Serialize};

/// Something that has a place of its own in a room's list; like an event, in the open or sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row<Title = String, Body = Text, Emoji = Reaction> {
    pub seq: u64,
    pub at: Timestamp,
    pub id: MessageId,
    pub author: UserId,
    #[serde(flatten)]
    pub what: What<Title, Body, Emoji>,
}

/// A row as the database holds it.
pub type SealedRow = Row<SealedText, SealedText, SealedReaction>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What<Title = String, Body = Text, Emoji = Reaction> {
    Created {
        name: Title,
    },
    Joined,
    Left,
    /// From here on the room keeps things for so long.
    Retention {
        keep: KeepDays,
    },
    /// Here everything that its author wrote was erased.
    UserErased,
    Message(Content<Body, Emoji>),
    /// Something that this version can't read.
    Unreadable,
    /// A message that was deleted, or whose key was: nothing but its place is left.
    Erased,
    /// A message whose text can't be opened, though its keys are there: [`Text::Unopened`].
    Unopened,
}

/// A message as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content<Body = Text, Emoji = Reaction> {
    pub body: Body,
    /// When it was edited last, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// In the order in which each was first given, at most [`limits::REACTIONS_SHOWN_MAX`].
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reactors<Emoji>>,
}

/// Who gave one reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reactors<Emoji = Reaction> {
    pub reaction: Emoji,
    /// How many people gave it.
    pub count: u64,
    /// The first of them, in the order of giving, at most [`limits::PEOPLE_NAMED_MAX`].
    pub by: Vec<UserId>,
}

impl<Title: Clone, Body: Clone, Emoji> Row<Title, Body, Emoji> {
    /// The row that an event makes; `None` for one that changes another row.
    pub fn of<E>(stored: &StoredEvent<Event<Title, Body, E>>) -> Option<Self> {
        let what = match &stored.event {
            Event::Created { name, .. } => What::Created { name: name.clone() },
            Event::Joined { .. } => What::Joined,
            Event::Left { .. } => What::Left,
            Event::Retention { keep, .. } => What::Retention { keep: *keep },
            Event::UserErased { .. } => What::UserErased,
            Event::Unreadable { .. } => What::Unreadable,
            Event::Message { body, .. } => {
                What::Message(Content { body: body.clone(), edited_at: None, reactions: Vec::new() })
            }
            Event::Edited { .. }
            | Event::Deleted { .. }
            | Event::Reacted { .. }
            | Event::Expired { .. }
            | Event::RoomErased { .. } => return None,
        };
        let (seq, at) = (stored.seq, stored.at);
        Some(Self { seq, at, id: stored.event.id(), author: stored.event.author(), what })
    }

    const fn erased(target: Target, at: Timestamp) -> Self {
        Self { seq: target.seq, at, id: target.id, author: target.author, what: What::Erased }
    }
}

impl What {
    /// A message without a text to show is a place alone: for a page that is about to be shown.
    #[must_use]
    pub fn settled(self) -> Self {
        match self {
            Self::Message(Content { body: Text::Erased, .. }) => Self::Erased,
            Self::Message(Content { body: Text::Unopened, .. }) => Self::Unopened,
            other => other,
        }
    }
}

/// Takes the next event of a room into consecutive rows, oldest first: it adds a row, changes a message before it, or ends what is
/// too old. What changes
/// a row that is not among them changes nothing, but a deletion marks the place of its message between the rows, since its log
/// entry may be gone.
pub fn fold<Title, Body, Emoji>(
    rows: &mut Vec<Row<Title, Body, Emoji>>,
    stored: &StoredEvent<Event<Title, Body, Emoji>>,
) where
    Title: Clone,
    Body: Clone,
    Emoji: Clone + PartialEq,
{
    if let Some(row) = Row::of(stored) {
        rows.push(row);
        return;
    }
    let before = |target: &Target| target.seq < stored.seq;
    let Some(target) = stored.event.target().filter(before) else { return };
    if let Some(seq) = stored.event.expires() {
        rows.drain(..rows.partition_point(|row| row.seq <= seq));
        return;
    }
    match (rows.binary_search_by_key(&target.seq, |row| row.seq), &stored.event) {
        (Err(place), Event::Deleted { of, .. }) if place > 0 => rows.insert(place, Row::erased(target, *of)),
        (Err(_), _) => {}
        (Ok(place), event) => match (&mut rows[place].what, event) {
            (what @ What::Message(_), Event::Deleted { .. }) => *what = What::Erased,
            (What::Message(content), event) => content.take(event, stored.at),
            _ => {}
        },
    }
}

impl<Body: Clone, Emoji: Clone + PartialEq> Content<Body, Emoji> {
    fn take<Title>(&mut self, event: &Event<Title, Body, Emoji>, at: Timestamp) {
        match event {
            Event::Edited { body, .. } => {
                self.body = body.clone();
                self.edited_at = Some(at);
            }
            Event::Reacted { author, reaction, on: true, .. } => self.react(*author, reaction),
            Event::Reacted { author, reaction, on: false, .. } => {
                self.take_back(*author, reaction);
            }
            _ => {}
        }
    }

    /// Counts a person's reaction in, once.
    pub fn react(&mut self, user: UserId, reaction: &Emoji) {
        let place = self.reactions.iter().position(|known| known.reaction == *reaction);
        let known = match place {
            Some(place) => &mut self.reactions[place],
            None if self.reactions.len() >= limits::REACTIONS_SHOWN_MAX => return,
            None => {
                self.reactions.push(Reactors { reaction: reaction.clone(), count: 0, by: Vec::new() });
                let last = self.reactions.len() - 1;
                &mut self.reactions[last]
            }
        };
        if known.by.contains(&user) {
            return;
        }
        known.count += 1;
        if known.by.len() < limits::PEOPLE_NAMED_MAX {
            known.by.push(user);
        }
    }

    fn take_back(&mut self, user: UserId, reaction: &Emoji) {
        let Some(place) = self.reactions.iter().position(|known| known.reaction == *reaction) else { return };
        let known = &mut self.reactions[place];
        let named = known.by.len();
        known.by.retain(|by| *by != user);
        // Whoever is beyond the named ones is counted alone.
        if known.by.len() < named || known.count > named as u64 {
            known.count -= 1;
        }
        if known.count == 0 {
            self.reactions.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    fn stored(seq: u64, event: Event) -> StoredEvent {
        StoredEvent { seq, at: Timestamp::from_millis(seq.cast_signed()), event }
    }
    fn message(seq: u64, author: UserId) -> (StoredEvent, Target) {
        let id = MessageId::new();
        let body = Body::parse("v1").unwrap().into();
        (stored(seq, Event::Message { id, author, body }), Target { id, author, seq })
    }
    fn deleted(seq: u64, target: Target) -> StoredEvent {
        let (id, of) = (MessageId::new(), Timestamp::from_millis(target.seq.cast_signed()));
        stored(seq, Event::Deleted { id, author: target.author, target, of, hash: String::new() })
    }
    fn edited(seq: u64, target: Target, body: &str) -> StoredEvent {
        let body = Body::parse(body).unwrap().into();
        stored(seq, Event::Edited { id: MessageId::new(), author: target.author, target, body })
    }
    fn reacted(seq: u64, author: UserId, target: Target, reaction: &str, on: bool) -> StoredEvent {
        let reaction = Reaction::parse(reaction).unwrap();
        stored(seq, Event::Reacted { id: MessageId::new(), author, target, reaction, on })
    }
    fn folded(events: &[StoredEvent]) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        events.iter().for_each(|event| fold(&mut rows, event));
        rows
    }
    fn content(row: &Row) -> &Content {
        match &row.what {
            What::Message(content) => content,
            other => panic!("no message: {other:?}"),
        }
    }

    #[test]
    fn the_last_edit_stands_in_the_old_place() {
        let me = UserId::new();
        let ((first, target), (second, _)) = (message(1, me), message(2, me));
        let rows = folded(&[first, second, edited(3, target, "v2"), edited(4, target, "v3")]);
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(content(&rows[0]).body.as_str(), "v3");
        assert_eq!(content(&rows[0]).edited_at, Some(Timestamp::from_millis(4)));
        assert_eq!(content(&rows[1]).edited_at, None);
    }

    #[test]
    fn what_is_deleted_stays_deleted() {
        let (first, target) = message(1, UserId::new());
        let rows = folded(&[first, deleted(2, target), edited(3, target, "back?")]);
        assert_eq!(rows[0].what, What::Erased);
    }

    #[test]
    fn a_message_whose_entry_is_gone_leaves_the_same_rows() {
        let me = UserId::new();
        let ((first, _), (second, target), (third, _)) = (message(1, me), message(2, me), message(3, me));
        let whole = folded(&[first.clone(), second, third.clone(), deleted(4, target)]);
        let without = folded(&[first, third, deleted(4, target)]);
        assert_eq!(whole, without);
    }

    #[test]
    fn what_has_expired_is_gone_and_what_comes_after_stays() {
        let me = UserId::new();
        let ((first, _), (second, target), (third, _)) = (message(1, me), message(2, me), message(3, me));
        let of = Timestamp::from_millis(3);
        let expired =
            Event::Expired { id: MessageId::new(), author: me, target, of, keep: KeepDays::FOREVER };
        let rows = folded(&[first, second, third.clone(), stored(4, expired), deleted(5, target)]);
        assert_eq!(rows, folded(&[third]));
    }

    #[test]
    fn an_event_changes_only_a_message_before_it() {
        let me = UserId::new();
        let (id, joined) = (MessageId::new(), Event::Joined { id: MessageId::new(), author: me });
        let target = |seq| Target { id, author: me, seq };
        let rows = [stored(1, joined.clone()), stored(4, joined)];
        let strange = [rows[0].clone(), deleted(2, target(9)), deleted(3, target(1)), rows[1].clone()];
        assert_eq!(folded(&strange), folded(&rows));
    }

    #[test]
    fn a_reaction_counts_once_for_each_person() {
        let (me, you) = (UserId::new(), UserId::new());
        let (first, target) = message(1, me);
        let mut events = vec![first];
        events.extend([
            reacted(2, me, target, "👍", true),
            reacted(3, me, target, "👍", true),
            reacted(4, you, target, "👍", true),
            reacted(5, you, target, "🎉", true),
            reacted(6, you, target, "🎉", false),
            reacted(7, you, target, "🎉", false),
        ]);
        let rows = folded(&events);
        let by = vec![me, you];
        let expected = [Reactors { reaction: Reaction::parse("👍").unwrap(), count: 2, by }];
        assert_eq!(content(&rows[0]).reactions, expected);
    }
}
