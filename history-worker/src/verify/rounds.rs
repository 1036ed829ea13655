//! The whole shard, compared again and again beside everything else. How far a round is lies in the database: it goes on there after a
//! restart, and several workers share it.

use std::sync::Arc;
use std::time::Duration;

use protocol::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{By, Verifier, Whole};
use crate::Error;
use crate::shard::Progress;
use crate::signals::Signals;

/// How much longer than a part takes nothing is compared after it.
const REST: u32 = 9;
/// The shortest rest, and the one after a fault.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_AFTER_FAULT: Duration = Duration::from_secs(30);
/// Between two looks whether the next round is due: another worker may have begun it.
const LOOK: Duration = Duration::from_secs(60);

/// Compares the shard for ever, each time as long after the last as `every` says.
pub async fn rounds(
    verifier: Verifier,
    mut progress: watch::Receiver<Option<Progress>>,
    signals: Arc<Signals>,
    every: Duration,
) {
    // Before the first checkpoint is read there is nothing to compare.
    if progress.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        let applied = progress.borrow().map_or(0, |progress| progress.applied);
        let rest = step(&verifier, applied, &signals, every).await.unwrap_or_else(|error| {
            let shard = verifier.part.shard.0;
            tracing::debug!(shard, %error, "the comparison with the log is tried again");
            REST_AFTER_FAULT
        });
        sleep(rest).await;
    }
}

/// Compares the next part, if one is due, and gives how long to rest.
async fn step(
    verifier: &Verifier,
    applied: u64,
    signals: &Signals,
    every: Duration,
) -> Result<Duration, Error> {
    let shard = verifier.part.shard;
    let whole = verifier.store.whole_verify(verifier.part, By::Itself).await?;
    let rest = whole.ended().map_or(Duration::ZERO, |last| due_in(last.at, every));
    if !rest.is_zero() {
        return Ok(rest.min(LOOK));
    }
    let what = whole.next().unwrap_or(&Whole::FIRST).clone();
    let began = Instant::now();
    let part = verifier.part(what.clone(), applied).await?;
    part.differences.iter().for_each(|difference| signals.differs(shard, difference));
    if let Some(last) = verifier.note(By::Itself, &what, &part).await? {
        signals.verified(shard, last);
    }
    Ok((began.elapsed() * REST).max(REST_MIN))
}

fn due_in(last: Timestamp, every: Duration) -> Duration {
    let since = Timestamp::now().as_millis().saturating_sub(last.as_millis());
    every.saturating_sub(Duration::from_millis(u64::try_from(since).unwrap_or(0)))
}
