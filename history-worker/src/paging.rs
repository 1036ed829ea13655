//! Pages of a room. A sequence or a place in the log becomes a number by a search over point reads, and a page is a bounded
//! range of numbers: its cost does not grow with the room.

use crate::projection::RoomState;
use crate::store::{Store, StoreError};
use protocol::query::{Page, PageAt};
use protocol::{RoomSlug, StreamIdentity, limits};

/// Numbers looked at in one round of the search: 15 cut what is left into 16 parts, so a million events take five rounds.
const PROBES: u64 = 15;

/// A page of a room as it is in the database; an empty one for a room that is not there.
///
/// # Errors
/// Any of [`StoreError`].
pub async fn page(
    store: &Store,
    room: &RoomSlug,
    at: PageAt,
    limit: usize,
    (stream, applied): (StreamIdentity, u64),
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, limits::PAGE_EVENTS_MAX) as u64;
    let empty = Page { stream, applied, events: Vec::new(), prev: 0, more_after: false };
    let Some(state) = store.rooms([room]).await?.remove(room) else { return Ok(empty) };
    // The numbers `first..=last` are the page; `first - 1` is read too, for its sequence.
    let (first, last) = match at {
        PageAt::Before(seq) => {
            let last = count_before(store, room, &state, seq).await?;
            (last.saturating_sub(limit) + 1, last)
        }
        PageAt::After(seq) => {
            let first = count_before(store, room, &state, seq.saturating_add(1)).await? + 1;
            (first, (first + limit - 1).min(state.count))
        }
    };
    let mut events = store.events(room, (first - 1).max(1)..last + 1).await?;
    let prev = if first > 1 && !events.is_empty() { events.remove(0).seq } else { 0 };
    Ok(Page { events, prev, more_after: last < state.count, ..empty })
}

/// How many events of the room have a sequence below `seq`: numbers and sequences rise together.
async fn count_before(
    store: &Store,
    room: &RoomSlug,
    state: &RoomState,
    seq: u64,
) -> Result<u64, StoreError> {
    if seq > state.last_seq {
        return Ok(state.count);
    }
    // Event `low` lies below `seq`, event `high` does not.
    let (mut low, mut high) = (0, state.count);
    while high - low > 1 {
        let probes = probes(low, high);
        let sequences = store.sequences(room, &probes).await?;
        for (number, found) in probes.into_iter().zip(sequences) {
            if found < seq {
                low = number;
            } else {
                high = number;
                break;
            }
        }
    }
    Ok(low)
}

/// Numbers strictly between two, spread evenly and rising.
fn probes(low: u64, high: u64) -> Vec<u64> {
    let between = high - low - 1;
    let count = between.min(PROBES);
    (1..=count).map(|n| low + n * (between + 1) / (count + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_lie_strictly_between_and_rise() {
        for (low, high) in [(0, 2), (0, 3), (5, 21), (5, 22), (0, 1_000_000), (7, 40)] {
            let probes = probes(low, high);
            assert!(!probes.is_empty() && probes.len() as u64 <= PROBES);
            assert!(probes.iter().all(|n| low < *n && *n < high), "{low} {high} {probes:?}");
            assert!(probes.is_sorted_by(|a, b| a < b), "{low} {high} {probes:?}");
        }
    }
}
