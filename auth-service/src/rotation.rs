//! The refresh secret's life, as a pure function of what is stored, what is presented, and the time.
//!
//! A secret is replaced when it is used. Answers get lost and tabs renew at the same moment, so the secret
//! before is still good until the new one has been used; and a secret that is younger than [`GRACE_MS`] is
//! not replaced, so it is good for at least that long. Whoever presents the secret before gets *the same* new
//! one: it is derived from the old one and a number that is stored beside its hash. So two tabs always end up
//! with one secret, and the database alone gives away none.
//!
//! A secret that was replaced twice is used by nobody who received our answers: then two parties hold copies
//! of one cookie, and the session ends for both.

use data_encoding::BASE64URL_NOPAD;
use protocol::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret younger than this is not replaced, in milliseconds.
pub const GRACE_MS: i64 = 30_000;
/// Hashes of replaced secrets that a session remembers, at most. Older ones are refused like unknown ones.
pub const SPENT_MAX: usize = 20;

/// What a browser presents to renew its token: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshSecret([u8; 32]);

/// What is stored in place of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretHash(String);

/// What one secret was turned into the next with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Salt(String);

impl RefreshSecret {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn parse(text: &str) -> Option<Self> {
        BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// The secret as its cookie carries it.
    pub fn expose(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash(digest("backchat refresh", &[&self.0]))
    }

    fn followed_by(&self, salt: &Salt) -> Self {
        let next =
            Sha256::new_with_prefix("backchat next refresh").chain_update(&salt.0).chain_update(self.0);
        Self(next.finalize().into())
    }
}

impl fmt::Debug for RefreshSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshSecret(hidden)")
    }
}

impl SecretHash {
    pub const fn stored(text: String) -> Self {
        Self(text)
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Salt {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(BASE64URL_NOPAD.encode(&bytes))
    }
    pub const fn stored(text: String) -> Self {
        Self(text)
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn digest(purpose: &str, parts: &[&[u8]]) -> String {
    let hash = parts.iter().fold(Sha256::new_with_prefix(purpose), |hash, part| hash.chain_update(part));
    BASE64URL_NOPAD.encode(&hash.finalize())
}

/// The secrets of one session, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub current: SecretHash,
    /// The secret before, and what the current one was derived from it with.
    pub previous: Option<(SecretHash, Salt)>,
    /// Replaced ones, the latest last.
    pub spent: Vec<SecretHash>,
    /// When the current one was made.
    pub rotated_at: Timestamp,
}

/// What a presented secret leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing changes; this is the current secret.
    Keep(RefreshSecret),
    /// The presented secret is replaced by this one, and this is to be stored.
    Rotate(RefreshSecret, Chain),
    /// It was replaced long ago: two parties have it.
    Reused,
    /// It never belonged to this session, or so long ago that it is forgotten.
    Unknown,
}

impl Chain {
    pub fn new(secret: &RefreshSecret, now: Timestamp) -> Self {
        Self { current: secret.hash(), previous: None, spent: Vec::new(), rotated_at: now }
    }

    /// Judges a presented secret; `salt` is fresh and random, and used if the secret is replaced.
    pub fn step(&self, presented: &RefreshSecret, salt: Salt, now: Timestamp) -> Step {
        let hash = presented.hash();
        if self.current.is(&hash) {
            let age_ms = now.as_millis() - self.rotated_at.as_millis();
            if (0..GRACE_MS).contains(&age_ms) && self.previous.is_some() {
                return Step::Keep(presented.clone());
            }
            let next = presented.followed_by(&salt);
            let chain = self.rotated(hash, salt, &next, now);
            return Step::Rotate(next, chain);
        }
        match &self.previous {
            Some((previous, salt)) if previous.is(&hash) => Step::Keep(presented.followed_by(salt)),
            _ if self.spent.iter().any(|spent| spent.is(&hash)) => Step::Reused,
            _ => Step::Unknown,
        }
    }

    fn rotated(&self, old: SecretHash, salt: Salt, next: &RefreshSecret, now: Timestamp) -> Self {
        let mut spent = self.spent.clone();
        spent.extend(self.previous.iter().map(|(hash, _)| hash.clone()));
        let surplus = spent.len().saturating_sub(SPENT_MAX);
        spent.drain(..surplus);
        Self { current: next.hash(), previous: Some((old, salt)), spent, rotated_at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }
    fn salt(n: u8) -> Salt {
        Salt::new([n; 32])
    }
    fn first() -> (RefreshSecret, Chain) {
        let secret = RefreshSecret::new([1; 32]);
        let chain = Chain::new(&secret, at(0));
        (secret, chain)
    }
    fn rotate(chain: &Chain, secret: &RefreshSecret, n: u8, second: i64) -> (RefreshSecret, Chain) {
        match chain.step(secret, salt(n), at(second)) {
            Step::Rotate(next, chain) => (next, chain),
            other => panic!("expected a rotation, got {other:?}"),
        }
    }

    #[test]
    fn a_secret_is_replaced_when_it_is_used() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 100);
        assert_ne!(one, two);
        let (three, _) = rotate(&chain, &two, 8, 200);
        assert_ne!(two, three);
    }

    #[test]
    fn two_tabs_that_renew_at_once_end_up_with_the_same_secret() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 100);
        assert_eq!(chain.step(&one, salt(5), at(100)), Step::Keep(two.clone()));
        assert_eq!(chain.step(&two, salt(5), at(101)), Step::Keep(two));
    }

    #[test]
    fn who_never_received_the_new_secret_still_gets_it_a_day_later() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 100);
        assert_eq!(chain.step(&one, salt(5), at(100 + 86_400)), Step::Keep(two));
    }

    #[test]
    fn the_secret_before_is_good_for_half_a_minute_even_when_the_new_one_is_in_use() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 100);
        assert_eq!(chain.step(&two, salt(5), at(129)), Step::Keep(two.clone()));
        assert_eq!(chain.step(&one, salt(5), at(129)), Step::Keep(two));
    }

    #[test]
    fn a_secret_used_again_after_it_was_replaced_twice_is_noticed() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 100);
        let (_, chain) = rotate(&chain, &two, 8, 200);
        assert_eq!(chain.step(&one, salt(5), at(201)), Step::Reused);
    }

    #[test]
    fn a_guess_ends_nothing() {
        let (_, chain) = first();
        assert_eq!(chain.step(&RefreshSecret::new([7; 32]), salt(5), at(1)), Step::Unknown);
    }

    #[test]
    fn a_long_session_remembers_a_bounded_number_of_secrets() {
        let (first, chain) = first();
        let (mut secret, mut chain) = rotate(&chain, &first, 1, 100);
        for n in 2..60 {
            (secret, chain) = rotate(&chain, &secret, n, i64::from(n) * 100);
        }
        assert_eq!(chain.spent.len(), SPENT_MAX);
        assert_eq!(chain.step(&first, salt(5), at(9_999)), Step::Unknown);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_freeze_the_secret() {
        let (one, chain) = first();
        let (two, chain) = rotate(&chain, &one, 9, 1_000);
        assert!(matches!(chain.step(&two, salt(5), at(10)), Step::Rotate(..)));
    }

    #[test]
    fn a_secret_survives_its_text_and_is_never_printed() {
        let secret = RefreshSecret::new([3; 32]);
        assert_eq!(RefreshSecret::parse(&secret.expose()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "RefreshSecret(hidden)");
        for bad in ["", "a", "AAAA", &"A".repeat(44)] {
            assert_eq!(RefreshSecret::parse(bad), None);
        }
    }
}
