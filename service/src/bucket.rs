//! A token bucket: how much at once, and how much for long. Pure: the caller says what time it is.

use std::time::Duration;

use tokio::time::Instant;

/// What a bucket holds when it is full, and what flows into it each second. Neither may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that may be taken at once.
    pub burst: u32,
    /// Tokens a second that may be taken for long.
    pub per_second: u32,
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst.into(), at: now }
    }

    /// Whether all that was taken has flowed in again.
    #[must_use]
    pub fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.filled(rate, now) >= f64::from(rate.burst)
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long it takes until there is one; nothing is taken.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / f64::from(rate.per_second)))
    }

    /// Takes an amount that can't be refused any more, and gives how long to wait until it is paid for.
    pub fn owe(&mut self, amount: u32, rate: Rate, now: Instant) -> Duration {
        self.fill(rate, now);
        self.tokens -= f64::from(amount);
        Duration::from_secs_f64((-self.tokens).max(0.0) / f64::from(rate.per_second))
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        self.tokens = self.filled(rate, now);
        self.at = now;
    }

    fn filled(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * f64::from(rate.per_second)).min(rate.burst.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 30, per_second: 10 };

    #[test]
    fn a_burst_is_taken_and_then_a_steady_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        for _ in 0..30 {
            assert_eq!(bucket.take(RATE, start), Ok(()));
        }
        assert_eq!(bucket.take(RATE, start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(RATE, start + Duration::from_millis(100)), Ok(()));
        assert!(bucket.take(RATE, start + Duration::from_millis(101)).is_err());
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        let later = start + Duration::from_secs(3_600);
        assert!(bucket.is_full(RATE, later));
        assert_eq!((0..100).filter(|_| bucket.take(RATE, later).is_ok()).count(), 30);
        assert!(!bucket.is_full(RATE, later));
        assert!(bucket.is_full(RATE, later + Duration::from_secs(3)));
    }

    #[test]
    fn a_debt_is_waited_for() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        assert_eq!(bucket.owe(20, RATE, start), Duration::ZERO);
        assert_eq!(bucket.owe(20, RATE, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(1);
        assert_eq!(bucket.owe(5, RATE, later), Duration::from_millis(500));
    }
}
