//! Logs: for people on a terminal, JSON lines otherwise, always on standard error. No secret and no message text goes in.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is logged unless `BACKCHAT_LOG` says otherwise: ours from `info` on, libraries when something is wrong.
///
/// Two modules of the embedded database complain at every orderly stop, because something that we have closed already is dropped
/// later; what goes wrong in them otherwise is returned to us as an error, and logged where it is handled.
const FILTER: &str = "info,surrealdb=warn,surrealdb_core=warn,surrealdb::core::kvs::ds=off,surrealkv=warn,\
                      surrealkv::lsm=error,async_nats=warn,hyper=warn,tungstenite=warn";

/// Starts logging. Once per process, before anything is logged; a second call changes nothing.
///
/// # Errors
/// One line about a `BACKCHAT_LOG` that can't be understood.
pub fn init(service: &'static str) -> Result<(), String> {
    let filter = match std::env::var("BACKCHAT_LOG") {
        Ok(given) if !given.is_empty() => filter(&given).map_err(|error| format!("BACKCHAT_LOG: {error}"))?,
        _ => filter(FILTER).map_err(|error| error.to_string())?,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    if started.is_ok() {
        tracing::debug!(service, version = env!("CARGO_PKG_VERSION"), "logging");
    }
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_is_valid_and_nonsense_is_refused() {
        assert!(filter(FILTER).is_ok());
        assert!(filter("gateway=loud").is_err());
    }
}
