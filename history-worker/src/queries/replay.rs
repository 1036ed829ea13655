//! Beginning to make the history anew, and how far that is.

use protocol::Timestamp;
use protocol::query::{AskReplay, HistoryAnswer, Look, Replay as What, SeedPiece, Seeding};

use super::{Answers, NoAnswer};
use crate::Error;
use crate::replay::Replay;
use crate::replay::aged::Looking;
use crate::replay::seed::{self, Begun, Given};

const BUSY: &str = "something else of this shard is being made anew: wait for its end";

impl Answers {
    pub(super) async fn replay(&self, asked: AskReplay) -> Result<HistoryAnswer, NoAnswer> {
        match asked {
            AskReplay::Status => {}
            AskReplay::Begin(what) => self.begin_replay(what, None).await?,
            AskReplay::BeginWith { what, generation } => {
                self.seeding(generation).await?;
                self.begin_replay(what, Some(generation)).await?;
            }
            AskReplay::Look(look) => return self.look(look).await,
            AskReplay::Seed(seeding) => return self.begin_seeding(&seeding).await,
            AskReplay::Rows(piece) => return self.take_seeds(&piece).await,
        }
        let last = self.store.replay(self.part).await?.map(|replay| replay.told);
        Ok(HistoryAnswer::Replay { last })
    }

    /// The worker that applies the shard makes it, which may be another one.
    pub(super) async fn begin_replay(&self, what: What, seeds: Option<u64>) -> Result<(), NoAnswer> {
        if let What::Room(room) = &what {
            self.check_room(room)?;
        }
        let Some(checkpoint) = self.store.checkpoint(self.part).await? else {
            return Err(NoAnswer::Behind { applied: 0 });
        };
        let replay = Replay::new(what.clone(), &checkpoint).with_seeds(seeds);
        let other = self.store.begin_replay(self.part, &replay).await?;
        self.to_replay.notify_one();
        match other {
            Some(other) if other.told.what != what => Err(NoAnswer::refused(BUSY)),
            _ => Ok(()),
        }
    }

    async fn look(&self, look: Look) -> Result<HistoryAnswer, NoAnswer> {
        let applied = self.reached(0).await?.applied;
        let (part, broker, store) = (self.part, &self.broker, &self.store);
        let looked = Looking { part, broker, store, applied }.look(look).await;
        looked.map(HistoryAnswer::Looked).map_err(|error| self.unread(error))
    }

    /// A snapshot of this history is about to be given.
    async fn begin_seeding(&self, seeding: &Seeding) -> Result<HistoryAnswer, NoAnswer> {
        let Some(checkpoint) = self.store.checkpoint(self.part).await? else {
            return Err(NoAnswer::Behind { applied: 0 });
        };
        seed::fits(self.part, seeding, &checkpoint).map_err(NoAnswer::refused)?;
        if seeding.stream != checkpoint.stream {
            // A log that was restored is called otherwise, but holds the same entries.
            let found = self.broker.get(&self.part.shard.stream(), seeding.applied).await;
            let at = found.map_err(|error| self.unread(error.into()))?.map(|record| record.at);
            if at.is_none() || at != seeding.applied_at {
                return Err(NoAnswer::refused(format!(
                    "the snapshot is of another installation, or of a log that was another life of this one: at {}, where it ends, the \
                     log has not what it had",
                    seeding.applied
                )));
            }
        }
        if self.store.replay(self.part).await?.is_some_and(|replay| replay.is_under_way()) {
            return Err(NoAnswer::refused(BUSY));
        }
        self.store.drop_seeds(self.part).await?;
        let touched = Timestamp::now();
        let generation = u64::try_from(touched.as_millis()).unwrap_or(0);
        let begun = Begun { generation, applied: seeding.applied, touched };
        self.store.begin_seeding(self.part, begun).await?;
        Ok(HistoryAnswer::Seeding { generation })
    }

    async fn take_seeds(&self, piece: &SeedPiece) -> Result<HistoryAnswer, NoAnswer> {
        let begun = self.seeding(piece.generation).await?;
        let given = Given::read(self.part, piece).map_err(NoAnswer::refused)?;
        self.store.seed(self.part, begun, &given).await?;
        Ok(HistoryAnswer::Seeding { generation: begun.generation })
    }

    /// What is being given, if it is still that.
    async fn seeding(&self, generation: u64) -> Result<Begun, NoAnswer> {
        let begun = self.store.seeding(self.part).await?.filter(|begun| begun.generation == generation);
        begun.ok_or_else(|| {
            NoAnswer::refused("another snapshot is being given, or this one was given up: begin again")
        })
    }

    fn unread(&self, error: Error) -> NoAnswer {
        match error {
            Error::Store(error) => NoAnswer::Failed(error),
            error => {
                tracing::warn!(shard = self.part.shard.0, %error, "a replay could not be prepared");
                NoAnswer::refused("the broker can't be asked for the log now")
            }
        }
    }
}
