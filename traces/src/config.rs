//! Settings of a service that has traces.

use std::path::PathBuf;

use service::config::Source;

use crate::collector::Collector;

/// Where spans go, and of how many messages.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub(crate) collector: Option<Collector>,
    pub(crate) ca: Option<PathBuf>,
    /// What part of messages is chosen here; 0 where none is taken from people.
    pub(crate) ratio: f64,
}

impl Config {
    /// Those of a service that follows what others have chosen.
    pub fn read(source: &mut Source) -> Self {
        let collector: Option<Collector> = source.optional(
            "traces",
            "Where traces of messages are sent: the OpenTelemetry collector, as http://collector:4318 (OTLP over HTTP). Unset: nowhere",
        );
        let ca = source.optional(
            "traces_ca",
            "File of PEM certificates that must have signed that of an https:// collector; unset, the public ones of this machine",
        );
        if ca.is_some() && !collector.as_ref().is_some_and(Collector::is_tls) {
            source.fault("traces_ca: it is for a collector whose address in traces begins with https://");
        }
        Self { collector, ca, ratio: 0.0 }
    }

    /// Those of a service that chooses too.
    pub fn read_with_ratio(source: &mut Source) -> Self {
        let config = Self::read(source);
        let ratio = source.ranged(
            "traces_ratio",
            0.01,
            0.0..=1.0,
            "What part of messages is followed, where traces are sent somewhere: 1 is all, 0 none",
        );
        Self { ratio, ..config }
    }
}
