//! What is set aside of rooms, people and messages, for whoever erases those.

use std::time::Duration;

use protocol::RoomSlug;
use surrealdb::types::{RecordId, Variables};

use super::rows::{AsideRow, aside_id, asides_after, asides_between};
use super::{Store, StoreError};
use crate::projection::Part;
use crate::snapshot::KeptAside;

const ANSWER_MAX: Duration = Duration::from_secs(5);

impl Store {
    /// What is set aside of these rooms' logs behind a sequence, with its bytes: a few at a time, which may be long.
    ///
    /// # Errors
    /// Any of [`StoreError`], here and below.
    pub async fn kept_asides_of(
        &self,
        part: Part,
        rooms: impl IntoIterator<Item = &RoomSlug>,
        behind: u64,
    ) -> Result<Vec<KeptAside>, StoreError> {
        let mut variables = Variables::new();
        variables.insert("range", asides_after(part, behind));
        variables.insert("subjects", rooms.into_iter().map(|room| part.shard.log(room)).collect::<Vec<_>>());
        let statement = "SELECT * FROM $range WHERE subject IN $subjects LIMIT 20";
        let rows: Vec<AsideRow> = self.connection.query(statement, variables, ANSWER_MAX).await?.take(0)?;
        rows.into_iter().map(AsideRow::kept).collect()
    }

    /// Forgets entries that are set aside.
    pub async fn drop_asides(&self, part: Part, sequences: &[u64]) -> Result<(), StoreError> {
        let ids = sequences.iter().map(|seq| aside_id(part, *seq)).collect();
        let _: Vec<RecordId> = self.select("DELETE $of RETURN NONE", ids).await?;
        Ok(())
    }

    /// Forgets what is set aside of a room up to a sequence, also on the subjects below its own, where nobody looks for it.
    pub async fn drop_asides_of(&self, part: Part, room: &RoomSlug, upto: u64) -> Result<(), StoreError> {
        let log = part.shard.log(room);
        let mut variables = Variables::new();
        variables.insert("range", asides_between(part, 0, upto));
        variables.insert("below", format!("{log}."));
        variables.insert("subject", log);
        let statement =
            "DELETE $range WHERE subject = $subject OR string::starts_with(subject, $below) RETURN NONE";
        self.connection.query(statement, variables, ANSWER_MAX).await?;
        Ok(())
    }
}
