//! What could not be applied, for the operator who looks through it.

use data_encoding::BASE64_NOPAD;
use protocol::query::{AskSetAside, HistoryAnswer, SetAside};

use super::{Answers, NoAnswer};
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
                self.store.drop_aside(self.part, seq).await?;
                self.signals.asides(self.part.shard, self.store.asides(self.part).await?);
                (dropped, None)
            }
        };
        Ok(HistoryAnswer::SetAside { entries, payload })
    }

    async fn one_aside(&self, seq: u64) -> Result<Vec<SetAside>, StoreError> {
        let mut found = self.store.asides_after(self.part, seq.saturating_sub(1)).await?;
        found.retain(|entry| entry.seq == seq);
        Ok(found)
    }
}
