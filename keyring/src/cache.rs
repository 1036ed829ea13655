//! A bounded cache in two generations: what is used moves to the young one; when that is full, it becomes the old one and the
//! old one is dropped.

use std::{collections::HashMap, hash::Hash};

pub struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Entries in each of the two.
    max: usize,
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    pub fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), max }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Changes what is known of a key; what is not known stays so.
    pub fn change(&mut self, key: &K, change: impl Fn(&mut V)) {
        for values in [&mut self.young, &mut self.old] {
            if let Some(known) = values.get_mut(key) {
                change(known);
            }
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        for values in [&mut self.young, &mut self.old] {
            values.retain(|key, _| keep(key));
        }
    }

    pub fn clear(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Generations::new(2);
        for key in 0..5 {
            cache.put(key, key);
            assert_eq!(cache.get(&0), Some(0), "used each time");
        }
        assert!((1..3).all(|key| cache.get(&key).is_none()), "not used for two generations");
        assert_eq!(cache.get(&4), Some(4));
    }
}
