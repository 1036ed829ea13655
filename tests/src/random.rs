//! Numbers that a seed decides, so that a run with faults can be done again.

/// How often something is killed in a test that does so at random: as often as usual, or as `BACKCHAT_TEST_KILLS` says.
pub fn kills(usual: u64) -> u64 {
    std::env::var("BACKCHAT_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another seed at each call.
    pub fn any_seed() -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().0 >> 16
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
