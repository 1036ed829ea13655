//! Numbers that a seed decides, so that a run with faults can be done again.

use std::ops::Range;

/// How often something is killed in a test that does so at random: as often as usual, or as `BACKCHAT_TEST_KILLS` says.
pub fn kills(usual: u64) -> u64 {
    set("BACKCHAT_TEST_KILLS").unwrap_or(usual)
}

/// The seeds with which a test does everything once: `BACKCHAT_TEST_SEEDS` of them, or one.
pub fn seeds() -> Range<u64> {
    let first = Random::any_seed();
    first..first.saturating_add(set("BACKCHAT_TEST_SEEDS").unwrap_or(1))
}

/// A number in the environment.
fn set(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok().filter(|given| !given.is_empty())?;
    Some(given.parse().unwrap_or_else(|_| panic!("{variable} is no number: {given}")))
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed that `BACKCHAT_TEST_SEED` names, so that a run is done again; another one at each call otherwise.
    pub fn any_seed() -> u64 {
        set("BACKCHAT_TEST_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` up to and without `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next_u64() % (to - from).max(1)
    }

    /// A place in a list of `len`, which has at least one.
    pub fn index(&mut self, len: usize) -> usize {
        self.between(0, len as u64) as usize
    }
}
