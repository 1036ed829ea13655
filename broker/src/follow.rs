//! Keeping up with a stream through restarts, lost connections and lost messages.

use crate::{Broker, Connection, Error, Record, Subscription};
use protocol::StreamIdentity;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// Reads a subject (or wildcard) of a stream in order, from a sequence on, for ever.
///
/// A live message is only a bell: what is read is always what is stored, after the last sequence seen. So a
/// lost bell delays and never loses, and whoever follows has one path for the first read, for the repair of a hole
/// and for news. A bell is lost at most for one period of looking. Any replica answers a read, also one that has not yet what the bell
/// rang for: it is asked for that again.
pub struct Follower {
    broker: Broker,
    stream: String,
    subject: String,
    bell: Subscription,
    connection: watch::Receiver<Connection>,
    identity: StreamIdentity,
    /// Everything up to here has been given out.
    seen: u64,
    /// More was known to be stored at the last read.
    more: bool,
    /// For which sequence a bell rang last, and when.
    rung: Option<(u64, Instant)>,
    look_every: Duration,
    looked_at: Instant,
}

/// Messages read at once, at most.
const BATCH_MAX: usize = 1_000;
/// Pause before what a bell rang for is read again, and for how long it may be missing: it may also be gone already.
const READ_AGAIN: Duration = Duration::from_millis(20);
const LAG_MAX: Duration = Duration::from_secs(2);

impl Follower {
    /// Follows `subject` of `stream`, whose news ring on `live`, from behind the sequence `after` on.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn start(
        broker: &Broker,
        stream: &str,
        subject: &str,
        live: &str,
        after: u64,
    ) -> Result<Self, Error> {
        let mut connection = broker.connection();
        connection.mark_unchanged();
        let bell = broker.subscribe(live.to_owned()).await?;
        Ok(Self {
            identity: broker.stream(stream).await?.identity,
            broker: broker.clone(),
            stream: stream.to_owned(),
            subject: subject.to_owned(),
            bell,
            connection,
            seen: after,
            more: true,
            rung: None,
            look_every: Duration::from_secs(5),
            looked_at: Instant::now(),
        })
    }

    /// Which life of the stream is followed.
    pub const fn identity(&self) -> StreamIdentity {
        self.identity
    }

    /// Whether the last read came to the end of what was stored then.
    pub fn at_end(&self) -> bool {
        !self.more && !self.lags()
    }

    /// Whether a bell rang for something that the replica that answered did not have.
    fn lags(&self) -> bool {
        self.rung.is_some_and(|(seq, at)| self.seen < seq && at.elapsed() < LAG_MAX)
    }

    /// How long ago the stream was last known to be read to its end or asked for more.
    pub fn looked_ago(&self) -> Duration {
        self.looked_at.elapsed()
    }

    /// What is stored behind all that was given out before: at once while there is more, else when a bell rings,
    /// the connection comes back, or a period of looking ends. May be empty: then there was nothing new.
    /// Cancel safe: what a cancelled call had read is read again.
    ///
    /// # Errors
    /// [`Error::Setup`] when the stream has been made anew: nothing that was followed means anything any more.
    /// Others pass by: call again after a pause.
    pub async fn next(&mut self) -> Result<Vec<Record>, Error> {
        if !self.more {
            if self.lags() {
                sleep(READ_AGAIN).await;
            } else {
                self.wait().await?;
            }
        }
        let batch = self.broker.read_after(&self.stream, &self.subject, self.seen, BATCH_MAX).await?;
        self.looked_at = Instant::now();
        self.more = batch.more;
        self.rung = self.rung.filter(|(seq, _)| batch.upto < *seq);
        if let Some(last) = batch.records.last() {
            self.seen = last.seq;
        }
        Ok(batch.records)
    }

    /// Inputs: the bell, the connection's epoch, the clock. Each branch only reads a signal, so any may be cancelled.
    async fn wait(&mut self) -> Result<(), Error> {
        let look_at = self.looked_at + self.look_every;
        loop {
            tokio::select! {
                rung = self.bell.next() => {
                    let seq = rung.ok_or(Error::Disconnected)?.record.seq;
                    if seq > self.seen {
                        self.rung = Some((seq, Instant::now()));
                        // Set before the read, so that a failed or cancelled read is done again.
                        self.more = true;
                        return Ok(());
                    }
                }
                changed = self.connection.changed() => {
                    changed.map_err(|_| Error::Disconnected)?;
                    return self.same_stream().await;
                }
                () = sleep_until(look_at) => return self.same_stream().await,
            }
        }
    }

    async fn same_stream(&mut self) -> Result<(), Error> {
        self.more = true;
        let identity = self.broker.stream(&self.stream).await?.identity;
        if identity == self.identity {
            return Ok(());
        }
        Err(Error::Setup(format!(
            "the stream {} was made anew ({identity} instead of {}); what was read from the old one is not in it",
            self.stream, self.identity
        )))
    }
}
