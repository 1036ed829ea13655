//! What could not be applied, for the operator who looks through it.

use data_encoding::BASE64_NOPAD;
use protocol::query::{AskSetAside, HistoryAnswer, Replay, SetAside};

use super::{Answers, NoAnswer};
use crate::projection::{self, Entry};
use crate::store::StoreError;

impl Answers {
    pub(super) async fn set_aside(&self, asked: AskSetAside) -> Result<HistoryAnswer, NoAnswer> {
        let (entries, payload) = match asked {
            AskSetAside::List { after } => (self.store.asides_after(self.part, after).await?, None),
            AskSetAside::Show { seq } => {
                let payload = self.store.aside_payload(self.part, seq).await?;
                let shown = |payload: Vec<u8>| {
                    BASE64_NOPAD.encode(&payload[..payload.len().min(AskSetAside::SHOWN_BYTES_MAX)])
                };
                (self.one_aside(seq).await?, payload.map(shown))
            }
            AskSetAside::Drop { seq } => {
                let dropped = self.one_aside(seq).await?;
                self.store.drop_asides(self.part, &[seq]).await?;
                self.signals.asides(self.part.shard, self.store.asides(self.part).await?);
                (dropped, None)
            }
            AskSetAside::Retry { seq } => {
                let retried = self.one_aside(seq).await?;
                if let Some(entry) = retried.first() {
                    self.retry(entry).await?;
                }
                (retried, None)
            }
        };
        Ok(HistoryAnswer::SetAside { entries, payload })
    }

    /// What is an event now gets its place in its room by making the room anew.
    async fn retry(&self, entry: &SetAside) -> Result<(), NoAnswer> {
        let found = self.broker.get(&self.part.shard.stream(), entry.seq).await;
        let found = found.map_err(|_| NoAnswer::refused("the broker can't be asked for it now"))?;
        let record = found.ok_or_else(|| NoAnswer::refused("the log does not have it any more"))?;
        match projection::read(self.part, &record) {
            Entry::Event { room, .. } => self.begin_replay(Replay::Room(room), None).await,
            Entry::Unreadable { aside, .. } | Entry::Aside(aside) => {
                Err(NoAnswer::refused(format!("it still can't be read: {}", aside.reason)))
            }
        }
    }

    async fn one_aside(&self, seq: u64) -> Result<Vec<SetAside>, StoreError> {
        let mut found = self.store.asides_after(self.part, seq.saturating_sub(1)).await?;
        found.retain(|entry| entry.seq == seq);
        Ok(found)
    }
}
