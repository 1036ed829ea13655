//! Which shards this worker applies: the workers that run say so to each other, and each reckons the same from it.
//!
//! It keeps them out of each other's way and spreads the work, no more. That an event is applied once is the checkpoint's doing, and
//! a shard whose worker does not come on is applied by another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::subject::{Shard, WORKERS};
use protocol::worker::{Tables, WorkerBeat, WorkerId};
use tokio::sync::watch;
use tokio::time::{Instant, interval, interval_at};
use tokio_util::sync::CancellationToken;

use crate::signals::Signals;

const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Three beats missed.
const SILENCE_MAX: Duration = Duration::from_millis(6_500);
/// For so long a worker listens before it takes those that it heard for all that there are: each answers a new one at once.
const LISTENS_FIRST: Duration = Duration::from_millis(500);
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Others that are remembered, at most: more workers than there can be shards.
const WORKERS_MAX: usize = 4_096;

/// The shards that are a worker's own: with three workers every third, from another one on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its place among the workers.
    place: usize,
    /// How many workers there are.
    workers: usize,
}

impl Share {
    /// Of a worker that does not know yet who else is there.
    pub const NONE: Self = Self { place: 0, workers: 0 };
    /// Of the only worker.
    pub const ALL: Self = Self { place: 0, workers: 1 };

    pub fn has(self, shard: Shard) -> bool {
        self.workers > 0 && usize::from(shard.0) % self.workers == self.place
    }
}

/// What this worker says to the others, and hears of them.
pub struct Sharing {
    pub broker: Broker,
    pub signals: Arc<Signals>,
    /// What is shared: these shards' tables in a database server.
    pub shards: Vec<Shard>,
    pub tables: Tables,
    /// [`Share::NONE`] at first.
    pub share: watch::Sender<Share>,
}

impl Sharing {
    /// Beats and listens until `shutdown`, which it tells the others.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut workers = Workers::new(self.tables.clone());
        // It fails only when the client has shut down, and with it everything.
        let Ok(mut beats) = self.broker.hear::<WorkerBeat>(WORKERS.into()).await else { return };
        let mut connection = self.broker.connection();
        let mut beat_at = interval(BEAT_EVERY);
        let mut look_at = interval_at(Instant::now() + LISTENS_FIRST, LOOK_EVERY);
        loop {
            // Clocks, signals, and a queue that keeps what was not taken: any may be cancelled.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.beat(workers.me, true).await,
                changed = connection.changed() => match changed {
                    // Nobody could be heard for a while, which says nothing of anybody.
                    Ok(()) => workers.forgive(Instant::now()),
                    Err(_) => return,
                },
                heard = beats.next() => match heard {
                    // Whoever has just come is to know at once that it is not alone.
                    Some(beat) => if workers.hear(&beat, Instant::now()) {
                        beat_at.reset_immediately();
                        self.share_among(&workers, false);
                    },
                    None => return,
                },
                _ = beat_at.tick() => self.beat(workers.me, false).await,
                _ = look_at.tick() => {
                    // While the connection is away nobody can be heard.
                    if connection.borrow().connected {
                        workers.forget_silent(Instant::now());
                    }
                    self.share_among(&workers, true);
                }
            }
        }
    }

    /// Reckons what is this worker's own. Before it has listened for a while it would take what is others'.
    fn share_among(&self, workers: &Workers, has_listened: bool) {
        let share = workers.share();
        let is_new = self.share.send_if_modified(|now| {
            let is_new = *now != share && (has_listened || *now != Share::NONE);
            if is_new {
                *now = share;
            }
            is_new
        });
        if is_new {
            self.signals.shares(&self.shards, share);
        }
    }

    async fn beat(&self, worker: WorkerId, leaves: bool) {
        let beat = WorkerBeat { worker, fills: self.tables.clone(), leaves };
        if let Err(error) = self.broker.tell(WORKERS.into(), &beat).await {
            tracing::debug!(%error, "the other workers can't be told that this one lives");
        }
    }
}

/// The workers that run, this one among them.
struct Workers {
    me: WorkerId,
    tables: Tables,
    heard: HashMap<WorkerId, Instant>,
}

impl Workers {
    fn new(tables: Tables) -> Self {
        Self { me: WorkerId::new(), tables, heard: HashMap::new() }
    }

    /// A worker said that it lives, or that it stops; gives whether that is news.
    fn hear(&mut self, WorkerBeat { worker, fills, leaves }: &WorkerBeat, now: Instant) -> bool {
        if *worker == self.me || *fills != self.tables {
            return false;
        }
        if *leaves {
            return self.heard.remove(worker).is_some();
        }
        (self.heard.len() < WORKERS_MAX || self.heard.contains_key(worker))
            && self.heard.insert(*worker, now).is_none()
    }

    fn forgive(&mut self, now: Instant) {
        self.heard.values_mut().for_each(|at| *at = now);
    }

    fn forget_silent(&mut self, now: Instant) {
        self.heard.retain(|_, at| now.duration_since(*at) <= SILENCE_MAX);
    }

    fn share(&self) -> Share {
        let before = self.heard.keys().filter(|worker| **worker < self.me).count();
        Share { place: before, workers: self.heard.len() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: u16 = 8;

    fn tables() -> Tables {
        Tables { database: "ws://history:8000/n/d".to_owned(), layout: 5 }
    }

    fn beat(worker: WorkerId) -> WorkerBeat {
        WorkerBeat { worker, fills: tables(), leaves: false }
    }

    /// Whose each shard is, as each of the workers reckons it.
    fn shares(workers: &[Workers]) -> Vec<Vec<u16>> {
        let own =
            |workers: &Workers| (0..SHARDS).filter(|shard| workers.share().has(Shard(*shard))).collect();
        workers.iter().map(own).collect()
    }

    #[test]
    fn workers_that_know_each_other_have_each_shard_once_and_about_as_many() {
        for count in 1..12_usize {
            let mut workers: Vec<_> = std::iter::repeat_with(|| Workers::new(tables())).take(count).collect();
            let ids: Vec<_> = workers.iter().map(|worker| worker.me).collect();
            for worker in &mut workers {
                for id in &ids {
                    worker.hear(&beat(*id), Instant::now());
                }
            }
            let shares = shares(&workers);
            let mut all: Vec<u16> = shares.concat();
            all.sort_unstable();
            assert_eq!(all, (0..SHARDS).collect::<Vec<_>>(), "{count} workers");
            let fair = usize::from(SHARDS).div_ceil(count);
            assert!(shares.iter().all(|own| own.len() <= fair), "{count} workers: {shares:?}");
        }
    }

    #[test]
    fn who_leaves_or_is_silent_has_no_share_any_more() {
        let (mut workers, [other, third]) = (Workers::new(tables()), [WorkerId::new(), WorkerId::new()]);
        let began = Instant::now();
        assert!(workers.hear(&beat(other), began) && !workers.hear(&beat(other), began));
        assert!(workers.hear(&beat(third), began + Duration::from_secs(6)));
        assert_eq!(workers.share().workers, 3);
        workers.forget_silent(began + Duration::from_secs(7));
        assert_eq!(workers.share().workers, 2, "{other:?} said nothing any more");
        assert!(workers.hear(&WorkerBeat { leaves: true, ..beat(third) }, began));
        assert_eq!(workers.share(), Share::ALL);
    }

    #[test]
    fn a_worker_of_other_tables_shares_nothing() {
        let mut workers = Workers::new(tables());
        let elsewhere = Tables { database: "ws://other:8000/n/d".to_owned(), ..tables() };
        for fills in [elsewhere, Tables { layout: 6, ..tables() }] {
            assert!(!workers.hear(&WorkerBeat { fills, ..beat(WorkerId::new()) }, Instant::now()));
        }
        assert_eq!(workers.share(), Share::ALL);
    }

    #[test]
    fn whoever_does_not_know_the_others_has_nothing() {
        assert!((0..SHARDS).all(|shard| !Share::NONE.has(Shard(shard)) && Share::ALL.has(Shard(shard))));
    }
}
