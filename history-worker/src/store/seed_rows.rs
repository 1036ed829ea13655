//! What was given of rooms whose beginning the log has lost, before a replay makes them from there on.

use std::time::Duration;

use protocol::{RoomSlug, Timestamp};
use surrealdb::types::{RecordId, SurrealValue, Value, Variables};

use super::rows::{array, int, natural, shard_room_key, shard_rooms, shard_rooms_behind, text};
use super::tables::SEED;
use super::write::Transaction;
use super::{Store, StoreError};
use crate::edition::Editions;
use crate::projection::Part;
use crate::replay::seed::{Begun, Given, Seed};

const WRITE_MAX: Duration = Duration::from_secs(30);

/// The state is JSON: nobody asks the database for a part of it.
#[derive(Debug, SurrealValue)]
struct SeedRow {
    id: RecordId,
    state: String,
}

#[derive(Debug, SurrealValue)]
struct BegunRow {
    generation: i64,
    applied: i64,
    touched_ms: i64,
}

fn begun_id(part: Part) -> RecordId {
    RecordId::new("meta", array([text(&"seeding"), i64::from(part.shard.0).into_value()]))
}

pub(super) fn seed_id(part: Part, room: &RoomSlug) -> RecordId {
    RecordId::new(SEED, shard_room_key(part, room))
}

impl SeedRow {
    fn of(part: Part, seed: &Seed) -> Result<Self, StoreError> {
        let state = serde_json::to_string(seed).map_err(|_| StoreError::Malformed("seed"))?;
        Ok(Self { id: seed_id(part, &seed.room), state })
    }

    fn seed(&self) -> Result<Seed, StoreError> {
        serde_json::from_str(&self.state).map_err(|_| StoreError::Malformed("seed"))
    }
}

impl Store {
    /// What is being given of the shard, or was.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn seeding(&self, part: Part) -> Result<Option<Begun>, StoreError> {
        let rows: Vec<BegunRow> = self.select("SELECT * FROM $of", vec![begun_id(part)]).await?;
        let begun = |row: BegunRow| {
            let touched = Timestamp::from_millis(row.touched_ms);
            let generation = natural(row.generation, "generation")?;
            Ok(Begun { generation, applied: natural(row.applied, "sequence")?, touched })
        };
        rows.into_iter().next().map(begun).transpose()
    }

    /// Begins to take it.
    pub async fn begin_seeding(&self, part: Part, begun: Begun) -> Result<(), StoreError> {
        let row = BegunRow {
            generation: int(begun.generation),
            applied: int(begun.applied),
            touched_ms: begun.touched.as_millis(),
        };
        let mut variables = Variables::new();
        variables.insert("of", begun_id(part));
        variables.insert("row", row);
        self.connection.query("UPSERT $of CONTENT $row RETURN NONE", variables, WRITE_MAX).await?;
        Ok(())
    }

    /// Writes a piece, which may have been written before.
    pub async fn seed(&self, part: Part, begun: Begun, given: &Given) -> Result<(), StoreError> {
        let Begun { generation, applied, .. } = begun;
        let mut transaction = Transaction::again();
        transaction.batch(part, Editions::Under(generation), &given.batch);
        let seed = |(room, state): (&RoomSlug, _)| {
            let seed = Seed { room: room.clone(), generation, applied, state: Clone::clone(state) };
            SeedRow::of(part, &seed).map(SurrealValue::into_value)
        };
        let seeds = given.rooms.iter().map(seed).collect::<Result<Vec<Value>, _>>()?;
        transaction.insert(SEED, "seeds", seeds, "ON DUPLICATE KEY UPDATE state = $input.state");
        self.run(transaction).await?;
        self.begin_seeding(part, Begun { touched: Timestamp::now(), ..begun }).await
    }

    /// Those of these rooms that were given.
    pub async fn seeds(
        &self,
        part: Part,
        rooms: impl IntoIterator<Item = &RoomSlug>,
    ) -> Result<Vec<Seed>, StoreError> {
        let ids = rooms.into_iter().map(|room| seed_id(part, room)).collect();
        let rows: Vec<SeedRow> = self.select("SELECT * FROM $of", ids).await?;
        rows.iter().map(SeedRow::seed).collect()
    }

    /// Those that were given and not made yet, behind a room: at most 100.
    pub async fn seeds_after(&self, part: Part, after: Option<&RoomSlug>) -> Result<Vec<Seed>, StoreError> {
        let all = || shard_rooms(SEED, part);
        let range = after.map_or_else(all, |after| shard_rooms_behind(SEED, part, after));
        let rows: Vec<SeedRow> = self.select_range("SELECT * FROM $range LIMIT 100", range).await?;
        rows.iter().map(SeedRow::seed).collect()
    }

    /// Lets go what was given and not used. It may be cut short, and be begun again.
    pub async fn drop_seeds(&self, part: Part) -> Result<(), StoreError> {
        loop {
            let seeds = self.seeds_after(part, None).await?;
            if seeds.is_empty() {
                break;
            }
            let rooms = self.rooms(seeds.iter().map(|seed| &seed.room)).await?;
            for Seed { room, generation, .. } in &seeds {
                // The one that is read is no seed any more.
                if rooms.get(room).is_none_or(|state| state.generation != *generation) {
                    self.delete_rows(room, *generation..generation + 1).await?;
                }
            }
            let ids = seeds.iter().map(|seed| seed_id(part, &seed.room)).collect();
            let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", ids).await?;
        }
        let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", vec![begun_id(part)]).await?;
        Ok(())
    }
}
