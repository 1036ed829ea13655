//! The settings of the search worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use broker::Credentials;
use sealing::RootSource;
use service::config::{Settings, Source};
use service::process::DoorAddresses;

/// Everything that an operator can set. Each field's meaning is the text beside its name in [`Config::read`].
#[derive(Clone)]
pub struct Config {
    pub operations: SocketAddr,
    pub broker: Credentials,
    pub roots: RootSource,
    /// How long the start waits for the broker.
    pub start_patience: Duration,
    pub index: PathBuf,
    pub cache_bytes: usize,
    pub traces: traces::Config,
}

impl Config {
    /// Where the sockets are to be bound.
    pub fn doors(&self) -> DoorAddresses {
        DoorAddresses { public: None, operations: self.operations }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "search-worker";

    fn read(source: &mut Source) -> Self {
        let megabytes: usize = source.ranged(
            "cache_mb",
            256,
            8..=65_536,
            "How much of the index is kept in the open in memory, in MiB; a million messages like 100",
        );
        Self {
            operations: source.value(
                "operations",
                "127.0.0.1:9083",
                "Where /livez, /readyz and /metrics are served",
            ),
            broker: Credentials::read(source, Self::SERVICE),
            roots: sealing::read_root_source(source),
            start_patience: Duration::from_secs(source.ranged(
                "start_patience_s",
                30,
                0..=3_600,
                "How long the start waits for the broker, in seconds",
            )),
            index: source.value(
                "index",
                "data/search",
                "Folder of the index, sealed; it is created where it is missing, and made anew from the log when it is lost",
            ),
            cache_bytes: megabytes << 20,
            traces: traces::Config::read(source),
        }
    }
}
