//! Which index answers: opened at the start, made anew when it can't be used or when an operator wants it, and changed for another
//! between two searches.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use protocol::Timestamp;
use protocol::search::{SearchReplaying, SearchStatus};
use sealing::{RootSource, Roots};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::building::{Building, Ended, Generation};
use crate::folder::Folder;
use crate::following::Ground;
use crate::index::{Fault, Index};
use crate::progress::Progress;

/// How often it is looked how far an index is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// So long a lag that was measured once is worth something.
const LAG_KNOWN: Duration = Duration::from_secs(60);
/// Pause before an index is opened again that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What is shared with those who answer.
#[derive(Default)]
pub struct Shelf {
    current: RwLock<Option<Arc<Generation>>>,
    replay: Mutex<Option<SearchReplaying>>,
    /// Rung when an index is to be made anew.
    to_replay: Notify,
    /// Rung when a search failed, and in which index.
    broken: Notify,
    broken_number: AtomicU64,
}

impl Shelf {
    /// The index that answers.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_current(&self, generation: Option<Arc<Generation>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }

    pub fn replay(&self) -> Option<SearchReplaying> {
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_replay(&self, replay: Option<SearchReplaying>) {
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = replay;
    }

    /// Has an index made anew, if none is being made.
    pub fn begin_replay(&self) -> SearchReplaying {
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = replay.filter(|replay| replay.ended_at.is_none()) {
            return under_way;
        }
        let begun = SearchReplaying { began_at: Timestamp::now(), ended_at: None, done: 0, of: 0 };
        *replay = Some(begun);
        self.to_replay.notify_one();
        begun
    }

    /// The index with this number could not be searched.
    pub fn is_broken(&self, number: u64) {
        self.broken_number.store(number, Ordering::Relaxed);
        self.broken.notify_one();
    }

    pub fn status(&self) -> Option<SearchStatus> {
        let generation = self.current()?;
        Some(SearchStatus {
            shards: generation.progress.told(),
            documents: generation.index.messages(),
            bytes: generation.index.folder.bytes(),
            rebuilding: generation.progress.is_rebuilding(),
        })
    }
}

/// An index that is kept up.
struct Running {
    generation: Arc<Generation>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        // However it ended, it has ended.
        let _ = self.task.await;
    }

    async fn ended(&mut self) -> Ended {
        (&mut self.task).await.unwrap_or_else(|_| Ended::Unusable("what keeps it up has panicked".into()))
    }
}

async fn ended(running: Option<&mut Running>) -> Ended {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}

/// Keeps the indexes of one folder.
pub struct Keeper {
    pub ground: Ground,
    pub folder: Folder,
    pub roots: RootSource,
    pub cache_bytes: usize,
    pub shelf: Arc<Shelf>,
}

/// The index that answers, and one that is made beside it.
#[derive(Default)]
struct Kept {
    current: Option<Running>,
    next: Option<Running>,
}

/// What happened to the indexes.
enum Happened {
    CurrentEnded(Ended),
    NextEnded(Ended),
    SearchFailed,
    ReplayWanted,
    TimePassed,
}

impl Keeper {
    /// Keeps an index that answers until `shutdown`.
    ///
    /// # Errors
    /// When the disk or the root keys fail.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut kept = Kept::default();
        // What is cancelled was on its way from one index to another: both are caches.
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = self.keep(&mut kept) => ended,
        };
        self.shelf.set_current(None);
        for running in [kept.current, kept.next].into_iter().flatten() {
            running.stop().await;
        }
        ended
    }

    async fn keep(&self, kept: &mut Kept) -> Result<(), Error> {
        self.folder.tidy().map_err(|error| self.fault(&error))?;
        kept.current = Some(match self.folder.current() {
            Some(number) => self.opened(number).await?,
            None => self.anew().await?,
        });
        if let Some(number) = self.folder.replaying() {
            self.shelf.begin_replay();
            kept.next = Some(self.opened_beside(number).await?);
        }
        let (mut measure_at, mut measured_at) = (Instant::now(), Instant::now());
        loop {
            match self.happens(kept).await {
                Happened::CurrentEnded(ended) => {
                    if let Some(current) = kept.current.take() {
                        kept.current = Some(self.after(current.generation.number, ended).await?);
                    }
                }
                Happened::NextEnded(ended) => kept.next = self.after_beside(kept.next.take(), ended).await?,
                Happened::SearchFailed => self.replace_broken(kept).await?,
                Happened::ReplayWanted if kept.next.is_none() => kept.next = Some(self.begin_replay().await?),
                Happened::ReplayWanted | Happened::TimePassed => {}
            }
            if let Some(made) = kept.next.take_if(|next| self.look_at(next))
                && let Some(current) = kept.current.take()
            {
                kept.current = Some(self.take_over(current, made).await?);
                measure_at = Instant::now();
            }
            if let Some(current) = kept.current.as_ref().filter(|_| measure_at <= Instant::now()) {
                if self.measure(&current.generation).await {
                    measured_at = Instant::now();
                } else if measured_at.elapsed() >= LAG_KNOWN {
                    self.ground.signals.lag_unknown();
                }
                measure_at = Instant::now() + MEASURE_EVERY;
            }
        }
    }

    /// Inputs: an index that is kept up no more, a search that failed, an operator, the clock. Each only waits.
    async fn happens(&self, kept: &mut Kept) -> Happened {
        tokio::select! {
            ended = ended(kept.current.as_mut()) => Happened::CurrentEnded(ended),
            ended = ended(kept.next.as_mut()) => Happened::NextEnded(ended),
            () = self.shelf.broken.notified() => Happened::SearchFailed,
            () = self.shelf.to_replay.notified() => Happened::ReplayWanted,
            () = sleep(LOOK_EVERY) => Happened::TimePassed,
        }
    }

    async fn replace_broken(&self, kept: &mut Kept) -> Result<(), Error> {
        // Several searches may have failed in one that was replaced since.
        let number = self.shelf.broken_number.load(Ordering::Relaxed);
        let broken = kept.current.take_if(|current| current.generation.number == number);
        if let Some(broken) = broken {
            broken.stop().await;
            let why = "a search found it altered".to_owned();
            kept.current = Some(self.after(number, Ended::Unusable(why)).await?);
        }
        Ok(())
    }

    fn fault(&self, error: &io::Error) -> Error {
        Error::Start(format!("the index folder {}: {error}", self.folder.of(0).with_file_name("").display()))
    }

    async fn roots(&self) -> Result<Roots, Error> {
        let source = self.roots.clone();
        // A command may take its time.
        let read = spawn_blocking(move || Roots::read(&source)).await;
        let read = read.map_err(|_| Error::Lost("reading the root keys"))?;
        read.map_err(|fault| Error::Start(fault.to_string()))
    }

    /// Opens the index with this number and has it answer; if it can't be used, another one that is made anew.
    async fn opened(&self, number: u64) -> Result<Running, Error> {
        let mut number = number;
        loop {
            match self.open(number).await? {
                Ok(running) => {
                    self.shelf.set_current(Some(Arc::clone(&running.generation)));
                    self.ground.signals.opened(number, running.generation.index.messages());
                    return Ok(running);
                }
                Err(Fault::Failed(why)) => {
                    self.ground.signals.failed(&why);
                    sleep(AGAIN).await;
                }
                Err(Fault::Unusable(why)) => {
                    self.ground.signals.thrown_away(number, &why);
                    number = self.replaced(number).await?;
                }
            }
        }
    }

    /// Opens an index that does not answer yet; one that can't be used is begun again.
    async fn opened_beside(&self, number: u64) -> Result<Running, Error> {
        let mut number = number;
        loop {
            match self.open(number).await? {
                Ok(running) => return Ok(running),
                Err(Fault::Failed(why)) => {
                    self.ground.signals.failed(&why);
                    sleep(AGAIN).await;
                }
                Err(Fault::Unusable(why)) => {
                    self.ground.signals.thrown_away(number, &why);
                    number = self.made_beside().await?;
                }
            }
        }
    }

    async fn open(&self, number: u64) -> Result<Result<Running, Fault>, Error> {
        let key = match self.folder.key(number, &self.roots().await?) {
            Ok(key) => key,
            Err(fault) => return Ok(Err(fault)),
        };
        let (path, cache_bytes): (PathBuf, _) = (self.folder.of(number), self.cache_bytes);
        let opened = spawn_blocking(move || Index::open(&path, key, cache_bytes)).await;
        let (index, writer, checkpoint) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(fault)) => return Ok(Err(fault)),
            Err(_) => return Ok(Err(Fault::Unusable("opening it has panicked".into()))),
        };
        let progress = Progress::new(self.ground.shards.count(), checkpoint.shards().next().is_none());
        for (shard, point) in checkpoint.shards() {
            progress.reached(shard, point, false);
        }
        let generation = Arc::new(Generation { number, index, progress });
        let stop = CancellationToken::new();
        let building = Building::new(Arc::clone(&generation), writer, checkpoint);
        let task = tokio::spawn(building.run(self.ground.clone(), stop.clone()));
        Ok(Ok(Running { generation, stop, task }))
    }

    async fn anew(&self) -> Result<Running, Error> {
        let number = self.made().await?;
        self.opened(number).await
    }

    /// An empty index, which answers from now on.
    async fn made(&self) -> Result<u64, Error> {
        let number = self.folder.make(&self.roots().await?).map_err(|error| self.fault(&error))?;
        self.folder.set_current(number).map_err(|error| self.fault(&error))?;
        Ok(number)
    }

    async fn replaced(&self, number: u64) -> Result<u64, Error> {
        let made = self.made().await?;
        self.folder.remove(number).map_err(|error| self.fault(&error))?;
        Ok(made)
    }

    /// An empty index beside the one that answers.
    async fn made_beside(&self) -> Result<u64, Error> {
        let number = self.folder.make(&self.roots().await?).map_err(|error| self.fault(&error))?;
        self.folder.set_replaying(Some(number)).map_err(|error| self.fault(&error))?;
        Ok(number)
    }

    /// What answers after keeping up an index has ended.
    async fn after(&self, number: u64, ended: Ended) -> Result<Running, Error> {
        self.shelf.set_current(None);
        match ended {
            Ended::Stopped => {}
            Ended::Failed(why) => {
                self.ground.signals.failed(&why);
                sleep(AGAIN).await;
            }
            Ended::Unusable(why) => {
                self.ground.signals.thrown_away(number, &why);
                let number = self.replaced(number).await?;
                return self.opened(number).await;
            }
        }
        self.opened(number).await
    }

    async fn after_beside(&self, ended: Option<Running>, how: Ended) -> Result<Option<Running>, Error> {
        let Some(Running { generation, .. }) = ended else { return Ok(None) };
        let number = match how {
            Ended::Unusable(why) => {
                self.ground.signals.thrown_away(generation.number, &why);
                let number = self.made_beside().await?;
                self.folder.remove(generation.number).map_err(|error| self.fault(&error))?;
                number
            }
            Ended::Failed(_) | Ended::Stopped => generation.number,
        };
        sleep(AGAIN).await;
        self.opened_beside(number).await.map(Some)
    }

    async fn begin_replay(&self) -> Result<Running, Error> {
        let number = self.made_beside().await?;
        self.ground.signals.replays(number, false);
        let mut of = 0;
        for shard in self.ground.shards.all() {
            // A figure for a person: without it there is none.
            of += self.ground.broker.stream(&shard.stream()).await.map_or(0, |log| log.last_seq);
        }
        self.shelf.set_replay(self.shelf.replay().map(|replay| SearchReplaying { of, ..replay }));
        self.opened_beside(number).await
    }

    /// Tells how far an index is that is made beside, and whether it has everything.
    fn look_at(&self, next: &Running) -> bool {
        let (done, is_made) = (next.generation.progress.done(), next.generation.progress.caught_up());
        let looked =
            self.shelf.replay().map(|replay| SearchReplaying { done, of: replay.of.max(done), ..replay });
        self.shelf.set_replay(looked);
        is_made
    }

    /// Has the index that was made anew answer in place of the other.
    async fn take_over(&self, current: Running, made: Running) -> Result<Running, Error> {
        let (old, number) = (current.generation.number, made.generation.number);
        self.folder.set_current(number).map_err(|error| self.fault(&error))?;
        self.shelf.set_current(Some(Arc::clone(&made.generation)));
        current.stop().await;
        let cleared = self.folder.set_replaying(None).and_then(|()| self.folder.remove(old));
        cleared.map_err(|error| self.fault(&error))?;
        let ended_at = Some(Timestamp::now());
        self.shelf.set_replay(self.shelf.replay().map(|replay| SearchReplaying { ended_at, ..replay }));
        self.ground.signals.replays(number, true);
        Ok(made)
    }

    /// Whether all that is followed could be measured. A broker that is away is told by the shard itself.
    async fn measure(&self, generation: &Generation) -> bool {
        for shard in self.ground.shards.all() {
            let Some(applied) = generation.progress.applied(shard) else { continue };
            let Ok(lag) = self.ground.broker.lag(&shard.stream(), &shard.log_all(), applied).await else {
                return false;
            };
            generation.progress.lags(shard, lag);
            self.ground.signals.lags(shard, lag, generation.progress.is_rebuilding());
        }
        true
    }
}
