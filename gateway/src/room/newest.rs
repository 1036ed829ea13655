//! A room's newest page for those who come without a cursor: read once for all who come while the room stays as it is.

use super::Room;
use crate::{
    Error,
    history::{self, HistoryPage},
    socket::{frame, wire::Format},
    state::Gateway,
};
use bytes::Bytes;
use protocol::{Cursor, limits};
use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Names in a page may change without an event of the room.
const FRESH: Duration = Duration::from_secs(2);

/// The newest rows of a room as they were at a place of its log.
pub struct Newest {
    pub head: Cursor,
    page: HistoryPage,
    read_at: Instant,
    frames: [OnceLock<Arc<[Bytes]>>; Format::COUNT],
}

impl Newest {
    /// A frame for each row. The first call encodes; all others share its bytes.
    pub fn frames(&self, format: Format) -> Arc<[Bytes]> {
        let rows = || self.page.rows.iter().map(|row| frame::text(&format.row(row))).collect();
        Arc::clone(self.frames[format.index()].get_or_init(rows))
    }

    fn is_of(&self, head: Cursor) -> bool {
        self.head.stream == head.stream && self.head.seq >= head.seq && self.read_at.elapsed() < FRESH
    }
}

impl Room {
    /// The newest page, as it is now.
    ///
    /// # Errors
    /// When it can't be read now.
    pub async fn newest_page(self: &Arc<Self>, gateway: &Gateway) -> Result<Arc<Newest>, Error> {
        let mut kept = self.newest.lock().await;
        if let Some(newest) = kept.as_ref().filter(|newest| newest.is_of(self.head())) {
            return Ok(Arc::clone(newest));
        }
        let stream = self.identity();
        let (page, seq) = history::newest(gateway, &self.slug, limits::PAGE_EVENTS).await?;
        let head = Cursor { stream, seq };
        let newest = Arc::new(Newest { head, page, read_at: Instant::now(), frames: Default::default() });
        *kept = Some(Arc::clone(&newest));
        drop(kept);
        tokio::spawn(forget_when_stale(Arc::downgrade(self)));
        Ok(newest)
    }
}

impl Room {
    /// Forgets the newest page: a text in it was erased.
    pub fn forget_newest(self: &Arc<Self>) {
        let room = Arc::clone(self);
        // Whoever reads the page just now may hold it.
        tokio::spawn(async move { drop(room.newest.lock().await.take()) });
    }
}

/// Gives back the memory of a page that would be read anew.
async fn forget_when_stale(room: Weak<Room>) {
    tokio::time::sleep(FRESH).await;
    if let Some(room) = room.upgrade() {
        room.newest.lock().await.take_if(|newest| newest.read_at.elapsed() >= FRESH);
    }
}
