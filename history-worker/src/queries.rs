//! Questions about a shard's history, asked over the broker.

mod after;
mod locate;
mod page;
mod replay;
mod set_aside;
mod snapshot;
mod status;
mod verify;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Question};
use protocol::query::{HistoryAnswer, HistoryQuery};
use protocol::{MessageId, RoomSlug, limits};
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::paging;
use crate::projection::Part;
use crate::shard::Progress;
use crate::signals::{QueryOutcome, Signals};
use crate::store::{Store, StoreError};

/// Questions that are answered at once, per shard. More are refused, and their askers read the log.
const AT_ONCE_MAX: usize = 64;
/// Longest wait until the projection has come to the sequence that a question names.
const CATCH_UP_MAX: Duration = Duration::from_millis(1_500);
/// Rooms in one question for last messages.
const ROOMS_MAX: usize = 200;

/// Answers for one shard.
#[derive(Clone)]
pub struct Answers {
    pub part: Part,
    pub broker: Broker,
    pub store: Store,
    pub signals: Arc<Signals>,
    pub progress: watch::Receiver<Option<Progress>>,
    /// What of the shard is compared with its log.
    pub verifying: Arc<Mutex<Option<verify::Job>>>,
    /// Held while a snapshot of the shard is given.
    pub giving: Arc<Mutex<()>>,
    /// Rung when there is something to make anew.
    pub to_replay: Arc<Notify>,
}

/// Why a question has no answer of its own kind.
enum NoAnswer {
    Behind { applied: u64 },
    Refused(Cow<'static, str>),
    Failed(StoreError),
}

impl From<StoreError> for NoAnswer {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl NoAnswer {
    fn refused(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(reason.into())
    }
}

impl Answers {
    /// Serves the shard's questions until `shutdown`; those in hand are answered first.
    ///
    /// # Errors
    /// When the broker's client has shut down.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut questions = self.broker.serve(self.part.shard.history_queries(), "history").await?;
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let mut answering = JoinSet::new();
        loop {
            // Inputs: the end, the next question, an answer given. Each branch only takes what is ready.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(_) = answering.join_next() => {}
                question = questions.next() => {
                    let Some(question) = question else { return Err(Error::Lost("the broker's client")) };
                    let answers = self.clone();
                    match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            answering.spawn(async move {
                                answers.answer(question).await;
                                drop(place);
                            });
                        }
                        Err(_) => answers.refuse_busy(question).await,
                    }
                }
            }
        }
        answering.join_all().await;
        Ok(())
    }

    async fn refuse_busy(&self, question: Question) {
        self.signals.asked(QueryOutcome::Busy, Duration::ZERO);
        question.answer(&HistoryAnswer::Refused { reason: "too many questions at once".into() }).await;
    }

    async fn answer(&self, question: Question) {
        let began = Instant::now();
        let (outcome, answer) = match self.look_up(&question.payload).await {
            Ok(answer) => (QueryOutcome::Answered, answer),
            Err(NoAnswer::Behind { applied }) => (QueryOutcome::Behind, HistoryAnswer::Behind { applied }),
            Err(NoAnswer::Refused(reason)) => {
                (QueryOutcome::Refused, HistoryAnswer::Refused { reason: reason.into_owned() })
            }
            Err(NoAnswer::Failed(error)) => {
                tracing::warn!(shard = self.part.shard.0, %error, "a question was not answered");
                (QueryOutcome::Failed, HistoryAnswer::Refused { reason: "the database failed".into() })
            }
        };
        self.signals.asked(outcome, began.elapsed());
        question.answer(&answer).await;
    }

    async fn look_up(&self, question: &[u8]) -> Result<HistoryAnswer, NoAnswer> {
        match serde_json::from_slice(question) {
            Ok(HistoryQuery::Page(query)) => self.page(&query).await.map(HistoryAnswer::Page),
            Ok(HistoryQuery::Locate(query)) => self.locate(&query).await,
            Ok(HistoryQuery::After(query)) => self.after(&query).await.map(HistoryAnswer::Events),
            Ok(HistoryQuery::Find { room, id }) => self.find(&room, id).await,
            Ok(HistoryQuery::Last { rooms }) => self.last(&rooms).await,
            Ok(HistoryQuery::Status) => self.status().await.map(HistoryAnswer::Status),
            Ok(HistoryQuery::SetAside(asked)) => self.set_aside(asked).await,
            Ok(HistoryQuery::Verify(what)) => self.verify(what).await.map(HistoryAnswer::Verified),
            Ok(HistoryQuery::Replay(asked)) => self.replay(asked).await,
            Ok(HistoryQuery::Snapshot) => self.snapshot().await,
            Ok(HistoryQuery::BackedUp { at }) => self.backed_up(at).await,
            Err(_) => Err(NoAnswer::refused("not a question about the history")),
        }
    }

    async fn find(&self, room: &RoomSlug, id: MessageId) -> Result<HistoryAnswer, NoAnswer> {
        self.check_room(room)?;
        let Progress { stream, applied } = self.reached(0).await?;
        let mut rows = self.store.find(room, id).await?;
        rows.truncate(paging::fitting(rows.iter().map(paging::bytes), paging::ANSWER_BYTES_MAX));
        Ok(HistoryAnswer::Found { stream, applied, rows })
    }

    async fn last(&self, rooms: &[RoomSlug]) -> Result<HistoryAnswer, NoAnswer> {
        if rooms.len() > ROOMS_MAX {
            return Err(NoAnswer::refused("at most 200 rooms in one question"));
        }
        for room in rooms {
            self.check_room(room)?;
        }
        let answer = HistoryAnswer::Last { events: self.store.last_messages(rooms).await? };
        let bytes = serde_json::to_vec(&answer).map_or(0, |bytes| bytes.len());
        if bytes > paging::ANSWER_BYTES_MAX {
            return Err(NoAnswer::refused(
                "their last messages are too long for one answer: ask for fewer rooms",
            ));
        }
        Ok(answer)
    }

    /// The limit of an answer and its room, checked.
    fn check(&self, room: &RoomSlug, limit: usize) -> Result<(), NoAnswer> {
        if limit == 0 || limit > limits::PAGE_EVENTS_MAX {
            return Err(NoAnswer::refused("an answer has 1 to 100 rows or events"));
        }
        self.check_room(room)
    }

    fn check_room(&self, room: &RoomSlug) -> Result<(), NoAnswer> {
        if self.part.has(room) { Ok(()) } else { Err(NoAnswer::refused("the room belongs to another shard")) }
    }

    /// Waits until the projection has applied `seq`.
    async fn reached(&self, seq: u64) -> Result<Progress, NoAnswer> {
        let mut progress = self.progress.clone();
        let there = progress.wait_for(|now| now.is_some_and(|now| now.applied >= seq));
        if let Ok(Ok(Some(now))) = timeout(CATCH_UP_MAX, there).await.map(|there| there.map(|now| *now)) {
            return Ok(now);
        }
        let applied = self.progress.borrow().map_or(0, |now| now.applied);
        Err(NoAnswer::Behind { applied })
    }
}
