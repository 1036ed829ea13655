//! Steps of several messages that end together.

use crate::{Span, Value};

/// Steps that are kept at once; those of more messages are dropped.
const KEPT_MAX: usize = 1_024;

/// Spans by their events' sequences, in order. It takes no memory while no message is followed.
#[derive(Debug, Default)]
pub struct Pending(Vec<(u64, Span)>);

impl Pending {
    /// Keeps a span until it ends with others.
    pub fn add(&mut self, seq: u64, span: Span) {
        if !span.is_followed() {
            return;
        }
        if self.0.len() < KEPT_MAX { self.0.push((seq, span)) } else { span.lose() }
    }

    /// Takes in what another holds.
    pub fn append(&mut self, others: Self) {
        others.0.into_iter().for_each(|(seq, span)| self.add(seq, span));
    }

    /// All steps up to this sequence went well, and this is known of each.
    pub fn end_upto(&mut self, upto: u64, key: &'static str, number: usize) {
        let count = self.0.iter().take_while(|(seq, _)| *seq <= upto).count();
        for (_, mut span) in self.0.drain(..count) {
            span.note(key, Value::Number(number as u64));
            span.end();
        }
    }

    /// All steps went well.
    pub fn end(&mut self) {
        self.0.drain(..).for_each(|(_, span)| span.end());
    }

    /// Nobody is told of any.
    pub fn forget(&mut self) {
        self.0.drain(..).for_each(|(_, mut span)| span.forget());
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no message is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
