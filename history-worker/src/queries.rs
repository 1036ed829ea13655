//! Questions about a shard's history, asked over the broker.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Question};
use protocol::query::{HistoryAnswer, HistoryQuery, Page, PageQuery};
use protocol::{RoomSlug, limits, subject};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::paging::{self, Search};
use crate::projection::{Part, RoomState};
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
    pub store: Store,
    pub signals: Arc<Signals>,
    pub progress: watch::Receiver<Option<Progress>>,
}

/// Why a question has no answer of its own kind.
enum NoAnswer {
    Behind { applied: u64 },
    Refused(&'static str),
    Failed(StoreError),
}

impl From<StoreError> for NoAnswer {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Answers {
    /// Serves the shard's questions until `shutdown`; those in hand are answered first.
    ///
    /// # Errors
    /// When the broker's client has shut down.
    pub async fn serve(self, broker: Broker, shutdown: CancellationToken) -> Result<(), Error> {
        let mut questions = broker.serve(self.part.shard.history_queries(), "history").await?;
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
                (QueryOutcome::Refused, HistoryAnswer::Refused { reason: reason.into() })
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
            Ok(HistoryQuery::Last { rooms }) => self.last(&rooms).await,
            Err(_) => Err(NoAnswer::Refused("not a question about the history")),
        }
    }

    async fn last(&self, rooms: &[RoomSlug]) -> Result<HistoryAnswer, NoAnswer> {
        if rooms.len() > ROOMS_MAX {
            return Err(NoAnswer::Refused("at most 200 rooms in one question"));
        }
        for room in rooms {
            self.check_room(room)?;
        }
        let answer = HistoryAnswer::Last { events: self.store.last_messages(rooms).await? };
        let bytes = serde_json::to_vec(&answer).map_or(0, |bytes| bytes.len());
        if bytes > paging::ANSWER_BYTES_MAX {
            return Err(NoAnswer::Refused(
                "their last messages are too long for one answer: ask for fewer rooms",
            ));
        }
        Ok(answer)
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, NoAnswer> {
        if query.limit == 0 || query.limit > limits::PAGE_EVENTS_MAX {
            return Err(NoAnswer::Refused("a page has 1 to 100 events"));
        }
        self.check_room(&query.room)?;
        let progress = self.reached(query.at_least).await?;
        // Read after the progress, so that the page has at least what it says is applied.
        let states = self.store.rooms([&query.room]).await?;
        let nothing = Page {
            stream: progress.stream,
            applied: progress.applied,
            events: Vec::new(),
            prev: 0,
            more_after: false,
        };
        match states.get(&query.room) {
            Some(state) => Ok(self.page_of(query, state, nothing).await?),
            None => Ok(nothing),
        }
    }

    async fn page_of(&self, query: &PageQuery, state: &RoomState, page: Page) -> Result<Page, StoreError> {
        let place = self.place(&query.room, state, paging::boundary(query.at)).await?;
        let numbers = paging::window(query.at, place, state.count, query.limit as u64);
        // The event before the page is read with it, for its sequence.
        let first = numbers.start.saturating_sub(1).max(1);
        let mut events = self.store.events(&query.room, first..numbers.end).await?;
        if events.len() as u64 != numbers.end - first {
            return Err(StoreError::Malformed("number"));
        }
        let mut prev = 0;
        if first < numbers.start {
            prev = events.remove(0).seq;
        }
        let fitting = paging::fitting(query.at, &events);
        if fitting.start > 0 {
            prev = events[fitting.start - 1].seq;
        }
        let last = numbers.start + fitting.end as u64;
        events.truncate(fitting.end);
        events.drain(..fitting.start);
        Ok(Page { events, prev, more_after: last <= state.count, ..page })
    }

    /// The number of the room's first event with at least this sequence; one more than it has when there is none.
    async fn place(&self, room: &RoomSlug, state: &RoomState, seq: u64) -> Result<u64, StoreError> {
        if seq > state.last_seq {
            return Ok(state.count + 1);
        }
        let mut search = Search::new(seq, state.count);
        loop {
            if let Some(number) = search.found() {
                return Ok(number);
            }
            let probes = search.probes();
            search.narrow(&probes, &self.store.sequences(room, &probes).await?);
        }
    }

    fn check_room(&self, room: &RoomSlug) -> Result<(), NoAnswer> {
        if subject::Shard::of(room, self.part.shards) == self.part.shard {
            Ok(())
        } else {
            Err(NoAnswer::Refused("the room belongs to another shard"))
        }
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
