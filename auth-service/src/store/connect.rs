//! Opening the database: embedded or at a server, its schema, its version.

use super::{ANSWER, Error, record};
use std::time::Duration;
use surrealdb::Surreal;
use surrealdb::engine::any::{Any, connect};
use surrealdb::opt::auth::Database;
use surrealdb::types::Variables;
use tokio::time::{Instant, timeout};

/// The layout of tables that this program writes and reads.
const SCHEMA_VERSION: i64 = 1;
/// The longest wait for one try to open: an embedded database reads its journal first.
const OPEN: Duration = Duration::from_secs(60);
/// The pause between two tries to open.
const PAUSE: Duration = Duration::from_millis(250);

/// The version can be read before anything else is touched; nothing here changes a database of a newer version.
const VERSION: &str = "
    DEFINE TABLE IF NOT EXISTS schema SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS version ON schema TYPE int;
    SELECT VALUE version FROM ONLY $schema;
";

const SCHEMA: &str = "
    BEGIN;
    DEFINE TABLE IF NOT EXISTS account SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS name ON account TYPE string;
    DEFINE FIELD IF NOT EXISTS password ON account TYPE string;
    DEFINE FIELD IF NOT EXISTS created_at_ms ON account TYPE int;

    DEFINE TABLE IF NOT EXISTS name SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS account ON name TYPE record<account>;

    DEFINE TABLE IF NOT EXISTS session SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS user ON session TYPE string;
    DEFINE FIELD IF NOT EXISTS current ON session TYPE string;
    DEFINE FIELD IF NOT EXISTS previous ON session TYPE option<string>;
    DEFINE FIELD IF NOT EXISTS salt ON session TYPE option<string>;
    DEFINE FIELD IF NOT EXISTS spent ON session TYPE array<string>;
    DEFINE FIELD IF NOT EXISTS rotated_at_ms ON session TYPE int;
    DEFINE FIELD IF NOT EXISTS created_at_ms ON session TYPE int;
    DEFINE FIELD IF NOT EXISTS expires_at_ms ON session TYPE int;
    DEFINE INDEX IF NOT EXISTS session_expiry ON session FIELDS expires_at_ms;

    DEFINE TABLE IF NOT EXISTS signing_key SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS wrapping ON signing_key TYPE string;
    DEFINE FIELD IF NOT EXISTS secret ON signing_key TYPE string;
    DEFINE FIELD IF NOT EXISTS created_at_ms ON signing_key TYPE int;
    DEFINE FIELD IF NOT EXISTS retired_at_ms ON signing_key TYPE option<int>;

    DEFINE TABLE IF NOT EXISTS outbox SCHEMAFULL;
    DEFINE FIELD IF NOT EXISTS letter ON outbox TYPE string;
    DEFINE FIELD IF NOT EXISTS written_at_ms ON outbox TYPE int;

    UPSERT $schema SET version = $version;
    COMMIT;
";

/// The auth database. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Store(Surreal<Any>);

/// A database's address taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    endpoint: String,
    login: Option<(String, String)>,
    namespace: String,
    database: String,
}

impl Store {
    /// Opens the database and brings its tables about, and tries again until `patience` is over: a server may be starting, and the
    /// process before may still hold the files.
    ///
    /// # Errors
    /// [`Error::Setup`] for an address that is none, or a database of a newer version; others when it can't be opened.
    pub async fn open(url: &str, patience: Duration) -> Result<Self, Error> {
        let address = Address::parse(url).map_err(|why| Error::Setup(format!("the database's address {why}")))?;
        let deadline = Instant::now() + patience;
        loop {
            let opened = timeout(OPEN, Self::open_once(&address)).await;
            let opened = opened.unwrap_or_else(|_| Err(Error::Unavailable("the database does not open".into())));
            match opened {
                Err(error) if !matches!(error, Error::Setup(_)) && Instant::now() < deadline => {
                    tracing::debug!(%error, "the database is not there yet");
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn open_once(address: &Address) -> Result<Self, Error> {
        let failed = |error: surrealdb::Error| Error::Unavailable(format!("the database can't be opened: {error}"));
        let db = connect(address.endpoint.as_str()).await.map_err(failed)?;
        if let Some((username, password)) = address.login.clone() {
            let (namespace, database) = (address.namespace.clone(), address.database.clone());
            db.signin(Database { namespace, database, username, password }).await.map_err(failed)?;
        }
        db.use_ns(&address.namespace).use_db(&address.database).await.map_err(failed)?;
        let store = Self(db);
        store.prepare().await?;
        Ok(store)
    }

    async fn prepare(&self) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("schema", record("schema", "auth"));
        values.insert("version", SCHEMA_VERSION);
        let found = self.retried(|| self.run(VERSION, values.clone())).await;
        let found: Option<i64> = found?.take(2).map_err(|error| Error::of(&error))?;
        match found {
            Some(version) if version > SCHEMA_VERSION => Err(Error::Setup(format!(
                "the auth database has version {version}, but this backchat knows versions up to {SCHEMA_VERSION}: \
                 use a newer backchat"
            ))),
            Some(SCHEMA_VERSION) => Ok(()),
            _ => self.retried(|| self.run(SCHEMA, values.clone())).await.map(drop),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        match timeout(ANSWER, self.0.health()).await {
            Err(_) => Err(Error::Unavailable("the database did not answer in time".into())),
            Ok(answer) => answer.map_err(|error| Error::Unavailable(error.to_string())),
        }
    }

    pub(super) const fn db(&self) -> &Surreal<Any> {
        &self.0
    }
}

impl Address {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("has no scheme such as surrealkv://")?;
        match scheme {
            "surrealkv" | "mem" => Ok(Self {
                endpoint: url.to_owned(),
                login: None,
                namespace: "backchat".into(),
                database: "auth".into(),
            }),
            "ws" | "wss" => Self::parse_remote(scheme, rest),
            _ => Err("begins with neither surrealkv://, ws:// nor wss://"),
        }
    }

    fn parse_remote(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not of the form ws://user:password@host:port/namespace/database";
        let (authority, path) = rest.split_once('/').ok_or(FORM)?;
        let (namespace, database) = path.trim_end_matches('/').split_once('/').ok_or(FORM)?;
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login.split_once(':').ok_or(FORM)?), host),
            None => (None, authority),
        };
        let named = |text: &str| !text.is_empty() && !text.contains(['/', '?', '#']);
        if host.is_empty() || !named(namespace) || !named(database) {
            return Err(FORM);
        }
        let login = login.map(|(user, password)| Some((decoded(user)?, decoded(password)?)));
        Ok(Self {
            endpoint: format!("{scheme}://{host}"),
            login: login.map(|login| login.ok_or(FORM)).transpose()?,
            namespace: namespace.to_owned(),
            database: database.to_owned(),
        })
    }
}

/// Resolves `%41` and the like, which a password in an address needs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (pair, after) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_database_needs_no_login() {
        let address = Address::parse("surrealkv:///var/lib/auth?sync=every").unwrap();
        assert_eq!(address.endpoint, "surrealkv:///var/lib/auth?sync=every");
        assert_eq!(address.login, None);
    }

    #[test]
    fn a_servers_address_says_who_where_and_what() {
        let address = Address::parse("wss://auth:a%40b%3Ac@db.example:8000/backchat/auth").unwrap();
        let expected = Address {
            endpoint: "wss://db.example:8000".into(),
            login: Some(("auth".into(), "a@b:c".into())),
            namespace: "backchat".into(),
            database: "auth".into(),
        };
        assert_eq!(address, expected);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "auth", "http://x/a/b", "ws://host", "ws://host/a", "ws://u@h/a/b", "ws:///a/b", "ws://h/a/b/c", "ws://u:%zz@h/a/b"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
