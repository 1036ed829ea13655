//! How far a shard's log has been applied, and whether the log that is there is the one that was applied.

use std::fmt;

use broker::Record;
use protocol::{StreamIdentity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::projection::Batch;

/// How far a shard has been applied. It is written in one transaction with the rows of what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of which life of the stream the sequences are.
    pub stream: StreamIdentity,
    /// Everything up to this sequence has been applied; 0 when nothing has.
    pub applied: u64,
    /// Rises with every transaction, also with those that make rooms anew: what a worker holds in memory is of one turn.
    pub turn: u64,
    /// When the broker stored the entry with that sequence.
    pub applied_at: Option<Timestamp>,
    /// Events written (changes of rows among them), copies passed over and entries set aside, since the beginning.
    pub totals: Totals,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub events: u64,
    pub duplicates: u64,
    pub asides: u64,
}

/// Why the log can't be the one that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parted {
    /// The stream was deleted and made anew.
    OtherStream { stored: StreamIdentity, found: StreamIdentity },
    /// The log ends before what was applied, as after the restore of an older copy.
    Shorter { applied: u64, head: u64 },
    /// Another entry stands where the last applied one stood.
    OtherEntry { seq: u64, stored: Timestamp, found: Timestamp },
}

/// What the log says of itself, to be compared with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFacts {
    pub stream: StreamIdentity,
    /// The sequence of the last message in the stream.
    pub head: u64,
    /// When the entry at the checkpoint's sequence was stored; `None` when it isn't there any more, or not known.
    pub at_applied: Option<Timestamp>,
}

impl Checkpoint {
    /// The checkpoint of a log of which nothing was applied.
    pub const fn new(stream: StreamIdentity) -> Self {
        let totals = Totals { events: 0, duplicates: 0, asides: 0 };
        Self { stream, applied: 0, turn: 0, applied_at: None, totals }
    }

    /// The checkpoint after a batch whose last entry is `last`.
    pub fn after(&self, batch: &Batch, last: &Record) -> Self {
        Self {
            stream: self.stream,
            applied: last.seq,
            turn: self.turn + 1,
            applied_at: Some(last.at),
            totals: Totals {
                events: self.totals.events + batch.events(),
                duplicates: self.totals.duplicates + batch.duplicates,
                asides: self.totals.asides + batch.asides_alone(),
            },
        }
    }

    /// The checkpoint after something was made anew.
    pub fn after_replay(&self) -> Self {
        Self { turn: self.turn + 1, ..self.clone() }
    }

    /// Whether the log continues what was applied.
    ///
    /// # Errors
    /// [`Parted`] when it provably does not.
    pub fn continues_in(&self, log: LogFacts) -> Result<(), Parted> {
        if log.stream != self.stream {
            return Err(Parted::OtherStream { stored: self.stream, found: log.stream });
        }
        if log.head < self.applied {
            return Err(Parted::Shorter { applied: self.applied, head: log.head });
        }
        match (self.applied_at, log.at_applied) {
            (Some(stored), Some(found)) if stored != found => {
                Err(Parted::OtherEntry { seq: self.applied, stored, found })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Parted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherStream { stored, found } => write!(
                f,
                "the log was made anew (stream {found}, the history is of stream {stored}): nothing was changed; bring the \
                 old log back, or start with an empty history database"
            ),
            Self::Shorter { applied, head } => write!(
                f,
                "the log ends at sequence {head}, but the history has applied it up to {applied}: an older copy of the log \
                 was restored; nothing was changed"
            ),
            Self::OtherEntry { seq, stored, found } => write!(
                f,
                "the log's entry {seq} was stored at {found}, but the history has applied one of {stored} there: the log went \
                 another way after an older copy was restored; nothing was changed"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            turn: 7,
            applied: 17,
            applied_at: Some(Timestamp::from_millis(1_000)),
            ..Checkpoint::new(StreamIdentity(1))
        }
    }

    fn log() -> LogFacts {
        LogFacts { stream: StreamIdentity(1), head: 20, at_applied: Some(Timestamp::from_millis(1_000)) }
    }

    #[test]
    fn a_log_that_went_on_is_continued() {
        assert_eq!(checkpoint().continues_in(log()), Ok(()));
        assert_eq!(checkpoint().continues_in(LogFacts { head: 17, ..log() }), Ok(()));
        let erased = LogFacts { at_applied: None, ..log() };
        assert_eq!(
            checkpoint().continues_in(erased),
            Ok(()),
            "an entry may have been erased or have aged out"
        );
    }

    #[test]
    fn a_log_made_anew_is_not_continued() {
        let parted = checkpoint().continues_in(LogFacts { stream: StreamIdentity(2), ..log() });
        assert!(matches!(parted, Err(Parted::OtherStream { .. })), "{parted:?}");
    }

    #[test]
    fn a_restored_older_log_is_not_continued() {
        let parted = checkpoint().continues_in(LogFacts { head: 16, ..log() });
        assert_eq!(parted, Err(Parted::Shorter { applied: 17, head: 16 }));
    }

    #[test]
    fn a_restored_older_log_that_grew_past_the_checkpoint_is_not_continued() {
        let other = Some(Timestamp::from_millis(2_000));
        let parted = checkpoint().continues_in(LogFacts { at_applied: other, ..log() });
        assert!(matches!(parted, Err(Parted::OtherEntry { seq: 17, .. })), "{parted:?}");
    }
}
