//! How fast a person may send or search, over all of their sockets and pages at this gateway.

use protocol::UserId;
use service::bucket::{Bucket, Rate};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// People whose buckets are kept at once; full ones are forgotten first, since they say nothing.
const BUCKETS_MAX: usize = 100_000;

/// Token buckets, one for each person who did something lately.
pub struct Rates {
    rate: Rate,
    buckets: Mutex<HashMap<UserId, Bucket>>,
}

impl Rates {
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes the right to one more.
    ///
    /// # Errors
    /// How long to wait until the next one.
    pub fn take(&self, user: UserId, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&user) {
            buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
        }
        buckets.entry(user).or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_not_slowed_by_another() {
        let rates = Rates::new(Rate { burst: 2, per_second: 10 });
        let (hasty, start) = (UserId::new(), Instant::now());
        assert_eq!(rates.take(hasty, start), Ok(()));
        assert_eq!(rates.take(hasty, start), Ok(()));
        assert_eq!(rates.take(hasty, start), Err(Duration::from_millis(100)));
        assert_eq!(rates.take(UserId::new(), start), Ok(()));
    }
}
