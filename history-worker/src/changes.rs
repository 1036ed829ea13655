//! What edits, deletions and reactions do to the rows of messages. Pure. Their meaning is that of `protocol::view::fold`.

use std::collections::BTreeMap;

use protocol::{Body, Event, Reaction, RoomSlug, StoredEvent, Target, Timestamp, UserId};

/// Reactions that are taken for one message, whether they were taken back or not: a bound on its rows.
const REACTIONS_MAX: u64 = 2_000;

/// What is kept of an event under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The number of its row; 0 for a change, which has none.
    pub number: u64,
    pub seq: u64,
    pub is_message: bool,
    /// The sequences of a message's edits.
    pub edits: Vec<u64>,
    pub erased: bool,
    /// How many reactions were taken for it.
    pub reactions: u64,
}

impl Sent {
    /// Of an event with a row of its own.
    pub fn row(number: u64, event: &StoredEvent) -> Self {
        let is_message = matches!(event.event, Event::Message { .. });
        Self { number, seq: event.seq, is_message, edits: Vec::new(), erased: false, reactions: 0 }
    }

    /// Of a change of another event.
    pub const fn change(seq: u64) -> Self {
        Self { number: 0, seq, is_message: false, edits: Vec::new(), erased: false, reactions: 0 }
    }
}

/// A row's place.
pub type Place = (RoomSlug, u64);

/// What a batch changes in rows, each row once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New texts, and since when.
    pub edited: BTreeMap<Place, (Body, Timestamp)>,
    /// Messages that are gone, with the hash of what they said.
    pub erased: BTreeMap<Place, String>,
    pub reactions: BTreeMap<(Place, Reaction, UserId), Given>,
    /// Every change that was applied, for those who come back behind it.
    pub applied: Vec<Applied>,
    /// Sequences of the log whose text is to be taken out of it.
    pub texts_to_erase: Vec<u64>,
    /// Changes of messages that are not there, are gone, or are somebody else's to edit; reactions above the bound.
    pub ignored: u64,
}

/// What becomes of a reaction's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It is there from this sequence on, unless it is there already.
    AtLeastFrom(u64),
    /// It is there from this sequence on, whatever was before.
    From(u64),
    TakenBack,
}

/// A change with the number of the row that it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub room: RoomSlug,
    pub number: u64,
    pub event: StoredEvent,
}

impl Changes {
    /// Applies a change to the message whose state is `target`, and gives the state after it if that is another.
    pub fn take(&mut self, room: &RoomSlug, target: Option<Sent>, event: &StoredEvent) -> Option<Sent> {
        let after =
            target.filter(|sent| fits(sent, &event.event)).and_then(|sent| self.apply(room, sent, event));
        match &after {
            Some(sent) => {
                self.applied.push(Applied { room: room.clone(), number: sent.number, event: event.clone() });
            }
            None => {
                self.ignored += 1;
                // The text of an edit that came too late is no less deleted than the message.
                if matches!(event.event, Event::Edited { .. }) {
                    self.texts_to_erase.push(event.seq);
                }
            }
        }
        after
    }

    fn apply(&mut self, room: &RoomSlug, mut sent: Sent, stored: &StoredEvent) -> Option<Sent> {
        let place = (room.clone(), sent.number);
        match &stored.event {
            Event::Edited { body, .. } => {
                sent.edits.push(stored.seq);
                self.edited.insert(place, (body.clone(), stored.at));
            }
            Event::Deleted { hash, .. } => {
                sent.erased = true;
                self.texts_to_erase.push(sent.seq);
                self.texts_to_erase.append(&mut sent.edits);
                self.edited.remove(&place);
                self.reactions.retain(|(of, ..), _| *of != place);
                self.erased.insert(place, hash.clone());
            }
            Event::Reacted { author, reaction, on, .. } => {
                if *on && sent.reactions >= REACTIONS_MAX {
                    return None;
                }
                sent.reactions += u64::from(*on);
                let key = (place, reaction.clone(), *author);
                let given = given(self.reactions.get(&key), *on, stored.seq);
                self.reactions.insert(key, given);
            }
            _ => return None,
        }
        Some(sent)
    }
}

fn given(before: Option<&Given>, on: bool, seq: u64) -> Given {
    match (on, before) {
        (false, _) => Given::TakenBack,
        (true, None) => Given::AtLeastFrom(seq),
        (true, Some(Given::TakenBack)) => Given::From(seq),
        (true, Some(already)) => *already,
    }
}

/// Whether an event may change this.
fn fits(sent: &Sent, event: &Event) -> bool {
    let Some(Target { seq, author, .. }) = event.target() else { return false };
    let by_right = !matches!(event, Event::Edited { .. }) || author == event.author();
    sent.is_message && !sent.erased && sent.seq == seq && by_right
}
