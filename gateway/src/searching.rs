//! Looking for messages in a person's rooms. The search worker says where they are; what they say is read here like any page, so that
//! what was edited, deleted or erased since is never shown, however far behind its index is.

use crate::{Error, directory::MyRoom, history, state::Gateway};
use futures_util::{StreamExt, stream};
use protocol::{
    RoomSlug, Text, Timestamp, UserId,
    frame::Person,
    search::{
        FindQuery, Found, Hit, SEARCH_HITS_MAX, SEARCH_PAGE, SEARCH_ROOMS_MAX, Search, SearchAnswer,
        SearchQuery,
    },
    subject,
    view::{Row, What},
};
use std::{collections::HashMap, time::Duration};
use text_analysis::{Matcher, Piece, excerpt, fold};

/// How long the search worker is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rows that are read at once for one page.
const ROWS_AT_ONCE: usize = 10;

/// A message that was found, as it is now.
pub struct Shown {
    pub room: RoomSlug,
    pub room_name: String,
    pub row: Row,
    pub author: Person,
    pub excerpt: Vec<Piece>,
}

/// A page of what was found.
pub struct Results {
    pub shown: Vec<Shown>,
    /// Whether another page lies behind this one.
    pub more: bool,
    pub complete: bool,
    pub as_of: Timestamp,
}

/// Why there are no results.
pub enum NoResults {
    /// There is nothing in the words to look for.
    NoWords,
    /// The person has no room that is called so.
    NoRoom(String),
    /// The search worker is not there, lags, or fails.
    Unavailable,
    Failed(Error),
}

impl From<Error> for NoResults {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Which page of the results, from 0 on, and of what moment, if there was one before.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub page: usize,
    pub as_of: Option<Timestamp>,
}

/// What a person finds in their rooms.
///
/// # Errors
/// [`NoResults`].
pub async fn search(
    gateway: &Gateway,
    user: UserId,
    search: Search,
    Part { page, as_of }: Part,
) -> Result<Results, NoResults> {
    let matcher = Matcher::new(&search.wanted);
    let has_words = !search.wanted.is_empty();
    if has_words && matcher.patterns().is_empty() {
        return Err(NoResults::NoWords);
    }
    let mut rooms = gateway.directory.rooms_of(user).await?;
    // The rooms with the newest messages come first.
    rooms.truncate(SEARCH_ROOMS_MAX);
    let rooms = meant(rooms, &search.rooms)?;
    let offset = page.saturating_mul(SEARCH_PAGE).min(SEARCH_HITS_MAX);
    let query = FindQuery {
        rooms: rooms.keys().cloned().collect(),
        wanted: search.wanted,
        from: search.from,
        since: search.since,
        before: search.before,
        as_of,
        offset,
        limit: SEARCH_PAGE,
    };
    let Found { hits, more, complete, as_of } = ask(gateway, query).await.ok_or(NoResults::Unavailable)?;
    // What is in none of these rooms was not asked for.
    let hits = hits.into_iter().filter_map(|hit| Some((rooms.get(&hit.room)?.clone(), hit)));
    let shown =
        stream::iter(hits).map(|(name, hit)| shown(gateway, hit, name, &matcher)).buffered(ROWS_AT_ONCE);
    let shown: Vec<_> = shown.filter_map(std::future::ready).collect().await;
    Ok(Results { shown, more, complete, as_of })
}

/// The rooms that are meant, with their names: all when none is named.
fn meant(mine: Vec<MyRoom>, named: &[String]) -> Result<HashMap<RoomSlug, String>, NoResults> {
    let mut wanted: Vec<_> = named.iter().map(|name| (fold(name), false)).collect();
    let mut rooms = HashMap::new();
    for room in mine {
        let folded = fold(&room.name);
        let mut is_meant = wanted.is_empty();
        for (name, is_there) in &mut wanted {
            if *name == folded || name == room.slug.as_str() {
                (*is_there, is_meant) = (true, true);
            }
        }
        if is_meant {
            rooms.insert(room.slug, room.name);
        }
    }
    match named.iter().zip(&wanted).find(|(_, (_, is_there))| !is_there) {
        Some((name, _)) => Err(NoResults::NoRoom(name.clone())),
        None => Ok(rooms),
    }
}

async fn ask(gateway: &Gateway, query: FindQuery) -> Option<Found> {
    let asked = gateway.broker.ask(subject::SEARCH_QUERIES.into(), &SearchQuery::Find(query), PATIENCE).await;
    match asked {
        Ok(SearchAnswer::Found(found)) => {
            gateway.signals.search_ok();
            Some(found)
        }
        Ok(SearchAnswer::Refused { reason }) => {
            gateway.signals.search_failed(&reason);
            None
        }
        Ok(_) => {
            gateway.signals.search_failed("it answers something else");
            None
        }
        Err(error) => {
            gateway.signals.search_failed(&error.to_string());
            None
        }
    }
}

/// A hit with the message as it is now; `None` for one that is not there any more or says something else.
async fn shown(gateway: &Gateway, hit: Hit, room_name: String, matcher: &Matcher) -> Option<Shown> {
    let page = history::before(gateway, &hit.room, hit.seq.saturating_add(1), 1).await;
    let named = page.ok()?.rows.pop().filter(|named| named.row.seq == hit.seq)?;
    let What::Message(content) = &named.row.what else { return None };
    let Text::Plain(body) = &content.body else { return None };
    let found = matcher.find(body.as_str())?;
    let excerpt = excerpt(body.as_str(), &found);
    Some(Shown { room: hit.room, room_name, excerpt, author: named.author, row: named.row })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(slug: &str, name: &str) -> MyRoom {
        MyRoom { slug: RoomSlug::parse(slug).unwrap(), name: name.to_owned(), last: None }
    }

    fn found(named: &[&str]) -> Result<Vec<String>, String> {
        let mine = vec![room("tea_x7qa", "Thé"), room("tea_b2cd", "THE"), room("cake_a1b2", "Cake shop")];
        let named: Vec<_> = named.iter().map(|name| (*name).to_owned()).collect();
        match meant(mine, &named) {
            Ok(rooms) => {
                let mut slugs: Vec<_> = rooms.into_keys().map(|slug| slug.to_string()).collect();
                slugs.sort();
                Ok(slugs)
            }
            Err(NoResults::NoRoom(name)) => Err(name),
            Err(_) => Err(String::new()),
        }
    }

    #[test]
    fn a_room_is_meant_by_its_name_or_its_address() {
        assert_eq!(found(&[]).unwrap().len(), 3);
        assert_eq!(found(&["the"]).unwrap(), ["tea_b2cd", "tea_x7qa"], "of one name there may be several");
        assert_eq!(found(&["tea_x7qa", "cake SHOP"]).unwrap(), ["cake_a1b2", "tea_x7qa"]);
        assert_eq!(found(&["tea_x7qa", "Secret"]), Err("Secret".to_owned()));
    }
}
