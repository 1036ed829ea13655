//! How far a follower of a stream is behind it, looked at from outside.

use crate::{Broker, Error};
use protocol::Timestamp;

/// How far what was made of a stream is behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Entries of the stream after the last applied one; 0 when none of the followed subject is among them.
    pub entries: u64,
    /// How long ago the first one that is not applied was stored, in seconds.
    pub seconds: u64,
}

impl Broker {
    /// How far whoever has applied a subject (or wildcard) of a stream up to `applied` is behind it.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn lag(&self, stream: &str, subject: &str, applied: u64) -> Result<Lag, Error> {
        let waiting = self.read_after(stream, subject, applied, 1).await?;
        let Some(oldest) = waiting.records.first() else { return Ok(Lag::default()) };
        let head = self.stream(stream).await?.last_seq;
        let age_ms = Timestamp::now().as_millis() - oldest.at.as_millis();
        let seconds = u64::try_from(age_ms / 1_000).unwrap_or(0);
        Ok(Lag { entries: head.saturating_sub(applied), seconds })
    }
}
