//! What an operator sees of traces.

use service::metrics::{Counter, Registry};

/// Spans of one service, and what became of them.
#[derive(Debug, Clone)]
pub struct Signals {
    exported: Counter,
    dropped: Counter,
}

impl Signals {
    /// Counts them in this registry.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            exported: registry.counter("spans_exported", "Spans of traces that the collector took"),
            dropped: registry.counter(
                "spans_dropped",
                "Spans of traces that the collector did not take: it was away, too slow or refused them",
            ),
        }
    }

    pub(crate) fn exported(&self, spans: usize) {
        self.exported.inc_by(spans as u64);
    }

    pub(crate) fn dropped(&self, spans: usize) {
        self.dropped.inc_by(spans as u64);
    }
}
