//! One index, kept up with the log: what is read of it is put in, and the index with its checkpoint is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::subject::Shard;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use traces::Pending;

use crate::checkpoint::{Checkpoint, Point};
use crate::following::{Ground, Piece, follow, follow_erasures};
use crate::index::{Fault, Index, Writer};
use crate::progress::Progress;

/// How long after the first change it can be found: at the end of the log, and while more of it waits.
const COMMIT_AFTER: Duration = Duration::from_millis(500);
const COMMIT_AFTER_BEHIND: Duration = Duration::from_secs(5);
/// How often segments with deleted messages are written anew.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Pause between two of them, in which what waits is committed.
const SWEEP_NEXT: Duration = Duration::from_millis(200);
/// Pieces that were read and are not put in yet.
const PIECES_MAX: usize = 4;

/// One index, as it is searched and as its keeping up is seen.
pub struct Generation {
    pub number: u64,
    pub index: Index,
    pub progress: Progress,
}

/// How keeping up an index ended.
pub enum Ended {
    /// Because it was asked to.
    Stopped,
    /// The index has to be made anew.
    Unusable(String),
    /// It could not be written now.
    Failed(String),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unusable(why) => Self::Unusable(why),
            Fault::Failed(why) => Self::Failed(why),
        }
    }
}

/// The writing half of an index, while it is kept up.
pub struct Building {
    generation: Arc<Generation>,
    /// Away while a thread works with it.
    writer: Option<Writer>,
    checkpoint: Checkpoint,
    /// Where each shard is whose changes are not committed, and whether that is the end of its log.
    waiting: BTreeMap<Shard, (Point, bool)>,
    /// When what waits is to be committed.
    due: Option<Instant>,
    was_changed: bool,
    /// Messages that are followed, until they can be found.
    indexing: Pending,
}

impl Building {
    pub fn new(generation: Arc<Generation>, writer: Writer, checkpoint: Checkpoint) -> Self {
        let (writer, waiting) = (Some(writer), BTreeMap::new());
        let indexing = Pending::default();
        Self { generation, writer, checkpoint, waiting, due: None, was_changed: false, indexing }
    }

    /// Keeps the index up until `stop`; what waits then is committed.
    pub async fn run(mut self, ground: Ground, stop: CancellationToken) -> Ended {
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        let mut reading = JoinSet::new();
        for shard in ground.shards.all() {
            reading.spawn(follow(ground.clone(), shard, self.checkpoint.of(shard), sender.clone()));
        }
        reading.spawn(follow_erasures(ground.clone(), sender));
        let ended = self.keep_up(&ground, &mut pieces, &stop).await;
        reading.shutdown().await;
        if let Some(writer) = self.writer.take() {
            // Its threads end with it.
            let _ = spawn_blocking(move || writer.close()).await;
        }
        match ended {
            Ok(()) => Ended::Stopped,
            Err(ended) => ended,
        }
    }

    async fn keep_up(
        &mut self,
        ground: &Ground,
        pieces: &mut mpsc::Receiver<Piece>,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        loop {
            let due = self.due;
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            // Inputs: the end, the time to commit and to sweep, a piece. All only wait, and a piece that is not taken stays in its queue.
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.commit(ground).await,
                () = is_due => self.commit(ground).await?,
                () = sleep_until(sweep_at) => {
                    let is_clean = !self.with_writer(Writer::sweep).await?;
                    sweep_at = Instant::now() + if is_clean { SWEEP_EVERY } else { SWEEP_NEXT };
                }
                piece = pieces.recv() => match piece {
                    Some(piece) => self.take(piece).await?,
                    None => return Err(Ended::Failed("nobody reads the log any more".into())),
                }
            }
        }
    }

    async fn take(&mut self, piece: Piece) -> Result<(), Ended> {
        let (changes, is_end) = match piece {
            Piece::Parted(shard) => {
                let why = format!("shard {}: the log is not the one that is in it", shard.0);
                return Err(Ended::Unusable(why));
            }
            Piece::Erased(change) => (vec![change], true),
            Piece::Log { shard, point, changes, indexing, is_end } => {
                self.indexing.append(indexing);
                self.waiting.insert(shard, (point, is_end));
                (changes, is_end)
            }
        };
        if !changes.is_empty() {
            self.was_changed = true;
            self.with_writer(move |writer| writer.apply(&changes)).await?;
        }
        let after = if is_end { COMMIT_AFTER } else { COMMIT_AFTER_BEHIND };
        let due = Instant::now() + after;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        Ok(())
    }

    async fn commit(&mut self, ground: &Ground) -> Result<(), Ended> {
        self.due = None;
        let mut checkpoint = self.checkpoint.clone();
        for (shard, (point, _)) in &self.waiting {
            checkpoint.set(*shard, *point);
        }
        // A log in which nothing happens is not written down.
        if self.was_changed || checkpoint != self.checkpoint {
            let began = Instant::now();
            let committed = checkpoint.clone();
            self.with_writer(move |writer| writer.commit(&committed)).await?;
            ground.signals.committed(self.generation.index.messages(), began.elapsed());
            self.checkpoint = checkpoint;
            self.was_changed = false;
        }
        self.indexing.end();
        for (shard, (point, is_end)) in std::mem::take(&mut self.waiting) {
            self.generation.progress.reached(shard, point, is_end);
        }
        Ok(())
    }

    async fn with_writer<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Ended> {
        let lost = || Ended::Unusable("a thread that writes it has panicked".into());
        let mut writer = self.writer.take().ok_or_else(lost)?;
        let done = spawn_blocking(move || {
            let done = work(&mut writer);
            (writer, done)
        });
        let (writer, done) = done.await.map_err(|_| lost())?;
        self.writer = Some(writer);
        Ok(done?)
    }
}
