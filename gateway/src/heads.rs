//! News of rooms that a person has but has not open: one short notice for each room and second, from whichever gateway stored
//! something, to the gateways where somebody looks at a list of rooms. What is lost on the way is found by the check of heads.
//!
//! A list costs no subscription of its own: all lists of a gateway share one per shard, which is there while there is a list.

mod news;
mod told;

pub use news::{check_watched, hear_news};
pub use told::tell_heads;

use protocol::RoomSlug;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, watch};

/// All lists of rooms that are looked at here, and what this gateway has stored.
pub struct Heads {
    lists: Mutex<Lists>,
    /// How many lists there are.
    count: watch::Sender<usize>,
    /// Rooms in which this gateway has stored something that was not told yet.
    stored: Mutex<HashMap<RoomSlug, u64>>,
    to_tell: Notify,
}

#[derive(Default)]
struct Lists {
    next: u64,
    /// Who is to be told of each room.
    of_room: HashMap<RoomSlug, HashSet<u64>>,
    all: HashMap<u64, Arc<List>>,
    /// The highest sequence that is known of each room in a list.
    known: HashMap<RoomSlug, u64>,
}

/// One person's list of rooms, as far as it has news.
pub struct List {
    fresh: Mutex<BTreeSet<RoomSlug>>,
    bell: Notify,
}

/// A list that is looked at; dropping it ends that.
pub struct Watching {
    heads: Arc<Heads>,
    key: u64,
    rooms: Vec<RoomSlug>,
    pub list: Arc<List>,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            lists: Mutex::default(),
            count: watch::Sender::new(0),
            stored: Mutex::default(),
            to_tell: Notify::new(),
        }
    }
}

impl Heads {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored_rooms(&self) -> MutexGuard<'_, HashMap<RoomSlug, u64>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was stored in a room by this gateway.
    pub fn stored(&self, room: &RoomSlug, seq: u64) {
        let mut stored = self.stored_rooms();
        match stored.get_mut(room) {
            Some(known) => *known = seq.max(*known),
            None => drop(stored.insert(room.clone(), seq)),
        }
        drop(stored);
        self.to_tell.notify_one();
    }

    /// Begins to watch these rooms. What happened last in each is news to the watcher.
    pub fn watch(self: &Arc<Self>, rooms: Vec<RoomSlug>) -> Watching {
        let list = Arc::new(List { fresh: Mutex::default(), bell: Notify::new() });
        let mut lists = self.lists();
        let key = lists.next;
        lists.next += 1;
        lists.all.insert(key, Arc::clone(&list));
        for room in &rooms {
            lists.of_room.entry(room.clone()).or_default().insert(key);
            lists.known.entry(room.clone()).or_default();
            list.note(room);
        }
        let count = lists.all.len();
        drop(lists);
        self.count.send_replace(count);
        Watching { heads: Arc::clone(self), key, rooms, list }
    }

    /// A room has come to a sequence: everybody with the room in a list has news, once.
    fn note(&self, room: &RoomSlug, seq: u64) {
        let mut lists = self.lists();
        let Lists { of_room, all, known, .. } = &mut *lists;
        let Some(watchers) = of_room.get(room) else { return };
        let known = known.entry(room.clone()).or_default();
        if seq <= *known {
            return;
        }
        *known = seq;
        watchers.iter().filter_map(|key| all.get(key)).for_each(|list| list.note(room));
    }

    /// The rooms that are in any list.
    fn watched(&self) -> Vec<RoomSlug> {
        self.lists().known.keys().cloned().collect()
    }
}

impl List {
    fn note(&self, room: &RoomSlug) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone());
        self.bell.notify_one();
    }

    /// Waits for news. Cancel safe.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Gives back rooms whose news could not be told.
    pub fn put_back(&self, rooms: BTreeSet<RoomSlug>) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).extend(rooms);
        self.bell.notify_one();
    }

    /// Takes the rooms that have news.
    pub fn take(&self) -> BTreeSet<RoomSlug> {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut lists = self.heads.lists();
        lists.all.remove(&self.key);
        for room in &self.rooms {
            let is_last = lists.of_room.get_mut(room).is_some_and(|watchers| {
                watchers.remove(&self.key);
                watchers.is_empty()
            });
            if is_last {
                lists.of_room.remove(room);
                lists.known.remove(room);
            }
        }
        let count = lists.all.len();
        drop(lists);
        self.heads.count.send_replace(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomSlug {
        RoomSlug::parse(name).unwrap()
    }

    #[test]
    fn each_list_has_news_of_its_own_rooms_once() {
        let heads = Arc::new(Heads::default());
        let (tea, chai) = (room("tea"), room("chai"));
        let both = heads.watch(vec![tea.clone(), chai.clone()]);
        let one = heads.watch(vec![chai.clone()]);
        assert_eq!(both.list.take(), [tea.clone(), chai.clone()].into(), "whoever comes is told of all");
        one.list.take();
        heads.note(&tea, 9);
        heads.note(&tea, 9);
        heads.note(&tea, 7);
        heads.note(&room("elsewhere"), 50);
        assert_eq!(both.list.take(), [tea].into());
        assert!(both.list.take().is_empty() && one.list.take().is_empty());
        heads.note(&chai, 8);
        assert_eq!((both.list.take(), one.list.take()), ([chai.clone()].into(), [chai].into()));
        drop((both, one));
        assert!(heads.watched().is_empty());
        assert_eq!(*heads.count.borrow(), 0);
    }
}
