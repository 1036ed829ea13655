//! Parts of files in the open, as many as fit: in two generations, like [`keyring::cache::Generations`], but counted in bytes.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use sealing::Salt;
use tantivy::directory::OwnedBytes;

/// Consecutive chunks of a file, which its salt names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub file: Salt,
    pub first: u32,
    pub last: u32,
}

pub struct Cache {
    /// Bytes in both generations together.
    max: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    young: HashMap<Span, OwnedBytes>,
    young_bytes: usize,
    old: HashMap<Span, OwnedBytes>,
}

impl Cache {
    pub fn new(max: usize) -> Self {
        Self { max, known: Mutex::default() }
    }

    pub fn get(&self, span: &Span) -> Option<OwnedBytes> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = known.young.get(span) {
            return Some(bytes.clone());
        }
        let bytes = known.old.remove(span)?;
        self.insert(&mut known, *span, bytes.clone());
        Some(bytes)
    }

    /// Keeps a part; one that would push out much of what is there is not kept.
    pub fn put(&self, span: Span, bytes: OwnedBytes) {
        if bytes.len() <= self.max / 4 {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            self.insert(&mut known, span, bytes);
        }
    }

    fn insert(&self, known: &mut Known, span: Span, bytes: OwnedBytes) {
        if known.young_bytes + bytes.len() > self.max / 2 {
            known.old = mem::take(&mut known.young);
            known.young_bytes = 0;
        }
        known.young_bytes += bytes.len();
        known.young.insert(span, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u32) -> Span {
        Span { file: [0; 8], first, last: first }
    }

    #[test]
    fn what_is_used_stays_and_no_more_than_the_limit_is_kept() {
        let cache = Cache::new(400);
        for first in 0..20 {
            cache.put(span(first), OwnedBytes::new(vec![0; 50]));
            assert!(cache.get(&span(0)).is_some(), "used each time");
        }
        let known = cache.known.lock().unwrap();
        let kept = known.young.values().chain(known.old.values()).map(|bytes| bytes.len()).sum::<usize>();
        assert!(kept <= 400, "{kept}");
        drop(known);
        cache.put(span(99), OwnedBytes::new(vec![0; 101]));
        assert!(cache.get(&span(99)).is_none(), "too much at once");
    }
}
