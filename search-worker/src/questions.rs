//! Questions about the index, asked over the broker.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Question};
use protocol::search::{
    AskSearchReplay, FindQuery, Found, SEARCH_PAGE, SEARCH_PARTS_MAX, SEARCH_ROOMS_MAX, SearchAnswer,
    SearchQuery,
};
use protocol::subject;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::finding::find;
use crate::keeping::Shelf;
use crate::names::Names;
use crate::signals::{Outcome, Signals};

/// Questions that are answered at once. More are refused.
const AT_ONCE_MAX: usize = 16;

/// Answers from the index.
#[derive(Clone)]
pub struct Answers {
    pub broker: Broker,
    pub shelf: Arc<Shelf>,
    pub names: Arc<Names>,
    pub signals: Arc<Signals>,
}

/// Why a question has no answer of its own kind.
enum NoAnswer {
    Refused(&'static str),
    Failed(&'static str),
}

impl Answers {
    /// Serves questions until `shutdown`; those in hand are answered first.
    ///
    /// # Errors
    /// When the broker's client has shut down.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut questions = self.broker.serve(subject::SEARCH_QUERIES.into(), "search").await?;
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
                        Err(_) => {
                            self.signals.asked(Outcome::Busy, Duration::ZERO);
                            question.answer(&refused("too many searches at once")).await;
                        }
                    }
                }
            }
        }
        answering.join_all().await;
        Ok(())
    }

    async fn answer(&self, question: Question) {
        let began = Instant::now();
        let (outcome, answer) = match self.look_up(&question.payload).await {
            Ok(answer) => (Outcome::Answered, answer),
            Err(NoAnswer::Refused(why)) => (Outcome::Refused, refused(why)),
            Err(NoAnswer::Failed(why)) => (Outcome::Failed, refused(why)),
        };
        self.signals.asked(outcome, began.elapsed());
        question.answer(&answer).await;
    }

    async fn look_up(&self, question: &[u8]) -> Result<SearchAnswer, NoAnswer> {
        match serde_json::from_slice(question) {
            Ok(SearchQuery::Find(query)) => self.find(query).await.map(SearchAnswer::Found),
            Ok(SearchQuery::Status) => {
                let status = self.shelf.status().ok_or(NoAnswer::Failed("no index is open"))?;
                Ok(SearchAnswer::Status(status))
            }
            Ok(SearchQuery::Replay(AskSearchReplay::Begin)) => {
                Ok(SearchAnswer::Replay { last: Some(self.shelf.begin_replay()) })
            }
            Ok(SearchQuery::Replay(AskSearchReplay::Status)) => {
                Ok(SearchAnswer::Replay { last: self.shelf.replay() })
            }
            Err(_) => Err(NoAnswer::Refused("not a question about the index")),
        }
    }

    async fn find(&self, query: FindQuery) -> Result<Found, NoAnswer> {
        let parts = query.wanted.len() + query.from.len();
        if query.limit > SEARCH_PAGE || query.rooms.len() > SEARCH_ROOMS_MAX || parts > SEARCH_PARTS_MAX {
            return Err(NoAnswer::Refused("more than a search may have"));
        }
        let generation = self.shelf.current().ok_or(NoAnswer::Failed("no index is open"))?;
        let complete = generation.progress.is_complete();
        let authors = (!query.from.is_empty()).then(|| self.names.find(&query.from));
        let as_of = query.as_of.unwrap_or_else(|| generation.progress.newest());
        let index = generation.index.clone();
        let searched = spawn_blocking(move || find(&index, (&query, as_of), authors.as_deref())).await;
        let why = match searched {
            Ok(Ok(best)) => return Ok(Found { hits: best.hits, more: best.more, complete, as_of }),
            // What tantivy says names files, and no texts.
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(why, "the index could not be searched");
        if generation.index.folder.is_forged() {
            self.shelf.is_broken(generation.number);
        }
        Err(NoAnswer::Failed("the index failed"))
    }
}

fn refused(reason: &str) -> SearchAnswer {
    SearchAnswer::Refused { reason: reason.to_owned() }
}
