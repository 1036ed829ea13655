//! Slows down whoever guesses passwords: after some failures in a row for a name from an address, one try
//! every few seconds.
//!
//! Counting name and address together keeps a stranger from locking a person out of their own account. Good
//! passwords are never counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pairs of name and address that are remembered, at most.
const ENTRIES_MAX: usize = 20_000;
/// Once slowed down, the time between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// A failure is forgotten after this.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// Who tries to log in, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    name_key: String,
    network: IpAddr,
}

impl Attempt {
    /// A whole IPv6 /64 counts as one address, since one machine has all of it.
    pub fn new(name_key: String, address: IpAddr) -> Self {
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        };
        Self { name_key, network }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Remembers failures to log in. Bounded: when it is full the oldest is forgotten.
#[derive(Debug)]
pub struct Limiter {
    failures_max: u32,
    entries: Mutex<HashMap<Attempt, Failures>>,
}

impl Limiter {
    pub fn new(failures_max: u32) -> Self {
        Self { failures_max, entries: Mutex::new(HashMap::new()) }
    }

    /// Whether a try is allowed now; if not, in how long.
    ///
    /// # Errors
    /// The time to wait.
    pub fn check(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failures) = entries.get(attempt) else { return Ok(()) };
        let ago = now.saturating_duration_since(failures.last);
        if failures.count < self.failures_max || ago >= PAUSE {
            Ok(())
        } else {
            Err(PAUSE.saturating_sub(ago))
        }
    }

    pub fn failed(&self, attempt: Attempt, now: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&attempt) {
            make_room(&mut entries, now);
        }
        let failures = entries.entry(attempt).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= MEMORY {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }

    pub fn succeeded(&self, attempt: &Attempt) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt);
    }
}

/// Forgets what is old; if nothing is, the older half, so that this does not happen at every failure.
fn make_room(entries: &mut HashMap<Attempt, Failures>, now: Instant) {
    entries.retain(|_, failures| now.saturating_duration_since(failures.last) < MEMORY);
    if entries.len() >= ENTRIES_MAX {
        let mut times: Vec<Instant> = entries.values().map(|failures| failures.last).collect();
        let (_, middle, _) = times.select_nth_unstable(ENTRIES_MAX / 2);
        let middle = *middle;
        entries.retain(|_, failures| failures.last > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(name: &str) -> Attempt {
        Attempt::new(name.into(), [192, 0, 2, 1].into())
    }

    #[test]
    fn after_some_failures_in_a_row_tries_are_seconds_apart() {
        let limiter = Limiter::new(3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limiter.check(&attempt("alice"), start), Ok(()));
            limiter.failed(attempt("alice"), start);
        }
        assert_eq!(limiter.check(&attempt("alice"), start), Err(PAUSE));
        assert_eq!(limiter.check(&attempt("alice"), start + PAUSE), Ok(()));
        limiter.failed(attempt("alice"), start + PAUSE);
        assert_eq!(limiter.check(&attempt("alice"), start + PAUSE), Err(PAUSE));
    }

    #[test]
    fn a_good_password_ends_the_count() {
        let limiter = Limiter::new(2);
        let now = Instant::now();
        for _ in 0..50 {
            limiter.failed(attempt("alice"), now);
            limiter.succeeded(&attempt("alice"));
        }
        assert_eq!(limiter.check(&attempt("alice"), now), Ok(()));
    }

    #[test]
    fn a_stranger_locks_nobody_out() {
        let limiter = Limiter::new(1);
        let now = Instant::now();
        limiter.failed(attempt("alice"), now);
        let home = Attempt::new("alice".into(), [198, 51, 100, 7].into());
        assert_eq!(limiter.check(&home, now), Ok(()));
        assert_eq!(limiter.check(&attempt("bob"), now), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let one = Attempt::new("alice".into(), "2001:db8::1".parse().unwrap());
        assert_eq!(one, Attempt::new("alice".into(), "2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(one, Attempt::new("alice".into(), "2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn memory_stays_bounded() {
        let limiter = Limiter::new(1);
        let start = Instant::now();
        for n in 0..ENTRIES_MAX + 500 {
            limiter.failed(attempt(&n.to_string()), start + Duration::from_millis(n as u64 / 10));
        }
        let kept = limiter.entries.lock().unwrap().len();
        assert!(kept <= ENTRIES_MAX && kept > 500, "{kept}");
    }
}
