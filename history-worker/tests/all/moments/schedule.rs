//! What workers live through, one after the other: decided by a seed alone, so that it can be done again.

use std::time::Duration;

use tests::random::Random;

/// The life of one worker.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// Whether it finds a database of an older layout, from which its own has to take over.
    pub is_older: bool,
    /// Whether it is ready before anything is begun.
    pub is_ready: bool,
    /// What is begun.
    pub deeds: [Deed; 2],
    /// After that it is killed.
    pub pause: Duration,
}

/// Something that takes a while.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Replay,
    Snapshot,
    EraseRoom,
    /// Everything up to one of a room's messages has expired.
    Expire {
        place: u64,
    },
    /// Every second message is deleted.
    Delete,
}

pub fn of(seed: u64, lives: u64) -> Vec<Life> {
    let mut random = Random::seeded(seed);
    (0..lives).map(|_| life(&mut random)).collect()
}

fn life(random: &mut Random) -> Life {
    let is_older = random.between(0, 5) == 0;
    // Taking over comes before it is ready.
    let is_ready = random.between(0, 4) > 0 && !is_older;
    let deeds = [deed(random), deed(random)];
    let soon_ms = [20, 80, 300, 1_200][random.index(4)];
    let pause_ms = random.between(0, if is_older { 2 * soon_ms } else { soon_ms });
    Life { is_older, is_ready, deeds, pause: Duration::from_millis(pause_ms) }
}

fn deed(random: &mut Random) -> Deed {
    match random.between(0, 5) {
        0 => Deed::Replay,
        1 => Deed::Snapshot,
        2 => Deed::EraseRoom,
        3 => Deed::Expire { place: random.next_u64() },
        _ => Deed::Delete,
    }
}
