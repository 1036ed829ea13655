use crate::{Broker, Error, layout};
use protocol::{state::Installation, subject};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a broker is waited for that is there and can't answer yet: its servers may be choosing their leaders.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Broker {
    /// How this installation is laid out. Every service reads it at its start and creates nothing itself: a broker
    /// that seems empty may be the wrong account or a missing key.
    ///
    /// # Errors
    /// [`Error::Setup`] with a sentence for a person when it was never set up, by a newer backchat, or lacks a stream; others of
    /// [`Error`] when the broker can't be asked for half a minute.
    pub async fn installation(&self) -> Result<Installation, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look_at_installation().await {
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    tracing::debug!(%error, "the installation can't be read yet");
                    sleep(LOOK_AGAIN).await;
                }
                installation => return installation,
            }
        }
    }

    async fn look_at_installation(&self) -> Result<Installation, Error> {
        let installation = self.installation_record().await?;
        for stream in layout::stream_names(installation.shards().count()) {
            match self.stream(&stream).await {
                Ok(_) => {}
                Err(Error::NobodyThere(_)) => return Err(lacks(&stream)),
                Err(error) => return Err(error),
            }
        }
        Ok(installation)
    }

    /// The same as it is written down, asked once, whether its streams are there or not.
    ///
    /// # Errors
    /// As [`Broker::installation`], less those about streams.
    pub async fn installation_record(&self) -> Result<Installation, Error> {
        let written = self.written_installation().await?;
        written.map(|(_, installation)| installation).ok_or_else(|| {
            Error::Setup(
                "this NATS server holds no backchat installation: run `backchat-setup` once, \
                 or check that the address and the account are the right ones"
                    .into(),
            )
        })
    }

    /// The installation and the sequence at which it is written; `None` when nothing was ever set up.
    pub(crate) async fn written_installation(&self) -> Result<Option<(u64, Installation)>, Error> {
        let record = match self.last(subject::INSTALLATION_STREAM, subject::INSTALLATION).await {
            // A replica that lags may not have it yet: the leader's word counts.
            Ok(None) => self.last_confirmed(subject::INSTALLATION_STREAM, subject::INSTALLATION).await?,
            Ok(record) => record,
            Err(Error::NobodyThere(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(record) = record else { return Ok(None) };
        let installation: Installation =
            serde_json::from_slice(&record.payload).map_err(|_| Error::Malformed("installation"))?;
        if installation.format > Installation::FORMAT {
            return Err(Error::Setup(format!(
                "this installation has format {}, but this backchat knows formats up to {}: use a newer backchat",
                installation.format,
                Installation::FORMAT
            )));
        }
        Ok(Some((record.seq, installation)))
    }
}

/// What a person does whose broker lacks what it had.
pub(crate) const RESTORE: &str = "Restore the server's data from a backup (docs/operations/back-up-and-restore.md: `backchat restore` into an \
                                  empty broker), or check that the address and the account are the right ones";

pub(crate) fn lacks(stream: &str) -> Error {
    let found = format!("this NATS server holds a backchat installation without its stream {stream}");
    Error::Setup(if layout::is_made_anew(stream) {
        format!("{found}: `backchat-setup` makes it anew")
    } else {
        format!("{found}. {RESTORE}; nothing was created")
    })
}
