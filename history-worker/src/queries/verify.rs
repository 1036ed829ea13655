//! Comparing the history with the log, a part at a time: whoever asks goes on where the answer ends, and asks the same again of a part
//! that takes longer than an answer may.

use std::borrow::Cow;
use std::time::Duration;

use protocol::query::{Verified, Verify};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Answers, NoAnswer};
use crate::Error;
use crate::verify::{By, Verifier};

/// After this time whoever asked is told to ask again.
const WHILE: Duration = Duration::from_secs(2);

/// After this time nobody is thought to come back for a part.
const ABANDONED: Duration = Duration::from_secs(30);

/// A part that is compared.
pub struct Job {
    what: Verify,
    /// The one task, which ends with whoever holds it.
    task: JoinSet<Result<Verified, Error>>,
    asked_at: Instant,
}

impl Answers {
    pub(super) async fn verify(&self, what: Verify) -> Result<Verified, NoAnswer> {
        const BUSY: NoAnswer = NoAnswer::Refused(Cow::Borrowed(
            "this shard is being verified already; a comparison that was cut short is given up after half a minute",
        ));
        if let Verify::Room(room) = &what {
            self.check_room(room)?;
        }
        let applied = self.reached(0).await?.applied;
        let mut job = self.verifying.try_lock().map_err(|_| BUSY)?;
        let mut task = match job.take().filter(|job| job.asked_at.elapsed() < ABANDONED) {
            Some(same) if same.what == what => same.task,
            Some(other) => {
                *job = Some(other);
                return Err(BUSY);
            }
            None => self.begin(what.clone(), applied),
        };
        match timeout(WHILE, task.join_next()).await {
            Ok(Some(Ok(Ok(verified)))) => {
                self.note(&what, &verified).await;
                Ok(verified)
            }
            Ok(Some(Ok(Err(error)))) => {
                tracing::warn!(shard = self.part.shard.0, %error, "the history could not be compared with the log");
                Err(NoAnswer::refused("log or database can't be read now"))
            }
            Ok(Some(Err(_)) | None) => Err(NoAnswer::refused("the comparison was cut short")),
            Err(_) => {
                *job = Some(Job { what: what.clone(), task, asked_at: Instant::now() });
                Ok(Verified { next: Some(what), ..Verified::default() })
            }
        }
    }

    /// All parts of the shard, one after the other, are a comparison of all.
    async fn note(&self, what: &Verify, part: &Verified) {
        if matches!(what, Verify::Room(_)) {
            return;
        }
        match self.verifier().note(By::Operator, what, part).await {
            Ok(None) => {}
            Ok(Some(last)) => self.signals.verified(self.part.shard, last),
            Err(error) => {
                let shard = self.part.shard.0;
                tracing::warn!(shard, %error, "the history was compared with the log, which could not be noted");
            }
        }
    }

    fn verifier(&self) -> Verifier {
        Verifier { part: self.part, broker: self.broker.clone(), store: self.store.clone() }
    }

    fn begin(&self, what: Verify, applied: u64) -> JoinSet<Result<Verified, Error>> {
        let verifier = self.verifier();
        let mut task = JoinSet::new();
        task.spawn(async move { verifier.part(what, applied).await });
        task
    }
}
