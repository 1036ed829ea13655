//! The settings of the history worker.

use std::net::SocketAddr;
use std::time::Duration;

use broker::Credentials;
use service::config::{Secret, Settings, Source};
use service::process::DoorAddresses;

use crate::databases::Databases;

/// Where the database is when nothing else is said.
const DATABASE: &str = "surrealkv://data/history?sync=every";

/// Everything that an operator can set. Each field's meaning is the text beside its name in [`Config::read`].
pub struct Config {
    pub operations: SocketAddr,
    pub broker: Credentials,
    /// How long the start waits for broker and database.
    pub start_patience: Duration,
    /// Of the form of [`Databases`]; it may hold passwords.
    pub database: Secret,
    /// Zero: the history is compared with the log only when somebody asks.
    pub verify_every: Duration,
    /// What a day is where it is said for how many days a room keeps things.
    pub retention_day: Duration,
    pub traces: traces::Config,
}

impl Config {
    /// Where the sockets are to be bound.
    pub fn doors(&self) -> DoorAddresses {
        DoorAddresses { public: None, operations: self.operations }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "history-worker";

    fn read(source: &mut Source) -> Self {
        Self {
            operations: source.value(
                "operations",
                "127.0.0.1:9082",
                "Where /livez, /readyz and /metrics are served",
            ),
            broker: Credentials::read(source, Self::SERVICE),
            start_patience: Duration::from_secs(source.ranged(
                "start_patience_s",
                30,
                0..=3_600,
                "How long the start waits for the broker and for the database, in seconds",
            )),
            database: read_database(source),
            verify_every: Duration::from_secs(3_600 * source.ranged(
                "verify_every_h",
                0,
                0..=8_760,
                "How often the whole history is compared with the log, with a tenth of a processor at most, in hours; 0: only when it \
                 is asked for",
            )),
            retention_day: Duration::from_secs(source.ranged(
                "retention_day_s",
                86_400,
                1..=86_400,
                "What counts as a day in a room that keeps things for so many days, in seconds; less than a day only to try it",
            )),
            traces: traces::Config::read(source),
        }
    }
}

fn read_database(source: &mut Source) -> Secret {
    let given = source.secret(
        "database",
        "The database: surrealkv://PATH?sync=every for one inside this process (the default is surrealkv://data/history?sync=every), \
         or ws://user:password@host:port/namespace/database, with TLS wss://… and ?ca=FILE behind it for authorities of one's own. For several, each for a range of shards: 0-3=ws://…,4-7=ws://…",
    );
    if given.is_empty() {
        return Secret::new(DATABASE);
    }
    if let Err(fault) = given.expose().parse::<Databases>() {
        source.fault(format!("database: {fault}"));
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, service::config::ConfigFaults> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        service::config::load_from(&[], variables, None)
    }

    #[test]
    fn the_defaults_are_for_one_machine() {
        let config = read(&[]).unwrap();
        assert_eq!(config.database.expose(), DATABASE);
        assert!(DATABASE.parse::<Databases>().is_ok());
        assert!(config.operations.ip().is_loopback());
    }

    #[test]
    fn a_bad_database_address_is_a_fault_that_shows_no_password() {
        let faults = read(&[("BACKCHAT_HISTORY_WORKER_DATABASE", "ws://worker:hunter2@db")]).err().unwrap();
        let text = faults.to_string();
        assert!(text.contains("database") && !text.contains("hunter2"), "{text}");
    }
}
