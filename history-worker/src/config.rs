//! The settings of the history worker.

use broker::Credentials;
use service::config::{Secret, Settings, Source};
use service::process::DoorAddresses;
use std::net::SocketAddr;
use std::time::Duration;

/// Where the database is when nothing else is said.
const DATABASE: &str = "surrealkv://data/history?sync=every";

/// Everything that an operator can set. Each field's meaning is the text beside its name in [`Config::read`].
pub struct Config {
    pub operations: SocketAddr,
    pub broker: Credentials,
    pub database: Secret,
    pub start_patience: Duration,
    /// How long a question waits for the projection to come to the sequence that it names.
    pub query_patience: Duration,
    pub queries_max: usize,
}

impl Config {
    /// Where the socket is to be bound: a worker has no pages.
    pub fn doors(&self) -> DoorAddresses {
        DoorAddresses { public: None, operations: self.operations }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "history-worker";

    fn read(source: &mut Source) -> Self {
        let password = source.secret("nats_password", "The password at the broker");
        let database = source.secret(
            "database",
            "The database: surrealkv://PATH?sync=every for one inside this process (the default is surrealkv://data/history?sync=every), \
             or ws://user:password@host:port/namespace/database",
        );
        Self {
            operations: source.value("operations", "127.0.0.1:9082", "Where /livez, /readyz and /metrics are served"),
            broker: Credentials {
                url: source.value(
                    "nats_url",
                    "nats://127.0.0.1:4222",
                    "The NATS server, or several with commas between",
                ),
                user: source.optional("nats_user", "The user at the broker"),
                password: (!password.is_empty()).then(|| password.expose().to_owned()),
                name: Self::SERVICE.into(),
            },
            database: if database.is_empty() { Secret::new(DATABASE) } else { database },
            start_patience: Duration::from_secs(source.ranged(
                "start_patience_s",
                30,
                0..=3_600,
                "How long the start waits for the broker, in seconds",
            )),
            query_patience: Duration::from_millis(source.ranged(
                "query_wait_ms",
                1_500,
                0..=30_000,
                "How long a question waits for what it must see to be applied, in milliseconds",
            )),
            queries_max: source.ranged(
                "queries_max",
                64,
                1..=10_000,
                "Questions of one shard that are worked on at once; more are refused as busy",
            ),
        }
    }
}
