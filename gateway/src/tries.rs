//! Trying again what the broker did not do now.

use crate::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first of the pauses, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often something is tried: with longer and longer pauses, until a deadline.
#[derive(Debug)]
pub struct Tries {
    deadline: Instant,
    pause: Duration,
}

impl Tries {
    pub fn within(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, pause: PAUSE }
    }

    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits before the next try. False, at once, when there is none: the error is not one that passes, or the deadline is near.
    pub async fn again(&mut self, error: &Error) -> bool {
        if !error.may_pass() || Instant::now() + self.pause >= self.deadline {
            return false;
        }
        tracing::debug!(%error, "it is tried again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_until_the_deadline() {
        for error in
            [broker::Error::TimedOut, broker::Error::Conflict, broker::Error::NobodyThere("it".into())]
        {
            let (began, error) = (Instant::now(), Error::Broker(error));
            let (mut tries, mut count) = (Tries::within(PATIENCE), 1);
            while tries.again(&error).await {
                count += 1;
            }
            assert!(began.elapsed() < PATIENCE && began.elapsed() + PAUSE_MAX >= PATIENCE, "{error}");
            assert_eq!(count, 13, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_tried_once() {
        for error in [Error::NoRoom, Error::Broker(broker::Error::StorageFull), Error::UnknownShard] {
            assert!(!Tries::within(PATIENCE).again(&error).await, "{error}");
        }
    }
}
