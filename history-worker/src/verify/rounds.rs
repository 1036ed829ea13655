//! The whole shard, compared again and again beside everything else.

use std::sync::Arc;
use std::time::Duration;

use protocol::Timestamp;
use protocol::query::{LastVerify, Verified, Verify};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Verifier;
use crate::shard::Progress;
use crate::signals::Signals;

/// How much longer than a part takes nothing is compared after it.
const REST: u32 = 9;
/// The shortest rest, and the one after a fault.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_AFTER_FAULT: Duration = Duration::from_secs(30);

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
        let round = round(&verifier, &progress, &signals).await;
        let last = LastVerify { at: Timestamp::now(), rows: round.rows, different: round.different };
        signals.verified(verifier.part.shard, last);
        sleep(every).await;
    }
}

async fn round(
    verifier: &Verifier,
    progress: &watch::Receiver<Option<Progress>>,
    signals: &Signals,
) -> Verified {
    let shard = verifier.part.shard;
    let (mut all, mut next) = (Verified::default(), Some(Verify::Rooms { after: None }));
    while let Some(what) = next.take() {
        let applied = progress.borrow().map_or(0, |progress| progress.applied);
        let began = Instant::now();
        match verifier.part(what.clone(), applied).await {
            Ok(part) => {
                part.differences.iter().for_each(|difference| signals.differs(shard, difference));
                next.clone_from(&part.next);
                all.add(Verified { differences: Vec::new(), ..part });
                sleep((began.elapsed() * REST).max(REST_MIN)).await;
            }
            Err(error) => {
                tracing::debug!(shard = shard.0, %error, "the comparison with the log is tried again");
                next = Some(what);
                sleep(REST_AFTER_FAULT).await;
            }
        }
    }
    all
}
