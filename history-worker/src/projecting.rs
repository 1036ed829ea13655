//! Projecting a piece of the log after what the database has: what must be known is read first.

use std::collections::HashMap;

use broker::Record;
use protocol::RoomSlug;

use crate::Error;
use crate::edition::Editions;
use crate::projection::{self, Batch, Entry, Known, Part, Place, RoomState};
use crate::store::{Store, StoreError};

/// Rows that are read with one that turns out to be needed.
const NEIGHBOURS: u64 = 100;

/// Projects entries of all rooms after the editions that are read. `rooms` are those that are known already; the others are added.
///
/// # Errors
/// Any of [`StoreError`], here and below.
pub async fn live(
    part: Part,
    store: &Store,
    records: &[Record],
    rooms: &mut HashMap<RoomSlug, RoomState>,
) -> Result<Batch, Error> {
    let entries = read(part, records);
    let (named, _) = projection::asked(&entries);
    let missing = named.iter().filter(|room| !rooms.contains_key(*room));
    let found = store.rooms(missing).await?;
    rooms.extend(found);
    project(store, (records, &entries), None, rooms).await
}

/// Projects entries of rooms that are made anew under a generation: of one after its state there, or from the beginning, of which
/// the database has nothing.
pub async fn anew(
    part: Part,
    store: &Store,
    records: &[Record],
    (generation, state): (u64, Option<(RoomSlug, RoomState)>),
) -> Result<Batch, Error> {
    let entries = read(part, records);
    project(store, (records, &entries), Some(generation), &mut state.into_iter().collect()).await
}

fn read(part: Part, records: &[Record]) -> Vec<Entry> {
    records.iter().map(|record| projection::read(part, record)).collect()
}

async fn project(
    store: &Store,
    (records, entries): (&[Record], &[Entry]),
    generation: Option<u64>,
    rooms: &mut HashMap<RoomSlug, RoomState>,
) -> Result<Batch, Error> {
    let editions = generation.map_or(Editions::Read(rooms), Editions::Under);
    let is_beginning = generation.is_some() && rooms.is_empty();
    let known = if is_beginning { Known::default() } else { known(store, entries, editions).await? };
    let mut known = Known { rooms: std::mem::take(rooms), ..known };
    let batch = with_neighbours(store, (records, entries), generation, &mut known).await;
    *rooms = known.rooms;
    batch
}

/// What the database knows of what the entries are about, but for the rooms.
async fn known(store: &Store, entries: &[Entry], editions: Editions<'_>) -> Result<Known, Error> {
    let (_, sent) = projection::asked(entries);
    let sent = store.sent(editions, &sent).await?;
    let wanted = projection::wanted(entries, &sent);
    let kept = store.kept(editions, &wanted.kept).await?;
    let marks = store.marks(editions, &wanted.marks).await?;
    let texts = store.texts(editions, &wanted.texts).await?;
    Ok(Known { rooms: HashMap::new(), sent, kept, marks, texts })
}

/// Projects with what is known, and reads what is found to be needed on the way.
async fn with_neighbours(
    store: &Store,
    (records, entries): (&[Record], &[Entry]),
    generation: Option<u64>,
    known: &mut Known,
) -> Result<Batch, Error> {
    loop {
        let batch = projection::project(records, entries, known);
        if batch.unknown.is_empty() {
            return Ok(batch);
        }
        for place in &batch.unknown {
            let editions = generation.map_or(Editions::Read(&known.rooms), Editions::Under);
            // Where one message is erased or has expired its neighbours may have too.
            let (first, last) = known.rooms.get(&place.room).map_or((1, 0), |room| (room.first, room.count));
            let first = place.number.saturating_sub(NEIGHBOURS).max(first);
            let end = (place.number + NEIGHBOURS).min(last).max(place.number) + 1;
            let rows = store.rows(editions.of(&place.room), first..end).await?;
            if rows.len() as u64 != end - first {
                return Err(StoreError::Malformed("number").into());
            }
            known.kept.extend((first..).map(|number| Place::new(&place.room, number)).zip(rows));
        }
    }
}
