//! How fast a person may send, over all of their sockets at this gateway.

use protocol::UserId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// People whose buckets are kept at once; full ones are forgotten first, since they say nothing.
const BUCKETS_MAX: usize = 100_000;

/// Token buckets, one for each person who sent something lately.
pub struct Rates {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<UserId, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst.into(), per_second: per_second.into(), buckets: Mutex::default() }
    }

    /// Takes one message's right to be sent.
    ///
    /// # Errors
    /// How long to wait until the next one may be sent.
    pub fn take(&self, user: UserId, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&user) {
            buckets.retain(|_, bucket| self.filled(bucket, now) < self.burst);
        }
        let bucket = buckets.entry(user).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = self.filled(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second))
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_a_steady_rate() {
        let rates = Rates::new(30, 10);
        let (user, start) = (UserId::new(), Instant::now());
        for _ in 0..30 {
            assert_eq!(rates.take(user, start), Ok(()));
        }
        assert_eq!(rates.take(user, start), Err(Duration::from_millis(100)));
        assert_eq!(rates.take(user, start + Duration::from_millis(100)), Ok(()));
        assert!(rates.take(user, start + Duration::from_millis(101)).is_err());
        assert_eq!(rates.take(UserId::new(), start), Ok(()), "another person is not slowed");
    }
}
