//! `backchat-setup`: creates the streams of a new installation, once. Run again, it checks and changes nothing.

use broker::{Broker, Credentials, Error, setup};
use service::{
    config::{Settings, Source},
    process::{Fatal, main_of, say},
};
use std::{fmt, time::Duration};

struct Config {
    broker: Credentials,
    shards: u16,
    replicas: u8,
}

impl Settings for Config {
    const SERVICE: &'static str = "setup";

    fn read(s: &mut Source) -> Self {
        Self {
            broker: Credentials::read(s, Self::SERVICE),
            shards: s.ranged("shards", 1, 1..=256, "Into how many shards the log is cut, for ever"),
            replicas: s.ranged("replicas", 1, 1..=5, "On how many NATS servers each stream is kept"),
        }
    }
}

struct Failed(Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Fatal for Failed {
    fn is_start_fault(&self) -> bool {
        matches!(self.0, Error::Setup(_))
    }
}

fn main() -> std::process::ExitCode {
    main_of(|config: Config, _shutdown| async move {
        let broker = Broker::connect(&config.broker, Duration::from_secs(30)).await.map_err(Failed)?;
        let layout = setup::Layout { shards: config.shards, replicas: config.replicas };
        let installation = setup::create(&broker, layout).await.map_err(Failed)?;
        say(&format!("installation {} with {} shard(s) is ready", installation.id, installation.shards));
        Ok::<_, Failed>(())
    })
}
