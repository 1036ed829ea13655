//! What must wake an operator: texts and keys that do not open.

use service::metrics::{Counter, Registry};

/// Counters of a service that opens texts. Clones count together.
#[derive(Debug, Clone)]
pub struct Alarms {
    pub(crate) unopened: Counter,
    pub(crate) unwrap_failed: Counter,
}

impl Alarms {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            unopened: registry.counter(
                "unopened",
                "Texts that could not be opened: altered, moved, or without their keys. Each is an alarm",
            ),
            unwrap_failed: registry.counter(
                "keys_unwrap_failed",
                "Keys of people and rooms that no root key at hand unwraps; the log names each",
            ),
        }
    }
}
