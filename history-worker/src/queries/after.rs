//! What happened in a room behind a cursor: its rows and their changes, one after the other, with the texts of now.

use std::collections::HashMap;

use protocol::query::{AfterQuery, Events};
use protocol::view::{SealedRow, What};
use protocol::{Event, SealedStored, SealedText};

use super::{Answers, NoAnswer};
use crate::edition::{Edition, Editions};
use crate::paging::{self, ANSWER_BYTES_MAX};
use crate::projection::{Change, Changed, Kept, Place, RoomState};
use crate::store::{self, Rising, StoreError};

/// Something that happened, in the order of sequences.
enum Piece {
    Row(Kept),
    Change(Change),
}

impl Answers {
    pub(super) async fn after(&self, query: &AfterQuery) -> Result<Events, NoAnswer> {
        self.check(&query.room, query.limit)?;
        let progress = self.reached(query.at_least).await?;
        let (stream, applied) = (progress.stream, progress.applied);
        let states = self.store.rooms([&query.room]).await?;
        let (events, reached) = match states.get(&query.room) {
            Some(state) => self.events_after(query, state, applied).await?,
            None => (Vec::new(), applied.max(query.after)),
        };
        Ok(Events { stream, applied, events, reached })
    }

    /// The events behind the cursor up to `applied`, and how far they go. Rows and changes are read one after the other, while the
    /// projection may go on: so nothing behind `applied` is taken.
    async fn events_after(
        &self,
        query: &AfterQuery,
        state: &RoomState,
        applied: u64,
    ) -> Result<(Vec<SealedStored>, u64), StoreError> {
        let AfterQuery { room, after, limit, .. } = query;
        let first = after.saturating_add(1);
        let place = self.store.place(room, state, (Rising::Sequence, first)).await?;
        let edition = state.edition(room);
        let rows = self.store.rows(edition, paging::from(place, state.count, *limit as u64)).await?;
        let end = applied.saturating_add(1).max(first);
        let changes = self.store.changes(edition, first..end, *limit).await?;
        let mut reached = applied.max(*after);
        for (count, last) in [
            (rows.len(), rows.last().map(|kept| kept.row.seq)),
            (changes.len(), changes.last().map(|c| c.seq)),
        ] {
            if let Some(last) = last.filter(|_| count == *limit) {
                reached = reached.min(last);
            }
        }
        let pieces = rows.into_iter().map(Piece::Row).chain(changes.into_iter().map(Piece::Change));
        let mut pieces: Vec<_> =
            pieces.filter(|piece| piece.seq() <= reached && !piece.is_about_expired(state)).collect();
        pieces.sort_unstable_by_key(Piece::seq);
        if pieces.len() > *limit {
            pieces.truncate(*limit);
            reached = pieces.last().map_or(reached, Piece::seq);
        }
        let mut events = self.with_texts(edition, pieces).await?;
        let fitting = paging::fitting(events.iter().map(paging::bytes), ANSWER_BYTES_MAX);
        if fitting < events.len() {
            events.truncate(fitting);
            reached = events.last().map_or(reached, |stored| stored.seq);
        }
        Ok((events, reached))
    }

    /// As events, each with the text that its message has now. What was erased is left out.
    async fn with_texts(
        &self,
        Edition { room, generation }: Edition<'_>,
        pieces: Vec<Piece>,
    ) -> Result<Vec<SealedStored>, StoreError> {
        let edited = pieces.iter().filter_map(|piece| match piece {
            Piece::Change(change) if change.what == Changed::Edited => Some(Place::new(room, change.number)),
            _ => None,
        });
        let places: Vec<_> = edited.collect();
        let edited = self.store.kept(Editions::Under(generation), &places).await?;
        let bodies = edited.iter().filter_map(|(place, kept)| match &kept.row.what {
            What::Message(content) => Some((place.number, &content.body)),
            _ => None,
        });
        let bodies: HashMap<_, _> = bodies.collect();
        let events = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Row(kept) => of_row(&kept.row),
            Piece::Change(change) => of_change(&change, bodies.get(&change.number).copied()),
        });
        Ok(events.collect())
    }
}

impl Piece {
    const fn seq(&self) -> u64 {
        match self {
            Self::Row(kept) => kept.row.seq,
            Self::Change(change) => change.seq,
        }
    }

    /// Whether it changes what is gone.
    const fn is_about_expired(&self, state: &RoomState) -> bool {
        match self {
            Self::Row(_) => false,
            Self::Change(change) => !change.counts(state.expired),
        }
    }
}

fn of_row(row: &SealedRow) -> Option<SealedStored> {
    let (id, author) = (row.id, row.author);
    let event = match &row.what {
        What::Created { name } => Event::Created { id, author, name: name.clone() },
        What::Joined => Event::Joined { id, author },
        What::Left => Event::Left { id, author },
        What::Retention { keep } => Event::Retention { id, author, keep: *keep },
        What::Unreadable => Event::Unreadable { id, author },
        What::UserErased => Event::UserErased { id, author },
        What::Message(_) => return store::message(row),
        What::Erased | What::Unopened => return None,
    };
    Some(SealedStored { seq: row.seq, at: row.at, event })
}

fn of_change(change: &Change, body: Option<&SealedText>) -> Option<SealedStored> {
    let (id, author, target) = (change.id, change.author, change.target);
    let event = match &change.what {
        Changed::Edited => Event::Edited { id, author, target, body: body?.clone() },
        Changed::Deleted { of, hash } => Event::Deleted { id, author, target, of: *of, hash: hash.clone() },
        Changed::Reacted { reaction, on } => {
            Event::Reacted { id, author, target, reaction: reaction.clone(), on: *on }
        }
        Changed::Expired { of, keep } => Event::Expired { id, author, target, of: *of, keep: *keep },
    };
    Some(SealedStored { seq: change.seq, at: change.at, event })
}
