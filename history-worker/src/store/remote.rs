//! A database on a server.
//!
//! The client mends a connection that was closed. But it waits for one that went silent, as when the server's machine dies, as long as
//! TCP does: a quarter of an hour. So a connection on which a question failed or was not answered in time is thrown away, and the next
//! question makes a new one.

use std::sync::Arc;
use std::time::Duration;

use service::tls;
use surrealdb::engine::any::{self, Any};
use surrealdb::opt::auth;
use surrealdb::types::Variables;
use surrealdb::{IndexedResults, Surreal};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::StoreError;
use super::address::{Login, ServerAddress};

/// After a failed try to connect, nobody tries again so soon.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

pub(super) struct Remote {
    address: ServerAddress,
    state: Mutex<State>,
}

enum State {
    Connected(Arc<Surreal<Any>>),
    Away { since: Instant, why: StoreError },
}

impl Remote {
    /// Connects for the first time.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a user or a password that the server does not take, others when it can't be reached.
    pub async fn open(address: ServerAddress) -> Result<Self, StoreError> {
        let away = State::Away { since: Instant::now(), why: StoreError::TimedOut };
        let remote = Self { address, state: Mutex::new(away) };
        let client = remote.connected().await?;
        *remote.state.lock().await = State::Connected(Arc::new(client));
        Ok(remote)
    }

    pub async fn query(
        &self,
        statements: &str,
        variables: Variables,
        patience: Duration,
    ) -> Result<IndexedResults, StoreError> {
        let client = timeout(patience, self.client()).await.unwrap_or(Err(StoreError::TimedOut))?;
        let answered = timeout(patience, client.query(statements).bind(variables)).await;
        let answered = answered.map_or(Err(StoreError::TimedOut), |answer| answer.map_err(StoreError::from));
        if let Err(why) = &answered {
            self.lose(&client, why).await;
        }
        answered
    }

    /// The connection; who finds none makes it, while the others wait.
    pub async fn client(&self) -> Result<Arc<Surreal<Any>>, StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Connected(client) => return Ok(Arc::clone(client)),
            State::Away { since, why } if since.elapsed() < PAUSE => return Err(why.clone()),
            State::Away { .. } => {}
        }
        match self.connected().await {
            Ok(client) => {
                let client = Arc::new(client);
                *state = State::Connected(Arc::clone(&client));
                Ok(client)
            }
            Err(why) => {
                // A server that begins may not know its users yet.
                let why = match why {
                    StoreError::Refused(why) => StoreError::Failed(why),
                    other => other,
                };
                *state = State::Away { since: Instant::now(), why: why.clone() };
                Err(why)
            }
        }
    }

    async fn lose(&self, lost: &Arc<Surreal<Any>>, why: &StoreError) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Connected(now) if Arc::ptr_eq(now, lost)) {
            *state = State::Away { since: Instant::now(), why: why.clone() };
        }
    }

    async fn connected(&self) -> Result<Surreal<Any>, StoreError> {
        let connected = async {
            let ServerAddress { login, namespace, database, .. } = &self.address;
            let client = reached(&self.address).await?;
            if let Some(login) = login {
                sign_in(&client, login, &self.address).await?;
            }
            client.use_ns(namespace).use_db(database).await?;
            Ok(client)
        };
        timeout(CONNECT_MAX, connected).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

/// The server, with nobody signed in.
pub(super) async fn reached(address: &ServerAddress) -> Result<Surreal<Any>, StoreError> {
    let mut config = surrealdb::opt::Config::new();
    if let Some(file) = &address.ca {
        config = config.rustls(tls::trusting(file).map_err(StoreError::Refused)?);
    }
    Ok(any::connect((&address.endpoint, config)).await?)
}

/// Whose user somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserOf {
    Database,
    Server,
}

/// The user may be one of the database alone, as in production, or one of the whole server.
pub(super) async fn sign_in(
    client: &Surreal<Any>,
    login: &Login,
    address: &ServerAddress,
) -> Result<UserOf, StoreError> {
    let of_database = auth::Database {
        namespace: address.namespace.clone(),
        database: address.database.clone(),
        username: login.user.clone(),
        password: login.password.clone(),
    };
    if client.signin(of_database).await.is_ok() {
        return Ok(UserOf::Database);
    }
    let of_server = auth::Root { username: login.user.clone(), password: login.password.clone() };
    match client.signin(of_server).await {
        Ok(_) => Ok(UserOf::Server),
        Err(error) if error.is_not_allowed() => {
            Err(StoreError::Refused("the history database refuses this user and password".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
