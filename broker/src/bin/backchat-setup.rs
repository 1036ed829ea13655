//! `backchat-setup`: creates the streams of a new installation, once. Run again, it checks that all are there, and has them kept on more
//! servers if it is told so.
//! `backchat-setup raise` adds shards to one that has fewer.
//! `backchat-setup permissions` prints what each service may do at the broker, for the configuration of a NATS server.

use broker::{Broker, Credentials, Error, Layout, SETUP, authorization, setup};
use protocol::subject::Shards;
use service::{
    config::{Settings, Source},
    process::{Fatal, main_of, say},
};
use std::{fmt, time::Duration};

struct Config {
    broker: Credentials,
    shards: u16,
    replicas: Option<u8>,
    /// Only to print what each may do.
    permissions: bool,
    /// To add shards.
    raise: bool,
}

impl Settings for Config {
    const SERVICE: &'static str = SETUP;
    const PROGRAM: &'static str = "backchat-setup";

    fn read(s: &mut Source) -> Self {
        Self {
            broker: Credentials::read(s, Self::SERVICE),
            shards: s.ranged("shards", 1, 1..=Shards::MAX, "Into how many shards the log is cut; more can be added later"),
            replicas: Some(s.ranged(
                "replicas",
                0,
                0..=5,
                "On how many NATS servers each stream is kept; 0: on as many as those that are there, on one at first",
            ))
            .filter(|replicas| *replicas > 0),
            raise: s.command(
                "raise",
                "Add shards to an installation that has fewer than `shards`; without this word the plan is printed",
            ),
            permissions: s.command(
                "permissions",
                "Print the authorization of a NATS server, with a user for each service and passwords from its environment",
            ),
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

/// The server takes `$NAME` for a variable of its own environment.
fn variable(user: &str) -> String {
    format!("$BACKCHAT_{}_PASSWORD", user.to_uppercase().replace('-', "_"))
}

fn main() -> std::process::ExitCode {
    main_of(|config: Config, _shutdown| async move {
        if config.permissions {
            say(authorization(variable).trim_end());
            return Ok(());
        }
        let broker = Broker::connect(&config.broker, Duration::from_secs(30)).await.map_err(Failed)?;
        let layout = Layout { shards: config.shards, replicas: config.replicas, raise: config.raise };
        let installation = setup::create(&broker, layout).await.map_err(Failed)?;
        say(&format!(
            "installation {} with {} shard(s) is ready",
            installation.id,
            installation.shards().count()
        ));
        Ok::<_, Failed>(())
    })
}
