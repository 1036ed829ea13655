//! What people say in a room: logs of any size, with everything that happens in one; of one seed always the same, but for the
//! sequences of what is talked about, which the broker gives.

use protocol::{Event, MessageId, SealedEvent, Target, Timestamp, UserId};
use tests::random::Random;

use super::boxes::{boxed, reaction};

/// People in a room.
const PEOPLE: usize = 12;
/// Messages that are still talked about.
const RECENT: usize = 8;
/// When people began to talk.
const BEGAN_MS: u64 = 1_700_000_000_000;
/// Characters of the longest messages.
const LONG: usize = 4_000;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Messages of 100 bytes and nothing else.
    Plain,
    /// Of many people, in several scripts, short and long; edited, deleted, reacted to; and people come and go.
    Mixed,
}

/// The talk in one room.
pub struct Talk {
    shape: Shape,
    random: Random,
    people: [UserId; PEOPLE],
    recent: Vec<Target>,
    /// The time of the talk, in milliseconds: its ids have it, and what is deleted.
    now_ms: u64,
}

impl Talk {
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let people =
            std::array::from_fn(|_| UserId(uuid::Uuid::from_u64_pair(random.next_u64(), random.next_u64())));
        Self { shape, random, people, recent: Vec::new(), now_ms: BEGAN_MS }
    }

    /// As ids are made, from the time and something random.
    fn id(&mut self) -> MessageId {
        self.now_ms += self.random.between(1, 2_000);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random.next_u64().to_be_bytes());
        MessageId(uuid::Builder::from_unix_timestamp_millis(self.now_ms, &random).into_uuid())
    }

    /// That the room begins.
    pub fn begins(&mut self, name: &str) -> SealedEvent {
        let (id, author) = (self.id(), self.people[0]);
        Event::Created { id, author, name: boxed(id, name) }
    }

    /// What happens next.
    pub fn next(&mut self) -> SealedEvent {
        let (id, author) = (self.id(), self.people[self.random.index(PEOPLE)]);
        if self.shape == Shape::Plain {
            return Event::Message { id, author, body: boxed(id, &"x".repeat(100)) };
        }
        let kind = self.random.between(0, 100);
        let target = (!self.recent.is_empty()).then(|| self.random.index(self.recent.len()));
        match (kind, target) {
            (0, _) => Event::Joined { id, author },
            (1, _) => Event::Left { id, author },
            (2..8, Some(place)) => {
                let (target, body) = (self.recent[place], boxed(id, &self.text()));
                Event::Edited { id, author: target.author, target, body }
            }
            (8..10, Some(place)) => {
                let of = Timestamp::from_millis(self.now_ms.cast_signed());
                let target = self.recent.swap_remove(place);
                Event::Deleted { id, author: target.author, target, of, hash: "of what it was".into() }
            }
            (10..22, Some(place)) => {
                let emoji = ["👍", "🎉", "❤️", "🙏"][self.random.index(4)];
                let on = self.random.between(0, 5) > 0;
                let target = self.recent[place];
                Event::Reacted { id, author, target, reaction: reaction(id, author, emoji), on }
            }
            _ => Event::Message { id, author, body: boxed(id, &self.text()) },
        }
    }

    fn text(&mut self) -> String {
        let words = match self.random.between(0, 10) {
            0 => ["🙂", "👩‍👩‍👧", "🏳️‍🌈", "🎂"],
            1 => ["مرحبا", "بالجميع", "كيف", "الحال"],
            2 => ["東京", "都に", "行き", "ました"],
            _ => ["tea", "milk", "sugar", "later"],
        };
        let chars = if self.random.between(0, 50) == 0 { LONG } else { self.random.between(5, 200) as usize };
        let mut text = String::new();
        while text.len() < chars {
            text.push_str(words[self.random.index(words.len())]);
            text.push(' ');
        }
        text.chars().take(chars).collect()
    }

    /// Notes where it was stored.
    pub fn stored(&mut self, event: &SealedEvent, seq: u64) {
        if let Event::Message { id, author, .. } = event {
            if self.recent.len() >= RECENT {
                self.recent.remove(0);
            }
            self.recent.push(Target { id: *id, author: *author, seq });
        }
    }
}
