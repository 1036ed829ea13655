//! How others call a socket's task: one bell for whoever wants something of it. Rings are not counted; the task looks at
//! everything that may have changed.

use futures_util::task::AtomicWaker;
use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

#[derive(Default)]
pub struct Bell {
    rung: AtomicBool,
    /// Whoever waits: one task, the socket's own.
    waiter: AtomicWaker,
}

impl Bell {
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waiter.wake();
        }
    }

    /// Waits for a ring. Cancel safe: a ring that nobody waited for is kept.
    pub fn rung(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| self.poll_rung(context))
    }

    fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.waiter.register(context.waker());
        // Between the look and the registration it may have rung for nobody.
        if self.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::{sync::Arc, time::Duration};

    #[tokio::test]
    async fn rings_are_kept_and_not_counted() {
        let bell = Bell::default();
        assert!(bell.rung().now_or_never().is_none());
        bell.ring();
        bell.ring();
        assert!(bell.rung().now_or_never().is_some());
        assert!(bell.rung().now_or_never().is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let bell = Arc::new(Bell::default());
        let waiting = tokio::spawn({
            let bell = Arc::clone(&bell);
            async move { bell.rung().await }
        });
        tokio::task::yield_now().await;
        bell.ring();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }
}
