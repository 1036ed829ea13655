use std::process::ExitCode;

use history_worker::Config;
use service::config::{Settings, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the program is to do.
struct Asked {
    config: Config,
    /// Where the snapshots are that are to be restored; without them it works.
    restore: Option<String>,
}

impl Settings for Asked {
    const SERVICE: &'static str = Config::SERVICE;

    fn read(source: &mut Source) -> Self {
        let restore = source.command_on(
            "restore",
            "PLACE",
            "Makes the history of a snapshot or a backup in PLACE, a folder or s3://BUCKET/PREFIX, in databases that have none; the log must be \
             there already, and no history worker may run",
        );
        Self { config: Config::read(source), restore }
    }
}

fn main() -> ExitCode {
    let doors = |asked: &Asked| asked.config.doors();
    service::process::main_with(doors, |asked: Asked, doors, shutdown| async move {
        match asked.restore {
            Some(place) => Box::pin(history_worker::snapshot::restore_from(&asked.config, &place)).await,
            None => Box::pin(history_worker::run(asked.config, doors, shutdown)).await,
        }
    })
}
