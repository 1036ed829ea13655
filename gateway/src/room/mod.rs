//! Rooms that have a member at this gateway.
//!
//! An open room is one record: a [`ring::Ring`] of its newest events, the lines of its [`members`], and one task that fills the
//! ring from the broker's live subject and gives the news to the members ([`feed`]). Whoever can't follow reads the ring
//! at their own pace.

mod feed;
mod heads;
pub mod members;
mod newest;
pub mod piece;
pub mod ring;
pub mod shown;

pub use heads::check_heads;

use crate::{
    Error,
    history::{self, End},
    presence::Presence,
    state::Gateway,
};
use members::Members;
use newest::Newest;
use piece::Piece;
use protocol::{
    Cursor, MessageId, RoomSlug, StreamIdentity, UserId, frame::ResetReason, keys::Holder, subject::Shard,
    view::Row,
};
use ring::{After, Ring};
use shown::Shown;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Mutex as AsyncMutex, OnceCell, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A room with at least one socket. It closes when the last holder drops it.
pub struct Room {
    pub slug: RoomSlug,
    pub shard: Shard,
    inner: Mutex<Inner>,
    pub members: Members,
    pub presence: Arc<Presence>,
    /// Rings whenever the ring has grown or was made anew, for the few that wait for a certain sequence.
    grown: watch::Sender<u64>,
    /// The highest sequence that the log is known to have for this room, from whoever looked.
    known_head: watch::Sender<u64>,
    /// Held while older events are fetched, so that many cursors make one fetch.
    fetching: AsyncMutex<()>,
    newest: AsyncMutex<Option<Arc<Newest>>>,
    _feed: DropGuard,
}

struct Inner {
    ring: Ring,
    /// Everything up to here has been taken to be given to the members.
    given: u64,
    /// Whose membership ended while the room was open.
    departed: HashSet<UserId>,
    /// The room was erased: it has no members any more.
    gone: bool,
}

/// What a room has for a cursor.
pub enum Next {
    Events { events: Vec<Arc<Shown>>, reached: u64 },
    Nothing,
    Reset(ResetReason),
}

/// What a room has for all its members.
enum News {
    Piece(Piece),
    Nothing,
    /// More came than the ring holds: each member is brought on by its seat.
    Dropped,
}

impl Room {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn identity(&self) -> StreamIdentity {
        self.inner().ring.identity()
    }

    /// Up to where the room's log has been taken in.
    pub fn head(&self) -> Cursor {
        let inner = self.inner();
        Cursor { stream: inner.ring.identity(), seq: inner.ring.seen() }
    }

    /// To be waited on until the ring has come to a sequence.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Whether this person has left the room since it was opened here, or the room itself is gone.
    pub fn has_departed(&self, user: UserId) -> bool {
        let inner = self.inner();
        inner.gone || inner.departed.contains(&user)
    }

    /// Forgets every text of a person, or of everybody.
    fn erase_texts(self: &Arc<Self>, author: Option<UserId>) {
        self.inner().ring.erase_of(author);
        self.forget_newest();
    }

    /// The room was erased: nothing of it is kept, and every seat shows its member out.
    fn end(self: &Arc<Self>) {
        self.inner().gone = true;
        self.erase_texts(None);
        self.members.ring();
    }

    /// Notes that the log has an event at `seq`. If the ring does not come there by itself, it is read.
    pub fn note_head(&self, seq: u64) {
        self.known_head.send_if_modified(|known| {
            let news = seq > *known;
            *known = seq.max(*known);
            news
        });
    }

    /// Starts again with another ring, because the log is not the one that was seen: every cursor that it can't continue is
    /// told so.
    fn start_anew(&self, ring: Ring) {
        let seen = ring.seen();
        {
            let mut inner = self.inner();
            (inner.ring, inner.given) = (ring, seen);
        }
        self.known_head.send_replace(seen);
        self.grown.send_replace(seen);
        self.members.leave_behind();
    }

    /// Whether the ring has something that the members were not given.
    fn has_news(&self) -> bool {
        let inner = self.inner();
        inner.ring.seen() > inner.given && !inner.gone
    }

    /// Takes the next of what the members were not given.
    fn take_news(&self, limit: usize) -> News {
        let mut inner = self.inner();
        if inner.gone {
            return News::Nothing;
        }
        let given = inner.given;
        match inner.ring.after(given, limit) {
            After::Nothing => News::Nothing,
            After::Events(events, reached) => {
                inner.given = reached;
                News::Piece(Piece::new(given, reached, events))
            }
            After::Older => {
                inner.given = inner.ring.seen();
                News::Dropped
            }
        }
    }

    /// The newest rows with the row before them, and up to where the room was read, if the ring alone has as many as `limit`.
    pub fn newest(&self, limit: usize) -> Option<(Vec<Row>, u64, u64)> {
        let inner = self.inner();
        let (rows, prev) = inner.ring.newest(limit)?;
        Some((rows, prev, inner.ring.seen()))
    }

    /// The events after a sequence, if the ring reaches so far back.
    pub fn stored_after(&self, seq: u64) -> Option<End> {
        let inner = self.inner();
        let events = inner.ring.stored_after(seq)?;
        Some(End { events, upto: inner.ring.seen().max(seq) })
    }

    /// The newest entry with this id in the ring.
    pub fn find(&self, id: MessageId) -> Option<Arc<Shown>> {
        self.inner().ring.find(id).cloned()
    }

    /// At most `limit` events after a cursor, from the ring if it reaches so far back, else from log or history.
    ///
    /// # Errors
    /// When neither can be read now; nothing is lost by asking again.
    pub async fn after(&self, gateway: &Gateway, cursor: Cursor, limit: usize) -> Result<Next, Error> {
        if let Some(next) = self.in_ring(cursor, limit) {
            return Ok(next);
        }
        let _one_at_a_time = self.fetching.lock().await;
        // Whoever held the lock before may have brought what this cursor needs.
        if let Some(next) = self.in_ring(cursor, limit) {
            return Ok(next);
        }
        let (events, reached) = history::after(gateway, self, cursor.seq, limit).await?;
        let mut inner = self.inner();
        if inner.ring.identity() != cursor.stream {
            return Ok(Next::Reset(ResetReason::OtherStream));
        }
        if reached >= inner.ring.floor() {
            let floor = inner.ring.floor();
            let older: Vec<_> = events.iter().filter(|shown| shown.seq <= floor).cloned().collect();
            inner.ring.extend_back(cursor.seq, &older);
        }
        Ok(Next::Events { events, reached })
    }

    fn in_ring(&self, cursor: Cursor, limit: usize) -> Option<Next> {
        let inner = self.inner();
        if inner.ring.identity() != cursor.stream {
            return Some(Next::Reset(ResetReason::OtherStream));
        }
        if cursor.seq > inner.ring.seen() {
            return Some(Next::Reset(ResetReason::FromTheFuture));
        }
        match inner.ring.after(cursor.seq, limit) {
            After::Events(events, reached) => Some(Next::Events { events, reached }),
            After::Nothing => Some(Next::Nothing),
            After::Older => None,
        }
    }
}

/// The rooms that are open at this gateway.
#[derive(Default)]
pub struct Rooms {
    open: Mutex<HashMap<RoomSlug, Arc<OnceCell<Weak<Room>>>>>,
    opened: AtomicU64,
}

impl Rooms {
    /// The room, opened if it is not open: then its live subject is subscribed to before its head is read, so that nothing
    /// falls between the two.
    ///
    /// # Errors
    /// When the broker can't be asked.
    pub async fn open(&self, gateway: &Arc<Gateway>, slug: &RoomSlug) -> Result<Arc<Room>, Error> {
        loop {
            let cell = Arc::clone(self.lock().entry(slug.clone()).or_default());
            // Many that come at once wait for the first, which opens the room for all.
            let mut opened = None;
            let weak = cell
                .get_or_try_init(|| async {
                    let room = feed::open(gateway, slug).await?;
                    let weak = Arc::downgrade(&room);
                    opened = Some(room);
                    Ok::<_, Error>(weak)
                })
                .await?;
            // Counted when it can be found: whoever counts first and looks then misses no room without knowing.
            self.opened.fetch_add(u64::from(opened.is_some()), Ordering::AcqRel);
            if let Some(room) = opened.or_else(|| weak.upgrade()) {
                return Ok(room);
            }
            // The room closed between two of its sockets: the next round opens it anew.
            self.forget(slug, &cell);
        }
    }

    /// The room, if it is open.
    pub fn get(&self, slug: &RoomSlug) -> Option<Arc<Room>> {
        self.lock().get(slug)?.get()?.upgrade()
    }

    /// Forgets every text of a person, or a room, whose members are shown out.
    pub fn erase(&self, holder: &Holder) {
        match holder {
            Holder::User(user) => self.all().iter().for_each(|room| room.erase_texts(Some(*user))),
            Holder::Room(slug) => {
                if let Some(room) = self.get(slug) {
                    room.end();
                }
            }
        }
    }

    /// How many rooms were opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    /// All open rooms.
    pub fn all(&self) -> Vec<Arc<Room>> {
        self.lock().values().filter_map(|cell| cell.get()?.upgrade()).collect()
    }

    /// Drops the records of rooms that have closed.
    pub fn sweep(&self) {
        self.lock().retain(|_, cell| cell.get().is_none_or(|weak| weak.strong_count() > 0));
    }

    fn forget(&self, slug: &RoomSlug, cell: &Arc<OnceCell<Weak<Room>>>) {
        let mut rooms = self.lock();
        if rooms.get(slug).is_some_and(|current| Arc::ptr_eq(current, cell)) {
            rooms.remove(slug);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomSlug, Arc<OnceCell<Weak<Room>>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(
        (slug, shard): (RoomSlug, Shard),
        ring: Ring,
        presence: Presence,
        closed: CancellationToken,
    ) -> Self {
        let seen = ring.seen();
        Self {
            slug,
            shard,
            inner: Mutex::new(Inner { ring, given: seen, departed: HashSet::new(), gone: false }),
            members: Members::default(),
            presence: Arc::new(presence),
            grown: watch::Sender::new(seen),
            known_head: watch::Sender::new(seen),
            fetching: AsyncMutex::new(()),
            newest: AsyncMutex::new(None),
            _feed: closed.drop_guard(),
        }
    }
}
