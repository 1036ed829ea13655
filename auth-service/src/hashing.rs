//! Where passwords are hashed: few at a time, off the async threads, with a bounded queue before them.
//!
//! One hash takes 19 MiB and tens of milliseconds of a core, so what comes in a rush waits here, and what
//! would wait too long is told to come back.

use service::metrics::{Counter, Gauge};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many hashes are made at once, and how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Hashes made at the same time.
    pub workers: usize,
    /// Requests that may wait for a worker.
    pub queue_max: usize,
    /// The longest wait for a worker.
    pub patience: Duration,
}

/// Too many passwords are being hashed; come back shortly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// The workers and their queue. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    patience: Duration,
    waiting: Gauge,
    refused: Counter,
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn in_line(waiting: &'a Gauge) -> Self {
        waiting.inc();
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Pool {
    /// `waiting` shows how many wait for a worker, `refused` counts those that got none.
    pub fn new(limits: Limits, waiting: Gauge, refused: Counter) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.workers + limits.queue_max)),
            workers: Arc::new(Semaphore::new(limits.workers)),
            patience: limits.patience,
            waiting,
            refused,
        }
    }

    /// Runs a slow job on a worker. A caller that goes away gives its place in the queue back at once; a job
    /// that has begun goes on to its end and holds its worker so long.
    ///
    /// # Errors
    /// [`Busy`] at once when the queue is full, or when no worker was free within the patience.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let turn = self.turn().await.inspect_err(|_| {
            self.refused.inc();
        })?;
        let done = tokio::task::spawn_blocking(move || {
            let _held_until_the_end = turn;
            job()
        });
        done.await.map_err(|_| Busy)
    }

    /// A place in the queue, and then a worker.
    async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let _waits = Waiting::in_line(&self.waiting);
        let worker = timeout(self.patience, Arc::clone(&self.workers).acquire_owned()).await;
        Ok([place, worker.map_err(|_| Busy)?.map_err(|_| Busy)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn pool(workers: usize, queue_max: usize, patience_ms: u64) -> Pool {
        Pool::new(
            Limits { workers, queue_max, patience: Duration::from_millis(patience_ms) },
            Gauge::default(),
            Counter::default(),
        )
    }

    /// A job that runs until the returned end is dropped.
    fn job_until_dropped(pool: &Pool) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Busy>>) {
        let (end, ended) = mpsc::channel::<()>();
        let pool = pool.clone();
        let job = tokio::spawn(async move { pool.run(move || ended.recv().unwrap_or(())).await });
        (end, job)
    }

    async fn eventually(condition: impl Fn() -> bool) {
        let waited = timeout(Duration::from_secs(10), async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.expect("the condition came true within ten seconds");
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_at_once_and_drains() {
        let pool = pool(1, 1, 10_000);
        let (end_first, first) = job_until_dropped(&pool);
        let (end_second, second) = job_until_dropped(&pool);
        eventually(|| pool.places.available_permits() == 0).await;
        assert_eq!(pool.run(|| ()).await, Err(Busy));
        assert_eq!(pool.refused.get(), 1);
        drop((end_first, end_second));
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_so() {
        let pool = pool(1, 9, 20);
        let (end, first) = job_until_dropped(&pool);
        eventually(|| pool.workers.available_permits() == 0).await;
        assert_eq!(pool.run(|| ()).await, Err(Busy));
        assert_eq!(pool.refused.get(), 1);
        drop(end);
        assert_eq!(first.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_queue() {
        let pool = pool(1, 1, 10_000);
        let (end, first) = job_until_dropped(&pool);
        eventually(|| pool.workers.available_permits() == 0).await;
        let (_kept, waiting) = job_until_dropped(&pool);
        eventually(|| pool.places.available_permits() == 0).await;
        eventually(|| pool.waiting.get() == 1).await;
        waiting.abort();
        eventually(|| pool.places.available_permits() == 1).await;
        assert_eq!(pool.waiting.get(), 0);
        drop(end);
        assert_eq!(first.await.unwrap(), Ok(()));
    }
}
