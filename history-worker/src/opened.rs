//! Broker and databases as the settings name them, opened.

use std::time::Duration;

use broker::Broker;
use protocol::subject;
use protocol::worker::Tables;
use tokio::time::{Instant, sleep};

use crate::databases::Databases;
use crate::store::tables::LAYOUT;
use crate::store::{BadAddress, DatabaseAddress, Store, StoreError};
use crate::{Config, Error};

/// Pause between two tries to reach the database at the start.
const OPEN_AGAIN: Duration = Duration::from_millis(500);

/// What the worker works with, once it is there.
pub struct Opened {
    pub broker: Broker,
    pub stores: Vec<OpenedStore>,
    pub shards: subject::Shards,
}

/// A database with its shards.
pub struct OpenedStore {
    pub store: Store,
    pub shards: Vec<subject::Shard>,
    /// The layout from which this worker's has to take over.
    pub older: Option<i64>,
    /// How other workers call its tables; `None` where there can be no others, since the database is in this process.
    pub tables: Option<Tables>,
}

pub async fn all(config: Config) -> Result<Opened, Error> {
    let databases = databases(&config)?;
    let (broker, shards) = broker(&config).await?;
    let mut stores = Vec::new();
    for (address, of_store) in
        databases.of_shards(shards).map_err(|why| Error::Start(format!("database: {why}")))?
    {
        let store = open(address, config.start_patience).await?;
        let older = store.older_layout().await?;
        let tables = address.is_shared().then(|| Tables { database: address.to_string(), layout: LAYOUT });
        stores.push(OpenedStore { store, shards: of_store, older, tables });
    }
    Ok(Opened { broker, stores, shards })
}

/// Where the history is.
pub fn databases(config: &Config) -> Result<Databases, Error> {
    config.database.expose().parse().map_err(|fault: BadAddress| Error::Start(fault.to_string()))
}

/// The broker, and into how many shards its log is cut.
pub async fn broker(config: &Config) -> Result<(Broker, subject::Shards), Error> {
    let broker = Broker::connect(&config.broker, config.start_patience).await.map_err(start_fault)?;
    let installation = broker.installation().await.map_err(start_fault)?;
    Ok((broker, installation.shards()))
}

fn start_fault(error: broker::Error) -> Error {
    match error {
        broker::Error::Setup(why) => Error::Start(why),
        other => Error::Broker(other),
    }
}

/// A server may come up later than the worker; what is refused will be refused again.
async fn open(address: &DatabaseAddress, patience: Duration) -> Result<Store, Error> {
    let deadline = Instant::now() + patience;
    loop {
        match Store::open(address).await {
            Ok(store) => return Ok(store),
            Err(StoreError::Refused(why)) => return Err(Error::Start(why)),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the database is not there yet");
                sleep(OPEN_AGAIN).await;
            }
        }
    }
}
