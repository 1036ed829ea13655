//! Opening the database: embedded or at a server, its schema, its version.

use super::{ANSWER, Error, record};
use service::database::SchemaMark;
use service::tls;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use surrealdb::engine::any::{self, Any};
use surrealdb::engine::local::Db;
use surrealdb::opt::auth::{Database, Root};
use surrealdb::types::Variables;
use surrealdb::{IndexedResults, Surreal};
use surrealdb_cnf::ConfigMap;
use surrealdb_engine_local::Datastore;
use tokio::time::{Instant, timeout};

/// The layout of tables that this program writes and reads.
const SCHEMA_VERSION: i64 = 1;
/// The version of a database into which a backup is being restored: every auth service takes it for a newer one, and keeps off.
pub(super) const RESTORING: i64 = i64::MAX;
/// The auth database, as an operator's tool looks at it.
pub const ACCOUNTS: SchemaMark =
    SchemaMark { table: "schema", record: "schema:auth", known: SCHEMA_VERSION, restoring: RESTORING };
/// The longest wait for one try to open: an embedded database reads its journal first.
const OPEN: Duration = Duration::from_secs(60);
/// The pause between two tries to open.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest wait for an embedded database to close.
const CLOSE: Duration = Duration::from_secs(10);

/// What the embedded engine collects in memory before it writes a file, in bytes. It takes this once, and for
/// moments twice. Unset, it would take up to 4 GiB.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// What the embedded engine keeps of its files in memory, in bytes. Unset, it would take half of the
/// machine's.
const CACHE_BYTES: u64 = 32 << 20;

/// The version can be read before anything else is touched; nothing here changes a database of a newer
/// version.
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

    UPSERT account:nobody CONTENT { name: '', password: '', created_at_ms: 0 };
    UPSERT $schema SET version = $version;
    COMMIT;
";

/// The auth database. Clones share the connection.
#[derive(Clone)]
pub struct Store(Connection);

/// A clone of the client itself would be another session, for which the server checks the password anew, and that is made to be slow.
#[derive(Clone)]
enum Connection {
    Embedded { client: Arc<Surreal<Db>>, engine: Arc<Datastore> },
    Server(Arc<Surreal<Any>>),
}

/// A database's address taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Embedded(String),
    Server(Server),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    endpoint: String,
    /// The authorities that signed its certificate, where they are none that everybody believes.
    ca: Option<PathBuf>,
    login: Option<Login>,
    namespace: String,
    database: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

impl Store {
    /// Opens the database and brings its tables about, and tries again until `patience` is over: a server may
    /// be starting, and the process before may still hold the files.
    ///
    /// # Errors
    /// [`Error::Setup`] for an address that is none, or a database of a newer version; others when it can't
    /// be opened.
    pub async fn open(url: &str, patience: Duration) -> Result<Self, Error> {
        let store = Self::open_to_restore(url, patience).await?;
        match store.version().await {
            Ok(Some(RESTORING)) => {
                store.close().await;
                Err(Error::Setup(
                    "a backup was restored into the auth database by half: restore it again, or empty the database".into(),
                ))
            }
            Ok(_) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// The same for a database into which a backup is to be restored, also where that was cut short.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_to_restore(url: &str, patience: Duration) -> Result<Self, Error> {
        let address =
            Address::parse(url).map_err(|why| Error::Setup(format!("the database's address {why}")))?;
        let deadline = Instant::now() + patience;
        loop {
            let opened = timeout(OPEN, Self::open_once(&address)).await;
            let opened =
                opened.unwrap_or_else(|_| Err(Error::Unavailable("the database does not open".into())));
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
        let store = Self(Connection::open(address).await?);
        match store.prepare().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Ends a restore: what was restored are the accounts.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn end_restore(&self) -> Result<(), Error> {
        self.mark(SCHEMA_VERSION).await
    }

    async fn version(&self) -> Result<Option<i64>, Error> {
        let mut values = Variables::new();
        values.insert("schema", record("schema", "auth"));
        let found = self.retried(|| self.run(VERSION, values.clone())).await;
        found?.take(2).map_err(|error| Error::of(&error))
    }

    async fn prepare(&self) -> Result<(), Error> {
        let mut values = Variables::new();
        values.insert("schema", record("schema", "auth"));
        values.insert("version", SCHEMA_VERSION);
        match self.version().await? {
            Some(RESTORING) => Ok(()),
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
        let health = async {
            match &self.0 {
                Connection::Embedded { client, .. } => client.health().await,
                Connection::Server(client) => client.health().await,
            }
        };
        match timeout(ANSWER, health).await {
            Err(_) => Err(Error::Unavailable("the database did not answer in time".into())),
            Ok(answer) => answer.map_err(|error| Error::Unavailable(error.to_string())),
        }
    }

    /// Closes an embedded database, so that its files are free for the next process. What was written is on
    /// the disk without it.
    pub async fn close(self) {
        let Connection::Embedded { client, engine } = self.0 else { return };
        // Dropped, it would shut the engine down a second time, and complain that this had happened already.
        std::mem::forget(client);
        match timeout(CLOSE, engine.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database was not closed in order"),
            Err(_) => tracing::warn!("the database took too long to close"),
        }
    }

    pub(super) async fn query(
        self,
        statements: &'static str,
        values: Variables,
    ) -> surrealdb::Result<IndexedResults> {
        match self.0 {
            Connection::Embedded { client, .. } => client.query(statements).bind(values).await,
            Connection::Server(client) => client.query(statements).bind(values).await,
        }
    }
}

impl Connection {
    async fn open(address: &Address) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::Unavailable(format!("the auth database can't be opened: {error}"))
        };
        match address {
            Address::Embedded(url) => {
                let engine = Box::pin(open_engine(url)).await.map_err(|error| failed(&error))?;
                let client = Surreal::<Db>::unstable_from_datastore(Arc::clone(&engine), None).await;
                let client = client.map_err(|error| failed(&error))?;
                client.use_ns("backchat").use_db("auth").await.map_err(|error| failed(&error))?;
                Ok(Self::Embedded { client: Arc::new(client), engine })
            }
            Address::Server(Server { endpoint, ca, login, namespace, database }) => {
                let mut config = surrealdb::opt::Config::new();
                if let Some(file) = ca {
                    config = config.rustls(tls::trusting(file).map_err(Error::Setup)?);
                }
                let client = any::connect((endpoint, config)).await.map_err(|error| failed(&error))?;
                if let Some(login) = login {
                    sign_in(&client, login, (namespace, database)).await.map_err(|error| failed(&error))?;
                }
                client.use_ns(namespace).use_db(database).await.map_err(|error| failed(&error))?;
                Ok(Self::Server(Arc::new(client)))
            }
        }
    }
}

async fn open_engine(url: &str) -> Result<Arc<Datastore>, String> {
    let sizes = ConfigMap::empty()
        .with_key_value("surrealkv_max_memtable_size", MEMTABLE_BYTES.to_string())
        .with_key_value("surrealkv_block_cache_capacity", CACHE_BYTES.to_string());
    // Its maintenance writes, which must wait until the version of the files is known.
    let engine =
        Datastore::builder().with_config(sizes).without_maintenance_tasks().build_with_path(url).await;
    let engine = engine.map_err(|error| error.to_string())?;
    engine.check_version().await.map_err(|error| error.to_string())?;
    engine.bootstrap().await.map_err(|error| error.to_string())?;
    engine.start_maintenance_tasks();
    Ok(engine)
}

/// As a user of this database alone, or, where there is none of that name, of the whole server.
async fn sign_in(
    client: &Surreal<Any>,
    login: &Login,
    (namespace, database): (&str, &str),
) -> surrealdb::Result<()> {
    let Login { user: username, password } = login.clone();
    let (namespace, database) = (namespace.to_owned(), database.to_owned());
    let of_database = client
        .signin(Database { namespace, database, username: username.clone(), password: password.clone() })
        .await;
    match of_database {
        Ok(_) => Ok(()),
        Err(_) => client.signin(Root { username, password }).await.map(drop),
    }
}

/// Says what is wrong with a database's address, if it is.
///
/// # Errors
/// The rest of a sentence that begins with the setting's name.
pub fn check_address(url: &str) -> Result<(), &'static str> {
    Address::parse(url).map(drop)
}

impl Address {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("has no scheme such as surrealkv://")?;
        match scheme {
            "surrealkv" if !rest.split('?').next().unwrap_or_default().is_empty() => {
                Ok(Self::Embedded(url.to_owned()))
            }
            "ws" | "wss" => Self::parse_remote(scheme, rest),
            _ => Err("begins with neither surrealkv://, ws:// nor wss://"),
        }
    }

    fn parse_remote(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not of the form ws://user:password@host:port/namespace/database (wss:// with TLS, and ?ca=FILE behind it for authorities of one's own)";
        let (rest, ca) = match rest.split_once("?ca=") {
            Some((rest, file)) if scheme == "wss" && !file.is_empty() => (rest, Some(PathBuf::from(file))),
            Some(_) => return Err(FORM),
            None => (rest, None),
        };
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
        let login =
            login.map(|(user, password)| Some(Login { user: decoded(user)?, password: decoded(password)? }));
        Ok(Self::Server(Server {
            endpoint: format!("{scheme}://{host}"),
            ca,
            login: login.map(|login| login.ok_or(FORM)).transpose()?,
            namespace: namespace.to_owned(),
            database: database.to_owned(),
        }))
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
        let url = "surrealkv:///var/lib/auth?sync=every";
        assert_eq!(Address::parse(url), Ok(Address::Embedded(url.into())));
    }

    #[test]
    fn a_servers_address_says_who_where_and_what() {
        let address =
            Address::parse("wss://auth:a%40b%3Ac@db.example:8000/backchat/auth?ca=/etc/ca.pem").unwrap();
        let expected = Address::Server(Server {
            endpoint: "wss://db.example:8000".into(),
            ca: Some("/etc/ca.pem".into()),
            login: Some(Login { user: "auth".into(), password: "a@b:c".into() }),
            namespace: "backchat".into(),
            database: "auth".into(),
        });
        assert_eq!(address, expected);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "auth",
            "surrealkv://",
            "surrealkv://?sync=every",
            "http://x/a/b",
            "ws://host",
            "ws://host/a",
            "ws://u@h/a/b",
            "ws:///a/b",
            "ws://h/a/b/c",
            "ws://u:%zz@h/a/b",
            "ws://h/a/b?ca=/etc/ca.pem",
            "wss://h/a/b?ca=",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
