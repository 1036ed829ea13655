//! The room's news for everybody at once: consecutive events, encoded at most once for each wire format.

use super::shown::Shown;
use crate::socket::wire::Format;
use bytes::{Bytes, BytesMut};
use std::sync::{Arc, OnceLock};

/// All of a room's events with `after < sequence <= upto`.
#[derive(Debug)]
pub struct Piece {
    pub after: u64,
    pub upto: u64,
    pub events: Vec<Arc<Shown>>,
    encoded: [OnceLock<Bytes>; Format::COUNT],
}

impl Piece {
    pub fn new(after: u64, upto: u64, events: Vec<Arc<Shown>>) -> Self {
        Self { after, upto, events, encoded: Default::default() }
    }

    /// The frames of all events in this format, one behind the other. The first call puts them together; all others
    /// share its bytes.
    pub fn encoded(&self, format: Format) -> &Bytes {
        self.encoded[format.index()].get_or_init(|| match &self.events[..] {
            [one] => one.encoded(format),
            several => {
                let mut all = BytesMut::new();
                several.iter().for_each(|shown| all.extend_from_slice(&shown.encoded(format)));
                all.freeze()
            }
        })
    }

    #[cfg(test)]
    pub fn empty(after: u64, upto: u64) -> Self {
        Self::new(after, upto, Vec::new())
    }
}
