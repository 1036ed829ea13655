//! What an operator's tool is told of a database on a server, of whichever service. Nothing in it is changed, and nothing created:
//! a server makes a database that somebody uses who may make one, so it is looked for first.

use std::time::Duration;

use service::database::{Report, Schema, SchemaMark, Unseen};
use surrealdb::engine::any::Any;
use surrealdb::types::Value;
use surrealdb::{IndexedResults, Surreal};
use tokio::time::timeout;

use super::address::ServerAddress;
use super::remote::{UserOf, reached, sign_in};
use super::{DatabaseAddress, StoreError};

/// Longest wait for all of it.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Looks at a database.
///
/// # Errors
/// [`Unseen`], which says why it can't be.
pub async fn examine(address: &DatabaseAddress, mark: &SchemaMark) -> Result<Report, Unseen> {
    let DatabaseAddress::Server(server) = address else { return Err(Unseen::Embedded) };
    let looked = timeout(LOOK_MAX, Box::pin(look(server, mark))).await;
    looked.unwrap_or_else(|_| Err(Unseen::Away("it does not answer in time".to_owned())))
}

async fn look(server: &ServerAddress, mark: &SchemaMark) -> Result<Report, Unseen> {
    let client = reached(server).await.map_err(|error| match error {
        StoreError::Refused(why) => Unseen::Address(why),
        other => away(other),
    })?;
    open(&client, server).await?;
    let version = client.version().await.map_err(away)?;
    let schema = schema(&client, mark).await?;
    let now: Option<i64> = asked(&client, "time::millis(time::now())").await?.take(0).map_err(away)?;
    let at_ms = now.ok_or_else(|| Unseen::Away("it does not know what time it is".to_owned()))?;
    Ok(Report { server: version.to_string(), schema, at_ms })
}

async fn schema(client: &Surreal<Any>, mark: &SchemaMark) -> Result<Schema, Unseen> {
    if !has(client, "INFO FOR DB", "tables", mark.table).await? {
        return Ok(Schema::Empty);
    }
    let version: Option<i64> = asked(client, &mark.version()).await?.take(0).map_err(away)?;
    Ok(match version {
        None => Schema::Empty,
        Some(version) if version == mark.restoring => Schema::Restoring,
        Some(version) => Schema::Version(version),
    })
}

/// Signs in and goes to the database, if it is there.
async fn open(client: &Surreal<Any>, server: &ServerAddress) -> Result<(), Unseen> {
    let user = match &server.login {
        None => UserOf::Server,
        Some(login) => sign_in(client, login, server).await.map_err(|error| match error {
            StoreError::Refused(_) => Unseen::Denied,
            other => away(other),
        })?,
    };
    // Where the database has the user, it is there.
    if user == UserOf::Server {
        if !has(client, "INFO FOR ROOT", "namespaces", &server.namespace).await? {
            return Err(Unseen::Missing);
        }
        client.use_ns(&server.namespace).await.map_err(away)?;
        if !has(client, "INFO FOR NS", "databases", &server.database).await? {
            return Err(Unseen::Missing);
        }
    }
    client.use_ns(&server.namespace).use_db(&server.database).await.map(drop).map_err(away)
}

/// Whether something has this name among those that an `INFO` lists.
async fn has(client: &Surreal<Any>, info: &str, kind: &str, name: &str) -> Result<bool, Unseen> {
    let Value::Object(info) = asked(client, info).await?.take(0).map_err(away)? else { return Ok(false) };
    Ok(matches!(info.get(kind), Some(Value::Object(named)) if named.keys().any(|key| *key == name)))
}

async fn asked(client: &Surreal<Any>, statement: &str) -> Result<IndexedResults, Unseen> {
    let answered = client.query(statement.to_owned()).await.map_err(away)?;
    answered.check().map_err(|error| if error.is_not_allowed() { Unseen::Denied } else { away(error) })
}

fn away(error: impl Into<StoreError>) -> Unseen {
    Unseen::Away(error.into().to_string())
}
