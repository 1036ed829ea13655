//! `/search/`: messages of one's rooms, for people and programs.

use crate::{
    Error,
    edge::{answer, identity::Visitor},
    searching::{self, NoResults, Part, Results, Shown},
    state::Gateway,
};
use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use protocol::{
    RoomSlug, Timestamp,
    search::{BadSearch, SEARCH_HITS_MAX, SEARCH_PAGE, Search},
};
use serde_json::json;
use std::sync::Arc;
use templates::{ExcerptPiece, NextHits, SearchFault, SearchFound, SearchHit, SearchOutcome, SearchPage};
use tokio::time::Instant;

/// What an address asks for.
#[derive(serde::Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    /// A room whose page led here.
    #[serde(rename = "in")]
    room: Option<String>,
    /// Minutes that the reader's clock is ahead of UTC.
    #[serde(default)]
    zone: i32,
    /// From 1 on.
    page: Option<usize>,
    as_of: Option<i64>,
}

impl Asked {
    /// What stands in the search field.
    fn text(&self) -> String {
        let room = self.room.as_deref().and_then(|room| RoomSlug::parse(room).ok());
        match room {
            Some(room) if self.q.trim().is_empty() => format!("in:{room} "),
            _ => self.q.clone(),
        }
    }

    fn part(&self) -> Part {
        Part { page: self.page.unwrap_or(1).saturating_sub(1), as_of: self.as_of.map(Timestamp::from_millis) }
    }
}

/// What came of it.
enum Outcome {
    Fault(StatusCode, SearchFault),
    Unavailable,
    Found(Results),
}

impl Outcome {
    /// How counters name it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Fault(StatusCode::TOO_MANY_REQUESTS, _) => "too_fast",
            Self::Fault(..) => "refused",
            Self::Unavailable => "unavailable",
            Self::Found(_) => "found",
        }
    }
}

pub async fn get(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let is_for_a_person = answer::wants_page(&headers);
    if asked.q.trim().is_empty() && is_for_a_person {
        return page(&visitor, &asked, (StatusCode::OK, SearchOutcome::Nothing));
    }
    let outcome = outcome(&gateway, &visitor, &asked).await;
    gateway.signals.searched(outcome.as_ref().map_or("failed", Outcome::name));
    match outcome {
        Ok(outcome) if is_for_a_person => page(&visitor, &asked, for_a_person(&asked, outcome)),
        Ok(outcome) => for_a_program(outcome),
        Err(error) if is_for_a_person => answer::failed(visitor.layout(), &error),
        Err(error) => {
            tracing::warn!(%error, "a search can't be answered");
            answer::problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again in a moment")
        }
    }
}

async fn outcome(gateway: &Gateway, visitor: &Visitor, asked: &Asked) -> Result<Outcome, Error> {
    let unreadable = |fault| Ok(Outcome::Fault(StatusCode::UNPROCESSABLE_ENTITY, fault));
    let search = match Search::parse(&asked.q, asked.zone) {
        Ok(search) => search,
        Err(why) => return unreadable(SearchFault::Unreadable(why)),
    };
    let user = visitor.claims.user;
    if gateway.searches.take(user, Instant::now()).is_err() {
        return Ok(Outcome::Fault(StatusCode::TOO_MANY_REQUESTS, SearchFault::TooFast));
    }
    match searching::search(gateway, user, search, asked.part()).await {
        Ok(results) => Ok(Outcome::Found(results)),
        Err(NoResults::NoWords) => unreadable(SearchFault::NoWords),
        Err(NoResults::NoRoom(room)) => unreadable(SearchFault::NoRoom(room)),
        Err(NoResults::Unavailable) => Ok(Outcome::Unavailable),
        Err(NoResults::Failed(error)) => Err(error),
    }
}

fn page(visitor: &Visitor, asked: &Asked, (status, outcome): (StatusCode, SearchOutcome)) -> Response {
    let query = asked.text();
    answer::page(status, SearchPage { layout: visitor.layout(), query: &query, outcome }.render())
}

fn for_a_person(asked: &Asked, outcome: Outcome) -> (StatusCode, SearchOutcome) {
    match outcome {
        Outcome::Fault(status, fault) => (status, SearchOutcome::Fault(fault)),
        Outcome::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, SearchOutcome::Unavailable),
        Outcome::Found(results) => {
            let next = next_page(asked, &results).map(|page| NextHits {
                page,
                as_of_ms: results.as_of.as_millis(),
                zone_minutes: asked.zone,
            });
            let hits = results.shown.into_iter().map(hit).collect();
            (StatusCode::OK, SearchOutcome::Found(SearchFound { hits, next, complete: results.complete }))
        }
    }
}

/// The number of the page behind this one, if there is one.
fn next_page(asked: &Asked, results: &Results) -> Option<usize> {
    let page = asked.page.unwrap_or(1).max(1);
    (results.more && page.saturating_mul(SEARCH_PAGE) < SEARCH_HITS_MAX).then_some(page + 1)
}

fn hit(shown: Shown) -> SearchHit {
    let pieces = shown.excerpt.into_iter();
    SearchHit {
        room: shown.room.to_string(),
        room_name: shown.room_name,
        message_id: shown.row.id.to_string(),
        author_id: shown.author.id.to_string(),
        author_name: shown.author.name,
        at: shown.row.at.to_string(),
        excerpt: pieces.map(|piece| ExcerptPiece { text: piece.text, marked: piece.marked }).collect(),
    }
}

fn for_a_program(outcome: Outcome) -> Response {
    let results = match outcome {
        Outcome::Fault(status, fault) => {
            let (code, why) = explained(&fault);
            return answer::problem(status, code, why);
        }
        Outcome::Unavailable => {
            let why = "nobody answers searches now; everything else works";
            return answer::problem(StatusCode::SERVICE_UNAVAILABLE, "search_unavailable", why);
        }
        Outcome::Found(results) => results,
    };
    let hits = results.shown.into_iter().map(|shown| {
        let pieces = shown.excerpt.iter().map(|piece| json!({ "text": piece.text, "marked": piece.marked }));
        json!({
            "room": shown.room,
            "room_name": shown.room_name,
            "id": shown.row.id,
            "seq": shown.row.seq,
            "at": shown.row.at,
            "author": shown.author,
            "excerpt": pieces.collect::<Vec<_>>(),
        })
    });
    let hits: Vec<_> = hits.collect();
    let Results { more, complete, as_of, .. } = results;
    let body = json!({ "hits": hits, "more": more, "complete": complete, "as_of": as_of.as_millis() });
    let mut response = Json(body).into_response();
    let private = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, private);
    response
}

/// A fault's code and a sentence for whoever reads a program's log. What was typed is in neither.
const fn explained(fault: &SearchFault) -> (&'static str, &'static str) {
    match fault {
        SearchFault::Unreadable(BadSearch::Empty) | SearchFault::NoWords => {
            ("no_words", "there is nothing to search for in q")
        }
        SearchFault::Unreadable(BadSearch::TooLong) => ("too_long", "q has more than 500 characters"),
        SearchFault::Unreadable(BadSearch::TooMany) => ("too_many_words", "q has more than 16 words"),
        SearchFault::Unreadable(BadSearch::Nothing(_)) => {
            ("nothing_behind", "an operator has nothing behind it")
        }
        SearchFault::Unreadable(BadSearch::NoDay(_)) => ("no_day", "days are written as 2026-11-25"),
        SearchFault::NoRoom(_) => ("no_such_room", "you have no room of this name or address"),
        SearchFault::TooFast => ("too_fast", "too many searches at once; wait a few seconds"),
    }
}
