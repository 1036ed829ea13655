//! Rows and events with the names of people, as a page or a socket shows them.

use crate::{room::shown::Shown, state::Gateway};
use protocol::{
    StoredEvent,
    frame::{Person, ReactionFrame},
    view::{Row, What},
};
use std::sync::Arc;

/// A page of a room, oldest first.
pub struct HistoryPage {
    pub rows: Vec<NamedRow>,
    /// Whether the room has rows before the first of them.
    pub more: bool,
    /// Which of the rows was asked for; `None` for the last ones before a place.
    pub spot: Option<usize>,
    /// Up to which sequence of the shard the history worker had applied the log, where it gave the page.
    pub applied: Option<u64>,
}

/// A row with the names that it shows.
pub struct NamedRow {
    pub row: Row,
    /// The row before it; 0 for none.
    pub prev: u64,
    pub author: Person,
    pub reactions: Vec<ReactionFrame>,
}

/// Puts names to rows and links each to the one before; `prev` is the row before the first.
pub async fn page(gateway: &Gateway, rows: Vec<Row>, mut prev: u64) -> HistoryPage {
    let more = prev > 0;
    let mut named = Vec::with_capacity(rows.len());
    for mut row in rows {
        row.what = row.what.settled();
        let mut reactions = Vec::new();
        if let What::Message(content) = &row.what {
            for given in &content.reactions {
                let mut by = Vec::with_capacity(given.by.len());
                for user in &given.by {
                    by.push(gateway.profiles.person(*user).await);
                }
                reactions.push(ReactionFrame { reaction: given.reaction.clone(), count: given.count, by });
            }
        }
        let author = gateway.profiles.person(row.author).await;
        let seq = row.seq;
        named.push(NamedRow { row, prev, author, reactions });
        prev = seq;
    }
    HistoryPage { rows: named, more, spot: None, applied: None }
}

/// Puts names to events and links each to the one before.
pub async fn shown(gateway: &Gateway, events: Vec<StoredEvent>, mut prev: u64) -> Vec<Arc<Shown>> {
    /// What an event weighs beside its text.
    const BYTES_BESIDE: usize = 150;
    let mut all = Vec::with_capacity(events.len());
    for stored in events {
        let name = gateway.profiles.name(stored.event.author()).await;
        let seq = stored.seq;
        let bytes = stored.event.body().map_or(0, |body| body.as_str().len()) + BYTES_BESIDE;
        all.push(Arc::new(Shown::new(stored, prev, name, bytes)));
        prev = seq;
    }
    all
}
