//! Tests that need most of the machine take turns, so that none of them is the disturbance that another one looks for.

use tokio::sync::{Semaphore, SemaphorePermit};

static TURN: Semaphore = Semaphore::const_new(1);

/// Waits until no other heavy test of this process runs.
///
/// # Panics
/// Never: the semaphore is not closed.
pub async fn turn() -> SemaphorePermit<'static> {
    TURN.acquire().await.expect("the semaphore is never closed")
}
