//! Beginning to make the history anew, and how far that is.

use protocol::query::{AskReplay, HistoryAnswer, Replay as What};

use super::{Answers, NoAnswer};
use crate::replay::Replay;

impl Answers {
    pub(super) async fn replay(&self, asked: AskReplay) -> Result<HistoryAnswer, NoAnswer> {
        if let AskReplay::Begin(what) = asked {
            self.begin_replay(what).await?;
        }
        let last = self.store.replay(self.part).await?.map(|replay| replay.told);
        Ok(HistoryAnswer::Replay { last })
    }

    /// The worker that applies the shard makes it, which may be another one.
    pub(super) async fn begin_replay(&self, what: What) -> Result<(), NoAnswer> {
        if let What::Room(room) = &what {
            self.check_room(room)?;
        }
        let Some(checkpoint) = self.store.checkpoint(self.part).await? else {
            return Err(NoAnswer::Behind { applied: 0 });
        };
        let other = self.store.begin_replay(self.part, &Replay::new(what.clone(), &checkpoint)).await?;
        self.to_replay.notify_one();
        match other {
            Some(other) if other.told.what != what => {
                Err(NoAnswer::refused("something else of this shard is being made anew: wait for its end"))
            }
            _ => Ok(()),
        }
    }
}
