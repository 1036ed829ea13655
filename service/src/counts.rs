//! How many of something are held under each key, with a guard that gives back what it holds.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by key. A key under which nothing is held takes no memory. Clones share the counts.
#[derive(Debug)]
pub struct Counts<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is counted; dropping it, on whatever path, counts it out.
#[derive(Debug)]
pub struct Held<K: Eq + Hash> {
    counts: Counts<K>,
    key: K,
    place: usize,
}

impl<K> Clone for Counts<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// Counts one more. Whether it is one too many is the caller's to say, by [`Held::place`].
    #[must_use]
    pub fn enter(&self, key: K) -> Held<K> {
        let mut counts = self.lock();
        let place = counts.entry(key.clone()).or_default();
        *place += 1;
        let place = *place;
        drop(counts);
        Held { counts: self.clone(), key, place }
    }
}

impl<K> Counts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Held<K> {
    /// How many were held under the key when this one came, itself included.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        let Some(held) = counts.get_mut(&self.key) else { return };
        *held -= 1;
        if *held == 0 {
            counts.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_counted_by_itself_and_forgotten_with_its_last_guard() {
        let counts = Counts::default();
        let (first, second) = (counts.enter("a"), counts.enter("a"));
        assert_eq!((first.place(), second.place(), counts.enter("b").place()), (1, 2, 1));
        drop(first);
        assert_eq!(counts.enter("a").place(), 2, "the place of the one that went is free");
        drop(second);
        assert!(counts.lock().is_empty());
    }
}
