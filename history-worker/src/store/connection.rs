//! One connection to the database, embedded or not, with a time-out on every call.

use std::sync::Arc;
use std::time::Duration;

use surrealdb::engine::any::{self, Any};
use surrealdb::engine::local::Db;
use surrealdb::opt::auth;
use surrealdb::types::Variables;
use surrealdb::{IndexedResults, Surreal};
use surrealdb_cnf::ConfigMap;
use surrealdb_engine_local::Datastore;
use tokio::time::timeout;

use super::address::Login;
use super::{DatabaseAddress, StoreError};

/// Longest wait for the database to be opened or reached: an embedded one reads its log first.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Longest wait for an embedded database to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// Namespace and database of an embedded one.
const EMBEDDED: (&str, &str) = ("backchat", "history");

/// Bytes that the embedded engine collects in memory before it writes a file; a transaction must fit. It may hold a few of
/// these. Unset, it would take up to 4 GiB for each.
const MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of files that the embedded engine keeps in memory. Unset, it would take half of the machine's.
const BLOCK_CACHE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub(super) enum Connection {
    Embedded { client: Surreal<Db>, engine: Arc<Datastore> },
    Server(Surreal<Any>),
}

impl Connection {
    pub async fn open(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let opened = async {
            match address {
                DatabaseAddress::Embedded { path, options } => Box::pin(embedded(path, options)).await,
                DatabaseAddress::Server { endpoint, login, namespace, database } => {
                    let place = (namespace.as_str(), database.as_str());
                    Box::pin(server(endpoint, login.as_ref(), place)).await
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
        let results = match self {
            Self::Embedded { client, .. } => {
                timeout(patience, client.query(statements).bind(variables).into_future()).await
            }
            Self::Server(client) => {
                timeout(patience, client.query(statements).bind(variables).into_future()).await
            }
        };
        let mut results = results.map_err(|_| StoreError::TimedOut)??;
        match worst(results.take_errors().into_values().map(StoreError::from)) {
            None => Ok(results),
            Some(error) => Err(error),
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

/// In a transaction each statement fails when one does: the one that says most is the reason.
fn worst(errors: impl Iterator<Item = StoreError>) -> Option<StoreError> {
    errors.min_by_key(|error| match error {
        StoreError::Moved => 0,
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

async fn server(
    endpoint: &str,
    login: Option<&Login>,
    place: (&str, &str),
) -> Result<Connection, StoreError> {
    let client = any::connect(endpoint).await?;
    if let Some(login) = login {
        sign_in(&client, login, place).await?;
    }
    client.use_ns(place.0).use_db(place.1).await?;
    Ok(Connection::Server(client))
}

/// The user may be one of the database alone, as in production, or one of the whole server.
async fn sign_in(client: &Surreal<Any>, login: &Login, place: (&str, &str)) -> Result<(), StoreError> {
    let of_database = auth::Database {
        namespace: place.0.to_owned(),
        database: place.1.to_owned(),
        username: login.user.clone(),
        password: login.password.clone(),
    };
    if client.signin(of_database).await.is_ok() {
        return Ok(());
    }
    let of_server = auth::Root { username: login.user.clone(), password: login.password.clone() };
    match client.signin(of_server).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_allowed() => {
            Err(StoreError::Refused("the history database refuses this user and password".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
