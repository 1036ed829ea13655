//! One connection to the database, embedded or not, with a time-out on every call.

use std::sync::Arc;
use std::time::Duration;

use surrealdb::engine::any::Any;
use surrealdb::engine::local::Db;
use surrealdb::method::Transaction;
use surrealdb::types::Variables;
use surrealdb::{IndexedResults, Surreal};
use surrealdb_cnf::ConfigMap;
use surrealdb_engine_local::Datastore;
use tokio::time::timeout;

use super::remote::Remote;
use super::{DatabaseAddress, StoreError};

/// Longest wait for the database to be opened or reached: an embedded one reads its log first.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Longest wait for an embedded database to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a transaction to begin or to end.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// Namespace and database of an embedded one.
const EMBEDDED: (&str, &str) = ("backchat", "history");

/// Bytes that the embedded engine collects in memory before it writes a file; a transaction must fit. It may hold a few of
/// these. Unset, it would take up to 4 GiB for each.
const MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of files that the embedded engine keeps in memory. Unset, it would take half of the machine's.
const BLOCK_CACHE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub(super) enum Connection {
    Embedded {
        client: Surreal<Db>,
        engine: Arc<Datastore>,
    },
    Server(Arc<Remote>),
    /// The database as it was at one moment, whatever is written meanwhile.
    Moment(Arc<Moment>),
}

/// A transaction in which nothing is written.
pub(super) enum Moment {
    Embedded(Transaction<Db>),
    Server(Transaction<Any>),
}

impl Connection {
    pub async fn open(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let opened = async {
            match address {
                DatabaseAddress::Embedded { path, options } => Box::pin(embedded(path, options)).await,
                DatabaseAddress::Server(server) => {
                    let remote = Box::pin(Remote::open(server.clone())).await?;
                    Ok(Self::Server(Arc::new(remote)))
                }
            }
        };
        timeout(OPEN_MAX, opened).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Runs statements and gives their results, if none of them failed.
    pub async fn query(
        &self,
        statements: &str,
        variables: Variables,
        patience: Duration,
    ) -> Result<IndexedResults, StoreError> {
        let mut results = match self {
            Self::Embedded { client, .. } => {
                let answered = timeout(patience, client.query(statements).bind(variables).into_future());
                answered.await.map_err(|_| StoreError::TimedOut)??
            }
            Self::Server(remote) => remote.query(statements, variables, patience).await?,
            Self::Moment(moment) => {
                let answered = timeout(patience, moment.query(statements, variables));
                answered.await.map_err(|_| StoreError::TimedOut)??
            }
        };
        match worst(results.take_errors().into_values().map(StoreError::from)) {
            None => Ok(results),
            Some(error) => Err(error),
        }
    }

    /// The database as it is now.
    pub async fn moment(&self) -> Result<Self, StoreError> {
        let begun = async {
            let moment = match self {
                Self::Embedded { client, .. } => Moment::Embedded(client.clone().begin().await?),
                Self::Server(remote) => {
                    let client = remote.client().await?;
                    Moment::Server(Surreal::clone(&client).begin().await?)
                }
                Self::Moment(moment) => return Ok(Self::Moment(Arc::clone(moment))),
            };
            Ok(Self::Moment(Arc::new(moment)))
        };
        timeout(BEGIN_MAX, begun).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Lets a moment go, which nobody else reads any more.
    pub async fn pass(self) {
        let Self::Moment(moment) = self else { return };
        let Some(moment) = Arc::into_inner(moment) else { return };
        let ended = async {
            match moment {
                Moment::Embedded(transaction) => transaction.cancel().await.map(drop),
                Moment::Server(transaction) => transaction.cancel().await.map(drop),
            }
        };
        // A server forgets it with the connection at the latest.
        if !matches!(timeout(BEGIN_MAX, ended).await, Ok(Ok(()))) {
            tracing::debug!("a transaction in which nothing was written could not be ended");
        }
    }

    pub async fn close(self) {
        if let Self::Embedded { client, engine } = self {
            drop(client);
            match timeout(CLOSE_MAX, engine.shutdown()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the database was not closed in order"),
                Err(_) => tracing::warn!("the database took too long to close"),
            }
        }
    }
}

impl Moment {
    async fn query(
        &self,
        statements: &str,
        variables: Variables,
    ) -> Result<IndexedResults, surrealdb::Error> {
        match self {
            Self::Embedded(transaction) => transaction.query(statements).bind(variables).await,
            Self::Server(transaction) => transaction.query(statements).bind(variables).await,
        }
    }
}

/// In a transaction each statement fails when one does: the one that says most is the reason.
fn worst(errors: impl Iterator<Item = StoreError>) -> Option<StoreError> {
    errors.min_by_key(|error| match error {
        StoreError::Moved | StoreError::Relaid => 0,
        StoreError::Conflict => 1,
        StoreError::TimedOut => 2,
        StoreError::Failed(why) if why.contains("not executed") || why.contains("cancelled transaction") => 4,
        _ => 3,
    })
}

async fn embedded(path: &str, options: &str) -> Result<Connection, StoreError> {
    let sizes = ConfigMap::empty()
        .with_key_value("surrealkv_max_memtable_size", MEMTABLE_BYTES.to_string())
        .with_key_value("surrealkv_block_cache_capacity", BLOCK_CACHE_BYTES.to_string());
    let refused = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Refused(format!("the history database at {path} {what}: {error}"))
    };
    let engine = Datastore::builder()
        .with_config(sizes)
        // Its tasks write, which must wait until the version of its storage is known.
        .without_maintenance_tasks()
        .build_with_path(&format!("surrealkv://{path}?{options}"))
        .await
        .map_err(|error| refused("can't be opened", &error))?;
    engine.check_version().await.map_err(|error| refused("is of another SurrealDB", &error))?;
    engine.bootstrap().await.map_err(|error| refused("can't be started", &error))?;
    engine.start_maintenance_tasks();
    let client = Surreal::<Db>::unstable_from_datastore(Arc::clone(&engine), None).await?;
    client.use_ns(EMBEDDED.0).use_db(EMBEDDED.1).await?;
    Ok(Connection::Embedded { client, engine })
}
