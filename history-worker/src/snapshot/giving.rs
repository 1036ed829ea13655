//! Giving a snapshot to whoever asks, piece by piece.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Question, Questions};
use protocol::Timestamp;
use protocol::query::{AskPiece, LastSnapshot, SnapshotPiece};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::timeout;
use uuid::Uuid;

use super::walk::{Stopped, Walk};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::projection::Part;
use crate::signals::Signals;
use crate::store::Store;

/// After this time without a question nobody is thought to want the rest.
const ABANDONED: Duration = Duration::from_secs(60);
/// So long after the end it is said again to who asks again: the answer may have been lost.
const LINGER: Duration = Duration::from_secs(30);

/// What a snapshot is given with.
#[derive(Clone)]
pub struct Giving {
    pub part: Part,
    pub broker: Broker,
    pub store: Store,
    pub signals: Arc<Signals>,
}

/// A snapshot that has begun.
pub struct Begun {
    /// Where its pieces are asked for.
    pub pieces: String,
    pub applied: u64,
}

/// Begins a snapshot of the history as it is now. `alone` is held to its end. `None` when nothing was ever applied: then nothing is all
/// that there is, and was taken.
pub async fn begin(giving: Giving, alone: OwnedMutexGuard<()>) -> Result<Option<Begun>, Error> {
    let moment = giving.store.moment().await?;
    let Some(checkpoint) = moment.checkpoint(giving.part).await? else {
        moment.pass().await;
        taken(&giving, LastSnapshot { at: Timestamp::now(), applied: 0 }).await;
        return Ok(None);
    };
    let pieces = giving.part.shard.snapshot_pieces(Uuid::new_v4());
    let questions = giving.broker.serve(pieces.clone(), "snapshot").await?;
    let begun = Begun { pieces, applied: checkpoint.applied };
    tokio::spawn(Box::pin(give(giving, (moment, checkpoint), questions, alone)));
    Ok(Some(begun))
}

async fn give(
    giving: Giving,
    (moment, checkpoint): (Store, Checkpoint),
    mut questions: Questions,
    alone: OwnedMutexGuard<()>,
) {
    let last = LastSnapshot { at: Timestamp::now(), applied: checkpoint.applied };
    let (sender, mut pieces) = mpsc::channel(1);
    let walking =
        tokio::spawn(Box::pin(walk(Walk::new(giving.part, moment, sender.clone()), checkpoint, sender)));
    let mut given: Option<(u64, SnapshotPiece)> = None;
    while let Ok(Some(question)) = timeout(ABANDONED, questions.next()).await {
        let asked = asked(&question);
        let next = given.as_ref().map_or(0, |(piece, _)| piece + 1);
        if asked == Some(next) {
            given = Some((next, pieces.recv().await.unwrap_or_else(|| failed("the worker stopped with it"))));
        }
        let answer = match &given {
            Some((piece, answer)) if asked == Some(*piece) => answer.clone(),
            _ => failed("this piece is not the next one"),
        };
        if answer == SnapshotPiece::End {
            // Whoever hears the end may begin another one.
            taken(&giving, last).await;
            drop(alone);
            question.answer_with_bytes(answer.encode().into()).await;
            return say_again(&answer, asked, questions).await;
        }
        question.answer_with_bytes(answer.encode().into()).await;
    }
    // The walk finds nobody who wants its next piece, and ends.
    drop(pieces);
    let _ = walking.await;
}

async fn say_again(end: &SnapshotPiece, piece: Option<u64>, mut questions: Questions) {
    while let Ok(Some(question)) = timeout(LINGER, questions.next()).await {
        let answer =
            if asked(&question) == piece { end.clone() } else { failed("nothing comes after the end") };
        question.answer_with_bytes(answer.encode().into()).await;
    }
}

fn asked(question: &Question) -> Option<u64> {
    serde_json::from_slice(&question.payload).map(|AskPiece { piece }| piece).ok()
}

fn failed(why: &str) -> SnapshotPiece {
    SnapshotPiece::Failed(why.to_owned())
}

/// Walks through the history, and says how it ended.
async fn walk(mut walk: Walk, checkpoint: Checkpoint, sender: mpsc::Sender<SnapshotPiece>) {
    let last = match walk.all(checkpoint).await {
        Ok(()) => Some(SnapshotPiece::End),
        Err(Stopped::Store(error)) => Some(SnapshotPiece::Failed(error.to_string())),
        Err(Stopped::Archive(error)) => Some(SnapshotPiece::Failed(error.to_string())),
        Err(Stopped::Unwanted) => None,
    };
    walk.store.pass().await;
    if let Some(last) = last {
        // Nobody may want it.
        let _ = sender.send(last).await;
    }
}

async fn taken(giving: &Giving, last: LastSnapshot) {
    if let Err(error) = giving.store.set_last_snapshot(giving.part, last).await {
        tracing::warn!(shard = giving.part.shard.0, %error, "a snapshot was taken, which could not be noted");
    }
    giving.signals.snapshot_taken(giving.part.shard, last);
}
