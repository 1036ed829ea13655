//! The settings of the auth service.

use crate::cookies::Cookies;
use crate::{hashing, store};
use broker::Credentials;
use sealing::RootSource;
use service::config::{Secret, Settings, Source};
use service::http::HttpLimits;
use service::origin::PublicOrigin;
use service::process::DoorAddresses;
use service::proxies::Network;
use std::net::SocketAddr;
use std::time::Duration;

/// Where the database is when nothing else is said.
const DATABASE: &str = "surrealkv://data/auth?sync=every";

/// Everything that an operator can set. Each field's meaning is the text beside its name in [`Config::read`].
pub struct Config {
    pub listen: SocketAddr,
    pub operations: SocketAddr,
    pub broker: Credentials,
    pub roots: RootSource,
    /// How long the start waits for broker and database.
    pub start_patience: Duration,
    pub database: Secret,
    /// Whether an empty database is taken although people have registered before.
    pub begin_anew: bool,
    pub lives: Lives,
    pub public_origins: Vec<PublicOrigin>,
    pub cookies: Cookies,
    pub trusted_proxies: Vec<Network>,
    pub hashing: hashing::Limits,
    pub login_failures_max: u32,
    pub http: HttpLimits,
}

/// How long things are valid, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    pub token_s: u32,
    pub session_s: u32,
    pub key_s: u32,
}

impl Config {
    /// Where the sockets are to be bound.
    pub fn doors(&self) -> DoorAddresses {
        DoorAddresses { public: Some(self.listen), operations: self.operations }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "auth-service";

    fn read(source: &mut Source) -> Self {
        let lives = read_lives(source);
        let public_origins: Vec<PublicOrigin> = source.list(
            "public_origins",
            "",
            "The addresses under which people open the chat, such as https://chat.example.org; none: the host that the browser names",
        );
        let secure: Option<bool> = source.optional(
            "secure_cookies",
            "Whether cookies travel over TLS alone; by default yes if a public origin begins with https://",
        );
        let secure = secure.unwrap_or_else(|| public_origins.iter().any(PublicOrigin::is_https));
        Self {
            listen: source.value("listen", "127.0.0.1:8081", "Where the pages under /auth/ are served"),
            operations: source.value("operations", "127.0.0.1:9081", "Where /livez, /readyz and /metrics are served"),
            broker: Credentials::read(source, Self::SERVICE),
            roots: sealing::read_root_source(source),
            start_patience: Duration::from_secs(source.ranged(
                "start_patience_s",
                30,
                0..=3_600,
                "How long the start waits for the broker and for the database, in seconds",
            )),
            database: read_database(source),
            begin_anew: source.value(
                "begin_anew",
                "false",
                "Whether to start on an empty database although people have registered before: their accounts are given up, and all register again",
            ),
            lives,
            public_origins,
            cookies: Cookies { secure, life_s: lives.session_s },
            trusted_proxies: source.list(
                "trusted_proxies",
                "127.0.0.1,::1",
                "Addresses and networks of the proxies in front, whose word about the client's address and host is believed",
            ),
            hashing: read_hashing(source),
            login_failures_max: source.ranged(
                "login_failures_max",
                10,
                1..=1_000,
                "Wrong passwords in a row, for one name from one address, after which tries must be seconds apart",
            ),
            http: HttpLimits::read(source),
        }
    }
}

fn read_lives(source: &mut Source) -> Lives {
    let token_s = source.ranged(
        "token_life_s",
        600,
        10..=86_400,
        "How long a session token is valid, in seconds; pages renew theirs unseen",
    );
    let session_s = source.ranged(
        "session_life_s",
        30 * 86_400,
        60..=366 * 86_400,
        "How long a session lasts after its last renewal, in seconds",
    );
    let key_s = source.ranged(
        "key_life_s",
        7 * 86_400,
        60..=366 * 86_400,
        "How long a key signs tokens before a new one takes its place, in seconds",
    );
    if token_s > session_s {
        source
            .fault(format!("token_life_s ({token_s}) must not be longer than session_life_s ({session_s})"));
    }
    Lives { token_s, session_s, key_s }
}

fn read_database(source: &mut Source) -> Secret {
    let given = source.secret(
        "database",
        "The database: surrealkv://PATH?sync=every for one inside this process (the default is surrealkv://data/auth?sync=every), \
         or ws://user:password@host:port/namespace/database, with TLS wss://… and ?ca=FILE behind it for authorities of one's own",
    );
    if given.is_empty() {
        return Secret::new(DATABASE);
    }
    if let Err(why) = store::check_address(given.expose()) {
        source.fault(format!("database {why}"));
    }
    given
}

fn read_hashing(source: &mut Source) -> hashing::Limits {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    hashing::Limits {
        workers: source.ranged(
            "hashing_workers",
            cores,
            1..=256,
            "Passwords hashed at the same time, 19 MiB each; by default one per core",
        ),
        queue_max: source.ranged(
            "hashing_queue_max",
            64,
            0..=10_000,
            "Requests that may wait for a password's hash",
        ),
        patience: Duration::from_millis(source.ranged(
            "hashing_wait_ms",
            10_000,
            100..=60_000,
            "The longest wait for a password's hash to begin, in milliseconds",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::load_from;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let environment =
            pairs.iter().map(|(name, value)| (format!("BACKCHAT_AUTH_SERVICE_{name}"), (*value).to_owned()));
        load_from(&[], environment, None).map_err(|faults| faults.to_string())
    }

    #[test]
    fn it_runs_without_any_setting() {
        let config = load(&[]).unwrap();
        assert_eq!(config.lives, Lives { token_s: 600, session_s: 2_592_000, key_s: 604_800 });
        assert!(!config.cookies.secure);
        assert_eq!(config.database.expose(), DATABASE);
    }

    #[test]
    fn an_https_origin_guards_the_cookies() {
        assert!(load(&[("PUBLIC_ORIGINS", "https://chat.example.org/")]).unwrap().cookies.secure);
        assert!(!load(&[("PUBLIC_ORIGINS", "http://chat.local:8080")]).unwrap().cookies.secure);
        assert!(load(&[("SECURE_COOKIES", "true")]).unwrap().cookies.secure);
    }

    #[test]
    fn a_bad_database_address_is_a_fault_that_shows_no_password() {
        let fault = load(&[("DATABASE", "ws://auth:hunter2@db")]).err().unwrap();
        assert!(fault.contains("database is not of the form") && !fault.contains("hunter2"), "{fault}");
    }

    #[test]
    fn a_token_that_outlives_its_session_is_a_fault() {
        let faults =
            load(&[("TOKEN_LIFE_S", "3600"), ("SESSION_LIFE_S", "60"), ("LISTEN", "here")]).err().unwrap();
        assert!(faults.contains("token_life_s") && faults.contains("LISTEN"), "{faults}");
    }
}
