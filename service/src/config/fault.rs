//! What is wrong with a configuration, and the nearest known name to an unknown one.

use std::fmt;

/// Every fault of the configuration at once. Displays one line per fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<String>);

impl ConfigFaults {
    pub(super) fn new(faults: Vec<String>) -> Self {
        Self(faults)
    }

    /// The faults, one line each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigFaults {}

/// Says that `name` is unknown and which of `known` was probably meant.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let nearest = known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((_, candidate)) => format!("{what} {name} is unknown: did you mean {candidate}?"),
        None => format!("{what} {name} is unknown"),
    }
}
