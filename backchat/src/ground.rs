//! What the services stand on: the data folder, and the broker in it.

use std::path::PathBuf;
use std::time::Duration;

use broker::{Broker, SETUP};

use crate::Error;
use crate::data::Data;
use crate::nats::{self, Child, Conf};
use crate::services::credentials;

/// How long the NATS server may take to come up: it reads its whole store after a crash.
const BROKER_PATIENCE: Duration = Duration::from_secs(300);

/// A server that died this often before it came up once does not come up.
const DEATHS_MAX: u32 = 3;

/// Whoever has started it stops it.
pub struct Ground {
    pub data: Data,
    pub conf: Conf,
    child: Child,
}

impl Ground {
    /// Starts the broker, with this NATS program.
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Data`], which say why it can't be started.
    pub async fn start(program: PathBuf, data: Data) -> Result<Self, Error> {
        let conf = Conf::new()?;
        let folder = data.folder("broker")?;
        let store_max = nats::store_max(&folder).map_err(|error| {
            Error::Broker(format!("the disk of {} can't be looked at: {error}", folder.display()))
        })?;
        let text = conf.text((&folder.join("jetstream"), store_max), &folder.join("nats.log"));
        data.write_private("broker/nats.conf", &text)?;
        let child = Child::start(program, &data).await?;
        Ok(Self { data, conf, child })
    }

    /// Waits for the broker, and connects as the one who may do everything.
    ///
    /// # Errors
    /// [`Error::Broker`] when it does not come up.
    pub async fn connect(&self) -> Result<Broker, Error> {
        let credentials = credentials(&self.conf, SETUP);
        // Both only wait, so either may be cancelled.
        tokio::select! {
            connected = Broker::connect(&credentials, BROKER_PATIENCE) => connected.map_err(fault),
            cause = self.child.died(DEATHS_MAX) => Err(Error::Broker(cause)),
        }
    }

    pub async fn stop(&self) {
        self.child.stop().await;
    }
}

/// What the broker failed with, as a line for the person who started it.
pub fn fault(error: broker::Error) -> Error {
    Error::Broker(error.to_string())
}
