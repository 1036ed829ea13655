use std::process::ExitCode;

use auth_service::Config;
use service::config::{Settings, Source};

/// What the program is to do.
struct Asked {
    config: Config,
    /// Where the backup is whose accounts are to be restored; without one it works.
    restore: Option<String>,
}

impl Settings for Asked {
    const SERVICE: &'static str = Config::SERVICE;

    fn read(source: &mut Source) -> Self {
        let restore = source.command_on(
            "restore",
            "PLACE",
            "Writes the accounts of a backup in PLACE, a folder or s3://BUCKET/PREFIX, into a database that has none; no auth service may run",
        );
        Self { config: Config::read(source), restore }
    }
}

fn main() -> ExitCode {
    let doors = |asked: &Asked| asked.config.doors();
    service::process::main_with(doors, |asked: Asked, doors, shutdown| async move {
        match asked.restore {
            Some(place) => Box::pin(auth_service::restore_from(&asked.config, &place)).await,
            None => Box::pin(auth_service::run(asked.config, doors, shutdown)).await,
        }
    })
}
