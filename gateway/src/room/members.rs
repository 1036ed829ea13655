//! The sockets of a room, and the fan-out to them.

use super::piece::Piece;
use crate::socket::line::Line;
use std::{
    collections::HashMap,
    iter::Sum,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinSet;

/// Lines that one task writes to before it lets others run.
const TURN: usize = 64;
/// Lines that one task serves; a larger room is served by several at once.
const SHARE: usize = 1_024;

/// The lines of a room.
#[derive(Default)]
pub struct Members(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    next: u64,
    all: HashMap<u64, Arc<Line>>,
    /// The same as a list, made when it is needed, so that a piece costs no copy of it in a room where nobody comes or goes.
    list: Option<Arc<[Arc<Line>]>>,
}

/// What a piece came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Given {
    /// How many members were given it.
    pub members: usize,
    /// What was written to them at once.
    pub bytes: usize,
}

impl Sum for Given {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, given| Self {
            members: sum.members + given.members,
            bytes: sum.bytes + given.bytes,
        })
    }
}

/// A line's place among the members; dropping it takes the line out.
pub struct Membership {
    room: Arc<super::Room>,
    key: u64,
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self) -> Arc<[Arc<Line>]> {
        let mut lines = self.lock();
        let Lines { all, list, .. } = &mut *lines;
        Arc::clone(list.get_or_insert_with(|| all.values().cloned().collect()))
    }

    /// Gives a piece to everybody who follows.
    pub async fn give(&self, piece: &Arc<Piece>) -> Given {
        let list = self.list();
        if list.len() <= SHARE {
            return give_to(&list, piece).await;
        }
        let mut shares = JoinSet::new();
        for start in (0..list.len()).step_by(SHARE) {
            let (list, piece) = (Arc::clone(&list), Arc::clone(piece));
            shares.spawn(async move { give_to(&list[start..(start + SHARE).min(list.len())], &piece).await });
        }
        shares.join_all().await.into_iter().sum()
    }

    /// Leaves everybody to their seats.
    pub fn leave_behind(&self) {
        self.list().iter().for_each(|line| line.leave_behind());
    }

    /// Has every seat look at the room.
    pub fn ring(&self) {
        self.list().iter().for_each(|line| line.ring());
    }
}

async fn give_to(lines: &[Arc<Line>], piece: &Piece) -> Given {
    let mut given = Given::default();
    for turn in lines.chunks(TURN) {
        for bytes in turn.iter().filter_map(|line| line.offer(piece)) {
            given.members += 1;
            given.bytes += bytes;
        }
        tokio::task::yield_now().await;
    }
    given
}

impl Membership {
    pub fn of(room: Arc<super::Room>, line: Arc<Line>) -> Self {
        let mut lines = room.members.lock();
        let key = lines.next;
        lines.next += 1;
        lines.all.insert(key, line);
        lines.list = None;
        drop(lines);
        Self { room, key }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut lines = self.room.members.lock();
        lines.all.remove(&self.key);
        lines.list = None;
    }
}
