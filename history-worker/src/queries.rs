//! Answers for a shard's history, asked over the broker.

use crate::Error;
use crate::paging;
use crate::shard::Applied;
use crate::signals::Signals;
use crate::store::{Store, StoreError};
use broker::{Broker, Question};
use protocol::query::{HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::Shard;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The queue group in which all workers answer.
const QUEUE: &str = "history";
/// Rooms in one question for last messages.
const ROOMS_MAX: usize = 200;

/// What answers need.
#[derive(Clone)]
pub struct Answers {
    pub store: Store,
    pub applied: watch::Receiver<Option<Applied>>,
    pub patience: Duration,
    pub signals: Arc<Signals>,
}

/// Answers until `shutdown`; at most `at_once` questions are worked on, more are refused as busy.
///
/// # Errors
/// When the subject can't be served.
pub async fn serve(
    broker: &Broker,
    shard: Shard,
    answers: Answers,
    at_once: usize,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut questions = broker.serve(shard.history_queries(), QUEUE).await?;
    loop {
        // A signal and a queue that keeps what was not taken: either may be cancelled.
        let question = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            question = questions.next() => question,
        };
        let Some(question) = question else { return Err(broker::Error::Disconnected.into()) };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    answers.answer(question).await;
                    drop(place);
                });
            }
            Err(_) => {
                answers.signals.answered("busy", Duration::ZERO);
                let reason = "too many questions at once".to_owned();
                question.answer(&HistoryAnswer::Refused { reason }).await;
            }
        }
    }
}

impl Answers {
    async fn answer(mut self, question: Question) {
        let started = Instant::now();
        let answer = match serde_json::from_slice(&question.payload) {
            Ok(HistoryQuery::Page(query)) => self.page(query).await,
            Ok(HistoryQuery::Last { rooms }) if rooms.len() <= ROOMS_MAX => {
                let found = self.store.last_messages(&rooms).await;
                found.map(|events| HistoryAnswer::Last { events }).unwrap_or_else(refused)
            }
            Ok(HistoryQuery::Last { .. }) => {
                HistoryAnswer::Refused { reason: format!("at most {ROOMS_MAX} rooms in one question") }
            }
            Err(_) => HistoryAnswer::Refused { reason: "not a question of this version".to_owned() },
        };
        let outcome = match &answer {
            HistoryAnswer::Page(_) => "page",
            HistoryAnswer::Last { .. } => "last",
            HistoryAnswer::Behind { .. } => "behind",
            HistoryAnswer::Refused { .. } => "refused",
        };
        question.answer(&answer).await;
        self.signals.answered(outcome, started.elapsed());
    }

    async fn page(&mut self, query: PageQuery) -> HistoryAnswer {
        let reached = |applied: &Option<Applied>| applied.is_some_and(|applied| applied.seq >= query.at_least);
        // Whether it came so far or not is read below.
        let _ = timeout(self.patience, self.applied.wait_for(reached)).await;
        let Some(applied) = *self.applied.borrow() else { return HistoryAnswer::Behind { applied: 0 } };
        if applied.seq < query.at_least {
            return HistoryAnswer::Behind { applied: applied.seq };
        }
        let place = (applied.stream, applied.seq);
        let page = paging::page(&self.store, &query.room, query.at, query.limit, place).await;
        page.map(HistoryAnswer::Page).unwrap_or_else(refused)
    }
}

fn refused(error: StoreError) -> HistoryAnswer {
    tracing::warn!(%error, "a question can't be answered");
    HistoryAnswer::Refused { reason: "the history can't be read now".to_owned() }
}
