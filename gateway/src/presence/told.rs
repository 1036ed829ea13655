//! What the members of a room are told of who is present and who is writing. It is a state, never a queue: whoever missed something
//! is told how it is now. Each version is encoded at most once for each wire format.

use crate::socket::{frame, wire::Format};
use bytes::Bytes;
use protocol::{
    UserId,
    frame::{Person, PresenceFrame},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// People whose writing is remembered, for sockets that look late.
const TYPING_MAX: usize = 8;

type Encoded = [OnceLock<Bytes>; Format::COUNT];

#[derive(Default)]
pub struct Told(Mutex<State>);

#[derive(Default)]
struct State {
    presence: Option<Arc<Said>>,
    typing: VecDeque<Arc<Typing>>,
    typed: u64,
}

struct Said {
    version: u64,
    whole: PresenceFrame,
    change: PresenceFrame,
    encoded: [Encoded; 2],
}

struct Typing {
    number: u64,
    user: Person,
    encoded: Encoded,
}

/// Up to where one socket was told.
#[derive(Debug, Default, Clone, Copy)]
pub struct Place {
    presence: u64,
    typed: u64,
}

impl Told {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who is present: whole, and what changed since it was said last.
    pub fn say(&self, whole: PresenceFrame, change: PresenceFrame) {
        let mut state = self.state();
        let version = state.presence.as_ref().map_or(0, |said| said.version) + 1;
        state.presence = Some(Arc::new(Said { version, whole, change, encoded: Default::default() }));
    }

    /// Says that somebody is writing.
    pub fn types(&self, user: Person) {
        let mut state = self.state();
        state.typed += 1;
        let typing = Typing { number: state.typed, user, encoded: Default::default() };
        state.typing.push_back(Arc::new(typing));
        if state.typing.len() > TYPING_MAX {
            state.typing.pop_front();
        }
    }

    /// The place of a socket that comes now: who is present is news to it, who was writing before is not.
    pub fn place(&self) -> Place {
        Place { presence: 0, typed: self.state().typed }
    }

    /// What a socket of `user` is to be told behind its place, which moves on.
    pub fn news(&self, place: &mut Place, user: UserId, format: Format) -> Vec<Bytes> {
        let state = self.state();
        let mut frames = Vec::new();
        if let Some(said) = state.presence.as_ref().filter(|said| said.version > place.presence) {
            let knows_last = place.presence > 0 && place.presence + 1 == said.version;
            frames.push(said.encoded(knows_last, format));
            place.presence = said.version;
        }
        let fresh =
            state.typing.iter().filter(|typing| typing.number > place.typed && typing.user.id != user);
        frames.extend(fresh.map(|typing| typing.encoded(format)));
        place.typed = state.typed;
        frames
    }
}

impl Said {
    fn encoded(&self, as_change: bool, format: Format) -> Bytes {
        let said = if as_change { &self.change } else { &self.whole };
        let encoded = &self.encoded[usize::from(as_change)][format.index()];
        encoded.get_or_init(|| frame::text(&format.presence(said))).clone()
    }
}

impl Typing {
    fn encoded(&self, format: Format) -> Bytes {
        self.encoded[format.index()].get_or_init(|| frame::text(&format.typing(&self.user))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Person {
        Person { id: UserId::new(), name: name.into() }
    }

    fn texts(frames: Vec<Bytes>) -> Vec<String> {
        frames.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    #[test]
    fn whoever_missed_a_change_is_told_everything() {
        let told = Told::default();
        let whole =
            |count| PresenceFrame { count, present: Some(vec![person("whole")]), ..Default::default() };
        let change = |count| PresenceFrame { count, came: vec![person("change")], ..Default::default() };
        let (mut steady, mut late) = (told.place(), told.place());
        let news = |place: &mut Place| texts(told.news(place, UserId::new(), Format::Json));
        told.say(whole(1), change(1));
        assert!(news(&mut steady)[0].contains("whole"));
        told.say(whole(2), change(2));
        assert!(news(&mut steady)[0].contains("change"));
        assert!(news(&mut late)[0].contains("whole"));
        assert!(news(&mut steady).is_empty());
    }

    #[test]
    fn nobody_is_told_of_their_own_writing_or_of_what_was_before_they_came() {
        let told = Told::default();
        let (ann, ben) = (person("Ann"), person("Ben"));
        let mut place = told.place();
        told.types(ann.clone());
        let mut later = told.place();
        told.types(ben.clone());
        assert_eq!(told.news(&mut place, ann.id, Format::Json).len(), 1);
        assert_eq!(told.news(&mut later, ann.id, Format::Json).len(), 1);
        assert!(told.news(&mut later, ann.id, Format::Json).is_empty());
    }
}
