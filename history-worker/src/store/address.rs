//! Where the database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the history database is: embedded in this process, or on a server.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseAddress {
    /// A folder of this machine, used by this process alone.
    Embedded { path: String, options: String },
    /// A SurrealDB server.
    Server(ServerAddress),
}

#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// `ws://host:port`, or `wss://`.
    pub endpoint: String,
    /// The authorities that signed its certificate, where they are none that everybody believes.
    pub ca: Option<PathBuf>,
    pub login: Option<Login>,
    pub namespace: String,
    pub database: String,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl DatabaseAddress {
    /// Whether other workers may use the database too.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

/// No password is shown.
impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { path, .. } => write!(f, "surrealkv://{path}"),
            Self::Server(ServerAddress { endpoint, namespace, database, .. }) => {
                write!(f, "{endpoint}/{namespace}/{database}")
            }
        }
    }
}

/// Why a text is no address of a database. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAddress(&'static str);

impl BadAddress {
    pub(crate) const fn new(why: &'static str) -> Self {
        Self(why)
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadAddress {}

const FORMS: BadAddress = BadAddress(
    "a database is surrealkv://FOLDER or ws://USER:PASSWORD@HOST:PORT/NAMESPACE/DATABASE (wss:// with TLS, and ?ca=FILE behind it \
     for authorities of one's own)",
);

impl FromStr for DatabaseAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.split_once("://") {
            Some(("surrealkv", rest)) => embedded(rest),
            Some((scheme @ ("ws" | "wss"), rest)) => server(scheme, rest),
            _ => Err(FORMS),
        }
    }
}

fn embedded(rest: &str) -> Result<DatabaseAddress, BadAddress> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err(BadAddress("the folder of the database is missing: surrealkv://FOLDER"));
    }
    // What was acknowledged must survive a power loss unless an operator says otherwise.
    let synced = options.split('&').any(|option| option.starts_with("sync="));
    let options = match (synced, options.is_empty()) {
        (true, _) => options.to_owned(),
        (false, true) => "sync=every".to_owned(),
        (false, false) => format!("{options}&sync=every"),
    };
    Ok(DatabaseAddress::Embedded { path: path.to_owned(), options })
}

fn server(scheme: &str, rest: &str) -> Result<DatabaseAddress, BadAddress> {
    let (rest, ca) = match rest.split_once("?ca=") {
        Some((rest, file)) if scheme == "wss" && !file.is_empty() => (rest, Some(PathBuf::from(file))),
        Some(_) => return Err(FORMS),
        None => (rest, None),
    };
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => {
            let (user, password) = login.split_once(':').ok_or(FORMS)?;
            (Some(Login { user: decoded(user)?, password: decoded(password)? }), place)
        }
        None => (None, rest),
    };
    let parts: Vec<&str> = place.split('/').collect();
    match parts.as_slice() {
        [host, namespace, database] if [host, namespace, database].iter().all(|part| !part.is_empty()) => {
            Ok(DatabaseAddress::Server(ServerAddress {
                endpoint: format!("{scheme}://{host}"),
                ca,
                login,
                namespace: (*namespace).to_owned(),
                database: (*database).to_owned(),
            }))
        }
        _ => Err(FORMS),
    }
}

/// Resolves the `%XX` of an address, with which a password may hold `@`, `:` and `/`.
fn decoded(text: &str) -> Result<String, BadAddress> {
    const BAD: BadAddress = BadAddress("a % in user or password must be followed by two hexadecimal digits");
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(BAD)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BAD)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_database_is_synced_at_every_commit_unless_said_otherwise() {
        let options = |text: &str| match text.parse() {
            Ok(DatabaseAddress::Embedded { options, .. }) => options,
            other => panic!("{other:?}"),
        };
        assert_eq!(options("surrealkv://data/history"), "sync=every");
        assert_eq!(options("surrealkv:///var/x?sync=5s"), "sync=5s");
        assert_eq!(options("surrealkv:///var/x?versioned=false"), "versioned=false&sync=every");
    }

    #[test]
    fn a_server_address_gives_its_parts_and_hides_its_password() {
        let address: DatabaseAddress =
            "wss://worker:p%40s%3As@db:8000/chat/history?ca=/etc/ca.pem".parse().unwrap();
        assert_eq!(format!("{address:?} {address}"), "wss://db:8000/chat/history wss://db:8000/chat/history");
        let DatabaseAddress::Server(server) = address else { panic!() };
        let ServerAddress { login: Some(login), namespace, database, ca, .. } = server else { panic!() };
        assert_eq!(ca.unwrap().to_str(), Some("/etc/ca.pem"));
        assert_eq!((login.user.as_str(), login.password.as_str()), ("worker", "p@s:s"));
        assert_eq!((namespace.as_str(), database.as_str()), ("chat", "history"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "history",
            "surrealkv://",
            "rocksdb://x",
            "ws://db:8000",
            "ws://db/ns",
            "ws://a%4@db/n/d",
            "ws://db/n/d?ca=x",
            "wss://db/n/d?ca=",
        ] {
            assert!(bad.parse::<DatabaseAddress>().is_err(), "{bad} was taken");
        }
    }
}
