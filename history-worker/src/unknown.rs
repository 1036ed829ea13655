//! Rooms that the log has and the history has not.

use broker::Broker;
use protocol::{RoomSlug, subject};

use crate::Error;
use crate::projection::Part;
use crate::store::Store;

/// Rooms of the log that are looked at at once.
const ROOMS: usize = 1_000;

/// Some of them, in the order in which the log has them.
pub struct Unknown {
    /// Each with the sequence of its state.
    pub rooms: Vec<(u64, RoomSlug)>,
    /// Behind which sequence there may be more.
    pub next: Option<u64>,
}

/// Looks through the rooms that the log has behind a sequence, and up to `applied`.
///
/// # Errors
/// When log or database can't be read.
pub async fn rooms(
    part: Part,
    (broker, store): (&Broker, &Store),
    after: u64,
    applied: u64,
) -> Result<Unknown, Error> {
    let batch = broker.read_after(&part.shard.stream(), &part.shard.room_all(), after, ROOMS).await?;
    let said = batch.records.iter().filter(|record| record.seq <= applied);
    let mut rooms: Vec<_> =
        said.filter_map(|record| Some((record.seq, subject::room_of(&record.subject)?))).collect();
    let held = store.rooms(rooms.iter().map(|(_, room)| room)).await?;
    rooms.retain(|(_, room)| !held.contains_key(room));
    let next = batch.records.last().filter(|_| batch.more).map(|last| last.seq);
    Ok(Unknown { rooms, next })
}
