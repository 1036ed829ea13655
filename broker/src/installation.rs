use crate::{Broker, Error};
use protocol::{state::Installation, subject};

impl Broker {
    /// How this installation is laid out. Every service reads it at its start and creates nothing itself: a broker
    /// that seems empty may be the wrong account or a missing key.
    ///
    /// # Errors
    /// [`Error::Setup`] with a sentence for a person when it was never set up, or by a newer backchat; others of
    /// [`Error`] when the broker can't be asked.
    pub async fn installation(&self) -> Result<Installation, Error> {
        let never = || {
            Error::Setup(
                "this NATS server holds no backchat installation: run `backchat-setup` once, \
                 or check that the address and the account are the right ones"
                    .into(),
            )
        };
        let record = match self.last(subject::INSTALLATION_STREAM, subject::INSTALLATION).await {
            Ok(Some(record)) => record,
            Ok(None) | Err(Error::NobodyThere(_)) => return Err(never()),
            Err(error) => return Err(error),
        };
        let installation: Installation =
            serde_json::from_slice(&record.payload).map_err(|_| Error::Malformed("installation"))?;
        if installation.format > Installation::FORMAT {
            return Err(Error::Setup(format!(
                "this installation has format {}, but this backchat knows formats up to {}: use a newer backchat",
                installation.format,
                Installation::FORMAT
            )));
        }
        Ok(installation)
    }
}
