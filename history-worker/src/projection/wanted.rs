//! What must be known of the database before a batch can be projected: first ids and rooms, then what they lead to.

use std::collections::{HashMap, HashSet};

use protocol::{Event, RoomSlug, SealedStored, Target};

use super::{Entry, Mark, Place, Sent, SentKey};

/// What [`super::project`] must know beside rooms and ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub kept: HashSet<Place>,
    pub marks: HashSet<Mark>,
    /// Messages (by sequence) whose texts in the log are to be known.
    pub texts: HashSet<(RoomSlug, u64)>,
}

/// The rooms about which [`super::project`] must know, and the ids: of what gets a number, and of what is changed.
pub fn asked(entries: &[Entry]) -> (HashSet<RoomSlug>, HashSet<SentKey>) {
    let events = events(entries).map(|(room, stored)| {
        let key = match stored.event.target() {
            Some(target) => SentKey::of_target(room, target),
            None => SentKey::of(room, &stored.event),
        };
        (room.clone(), key)
    });
    events.unzip()
}

/// What else it must know, now that it is known where the ids are.
pub fn wanted(entries: &[Entry], sent: &HashMap<SentKey, Sent>) -> Wanted {
    let mut wanted = Wanted::default();
    for (room, stored) in events(entries) {
        match stored.event.target() {
            Some(target) => wanted.add_change(room, stored, (target, sent)),
            None if matches!(stored.event, Event::Message { .. }) => {
                let copied = sent.get(&SentKey::of(room, &stored.event));
                wanted.kept.extend(copied.map(|sent| Place::new(room, sent.number)));
            }
            None => {}
        }
    }
    wanted
}

fn events(entries: &[Entry]) -> impl Iterator<Item = (&RoomSlug, &SealedStored)> {
    entries.iter().filter_map(Entry::event)
}

impl Wanted {
    fn add_change(
        &mut self,
        room: &RoomSlug,
        stored: &SealedStored,
        (target, sent): (Target, &HashMap<SentKey, Sent>),
    ) {
        let found = sent.get(&SentKey::of_target(room, target));
        let place = found.map(|sent| Place::new(room, sent.number));
        if let (Event::Reacted { author, reaction, .. }, Some(place)) = (&stored.event, &place) {
            let (place, tag, user) = (place.clone(), reaction.tag, *author);
            self.marks.insert(Mark { place, tag, user });
        }
        self.kept.extend(place);
        if matches!(stored.event, Event::Deleted { .. }) {
            self.texts.insert((room.clone(), target.seq));
            self.texts.extend(found.map(|sent| (room.clone(), sent.seq)));
        }
    }
}
