//! Waiting for something to become true, with an end.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(40);
/// Patience for what should happen at once, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until `look` gives something, and gives it on.
///
/// # Panics
/// When `patience` ends first; the message says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until `look` gives `wanted`; the last value seen is in the failure.
///
/// # Panics
/// When `patience` ends first.
pub async fn becomes<T: PartialEq + Debug, F: Future<Output = T>>(
    what: &str,
    patience: Duration,
    wanted: T,
    mut look: impl FnMut() -> F,
) {
    let deadline = Instant::now() + patience;
    loop {
        let seen = look().await;
        if seen == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain: {what}\n wanted {wanted:?}\n    saw {seen:?}"
        );
        sleep(LOOK_EVERY).await;
    }
}
