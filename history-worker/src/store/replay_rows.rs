//! What is being made anew, and what is left of what was read before.

use std::time::Duration;

use protocol::{RoomSlug, Timestamp};
use surrealdb::types::{RecordId, SurrealValue, Variables};

use super::rows::{array, int, natural, shard_room_in, shard_room_key, shard_rooms};
use super::tables::{REPLAY, STALE};
use super::{Store, StoreError};
use crate::projection::Part;
use crate::replay::Replay;

/// Longest wait for a replay to be written.
const BEGIN_MAX: Duration = Duration::from_secs(5);

/// The state is JSON: nobody asks the database for a part of it.
#[derive(Debug, SurrealValue)]
pub(super) struct ReplayRow {
    pub under_way: bool,
    pub state: String,
}

#[derive(Debug, SurrealValue)]
pub(super) struct StaleRow {
    pub id: RecordId,
    pub generation: i64,
    pub since_ms: i64,
}

/// A room of which nobody begins to read the rows under older generations any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    pub room: RoomSlug,
    /// The one that is read.
    pub generation: u64,
    pub since: Timestamp,
}

pub(super) fn replay_id(part: Part) -> RecordId {
    RecordId::new(REPLAY, array([i64::from(part.shard.0).into_value()]))
}

fn stale_id(part: Part, room: &RoomSlug) -> RecordId {
    RecordId::new(STALE, shard_room_key(part, room))
}

impl ReplayRow {
    pub fn of(replay: &Replay) -> Result<Self, StoreError> {
        Ok(Self {
            under_way: replay.is_under_way(),
            state: serde_json::to_string(replay).map_err(|_| StoreError::Malformed("replay"))?,
        })
    }

    fn replay(&self) -> Result<Replay, StoreError> {
        serde_json::from_str(&self.state).map_err(|_| StoreError::Malformed("replay"))
    }
}

impl StaleRow {
    pub fn of(part: Part, room: &RoomSlug, generation: u64) -> Self {
        let since_ms = Timestamp::now().as_millis();
        Self { id: stale_id(part, room), generation: int(generation), since_ms }
    }

    fn stale(self) -> Result<Stale, StoreError> {
        Ok(Stale {
            room: shard_room_in(&self.id)?,
            generation: natural(self.generation, "generation")?,
            since: Timestamp::from_millis(self.since_ms),
        })
    }
}

impl Store {
    /// What of the shard is made anew, or was made last.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn replay(&self, part: Part) -> Result<Option<Replay>, StoreError> {
        let rows: Vec<ReplayRow> = self.select("SELECT * FROM $of", vec![replay_id(part)]).await?;
        rows.first().map(ReplayRow::replay).transpose()
    }

    /// Begins, unless another is under way: then gives that one.
    pub async fn begin_replay(&self, part: Part, replay: &Replay) -> Result<Option<Replay>, StoreError> {
        let statements = "
            BEGIN;
            LET $other = SELECT VALUE under_way FROM ONLY $of;
            IF !($other ?? false) { UPSERT $of CONTENT $new RETURN NONE };
            COMMIT;";
        let mut variables = Variables::new();
        variables.insert("of", replay_id(part));
        variables.insert("new", ReplayRow::of(replay)?);
        self.connection.query(statements, variables, BEGIN_MAX).await?;
        let now = self.replay(part).await?;
        Ok(now.filter(|now| now.told.began_at != replay.told.began_at))
    }

    /// Rooms of the shard whose older rows are to be deleted: at most 10.
    pub async fn stale(&self, part: Part) -> Result<Vec<Stale>, StoreError> {
        let rows: Vec<StaleRow> =
            self.select_range("SELECT * FROM $range LIMIT 10", shard_rooms(STALE, part)).await?;
        rows.into_iter().map(StaleRow::stale).collect()
    }

    /// Notes that a room has no older rows any more, unless it was made anew once more meanwhile.
    pub async fn nothing_stale(&self, part: Part, stale: &Stale) -> Result<(), StoreError> {
        let mut variables = Variables::new();
        variables.insert("of", stale_id(part, &stale.room));
        variables.insert("generation", int(stale.generation));
        let statement = "DELETE $of WHERE generation = $generation RETURN NONE";
        self.connection.query(statement, variables, BEGIN_MAX).await?;
        Ok(())
    }
}
