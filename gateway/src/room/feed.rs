//! The task of an open room: live messages into its ring, holes repaired from the log, in order, once; and the news out to the
//! members, at once in a quiet room, gathered for a moment in a busy one.

use super::{
    News, Room,
    ring::Ring,
    shown::{Entry, Shown},
};
use crate::{
    Error,
    presence::{self, Presence},
    state::Gateway,
};
use broker::{LiveRecord, Record, Subscription};
use keyring::sealed;
use protocol::{Event, RoomSlug, SealedStored, StoredEvent, chain::Link, subject::Shard};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use traces::{Pending, Step};

/// Events fetched at once to repair a hole.
const REPAIR_BATCH: usize = 256;
/// Events given to the members at once.
const PIECE_EVENTS: usize = 64;
/// What a trace says of how many were given a message at once; the others are brought on by their seats.
const SOCKETS: &str = "backchat.sockets";
/// Longest pause between two tries to repair a hole.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Opens a room: subscribes, reads its head, starts its feed.
pub(super) async fn open(gateway: &Arc<Gateway>, slug: &RoomSlug) -> Result<Arc<Room>, Error> {
    let shard = gateway.shard(slug)?;
    let live = gateway.broker.subscribe(shard.live(slug)).await?;
    let identity = gateway.streams.identity(shard);
    let head = gateway.broker.last(&shard.stream(), &shard.log(slug)).await?.map_or(0, |head| head.seq);
    let closed = CancellationToken::new();
    let ring = Ring::new(identity, head, gateway.config.ring);
    let presence = Presence::new(gateway);
    let room = Arc::new(Room::new((slug.clone(), shard), ring, presence, closed.clone()));
    presence::start(gateway, &room, closed.clone());
    let feed = Feed {
        gateway: Arc::clone(gateway),
        room: Arc::downgrade(&room),
        slug: slug.clone(),
        shard,
        given_at: Instant::now(),
        delivering: Pending::default(),
    };
    // It ends when the room's last socket drops the room.
    tokio::spawn(feed.run(live, closed));
    Ok(room)
}

struct Feed {
    gateway: Arc<Gateway>,
    /// Weak, so that the room closes when its last socket is gone.
    room: Weak<Room>,
    slug: RoomSlug,
    shard: Shard,
    /// When the members were given something last.
    given_at: Instant,
    /// Messages that are followed, from when they were heard until the members are given them.
    delivering: Pending,
}

impl Feed {
    /// Inputs: the room's end, a head that somebody has seen in the log, another life of the stream, live messages, the moment
    /// to give the members what has come. All are signals, clocks, or a queue that keeps what was not taken, so each branch
    /// may be cancelled.
    async fn run(mut self, mut live: Subscription, closed: CancellationToken) {
        let Some(mut known_head) = self.room.upgrade().map(|room| room.known_head.subscribe()) else {
            return;
        };
        let mut streams = self.gateway.streams.changes();
        loop {
            let has_news = self.room.upgrade().is_some_and(|room| room.has_news());
            let give_at = self.given_at + self.gateway.config.fan_out;
            tokio::select! {
                // The end first, so that a busy room can close.
                biased;
                () = closed.cancelled() => break,
                changed = streams.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    Box::pin(self.start_anew_if_other_stream()).await;
                }
                () = tokio::time::sleep_until(give_at), if has_news => self.give().await,
                record = live.next() => match record {
                    Some(record) => self.take(record).await,
                    None => break,
                },
                changed = known_head.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let head = *known_head.borrow_and_update();
                    if self.with_ring(|ring| ring.seen()).is_some_and(|seen| seen < head) {
                        self.gateway.signals.head_behind();
                        Box::pin(self.read_up_to(head)).await;
                    }
                }
            }
        }
        self.gateway.rooms.sweep();
    }

    /// Gives the members everything that has come since the last time, in pieces that a socket takes at once.
    async fn give(&mut self) {
        let Some(room) = self.room.upgrade() else { return };
        self.given_at = Instant::now();
        loop {
            let piece = match room.take_news(PIECE_EVENTS) {
                News::Piece(piece) => Arc::new(piece),
                News::Dropped => {
                    room.members.leave_behind();
                    self.delivering.end_upto(u64::MAX, SOCKETS, 0);
                    continue;
                }
                News::Nothing => return,
            };
            if piece.events.iter().any(|shown| shown.tells_of_erased_texts()) {
                // Each seat comes to it by itself, and tells its member to begin anew.
                room.members.leave_behind();
                self.delivering.end_upto(piece.upto, SOCKETS, 0);
                continue;
            }
            let given = Box::pin(room.members.give(&piece)).await;
            self.delivering.end_upto(piece.upto, SOCKETS, given.members);
            self.gateway.signals.delivered(given.members * piece.events.len());
            self.gateway.config.http.signals.sent.inc_by(given.bytes as u64);
            if let Some(oldest) = piece.events.first().filter(|_| given.members > 0) {
                self.gateway.signals.seen(oldest.at);
            }
            let somebody_left = |shown: &Arc<Shown>| matches!(shown.what, Entry::Event(Event::Left { .. }));
            if piece.events.iter().any(somebody_left) {
                room.members.ring();
            }
        }
    }

    async fn take(&mut self, live: LiveRecord) {
        let LiveRecord { record, prev } = live;
        let Some(link) = self.with_ring(|ring| ring.link(prev, record.seq)) else { return };
        match link {
            Link::Seen => {}
            Link::Next => self.place(&[record]).await,
            Link::Hole => {
                self.gateway.signals.hole();
                Box::pin(self.read_up_to(record.seq)).await;
            }
        }
    }

    /// Reads the log until the ring has come to `head`, however often the broker fails meanwhile.
    async fn read_up_to(&mut self, head: u64) {
        let mut pause = Duration::from_millis(50);
        while let Some(seen) = self.with_ring(|ring| ring.seen()).filter(|seen| *seen < head) {
            let (stream, subject) = (self.shard.stream(), self.shard.log(&self.slug));
            match self.gateway.broker.read_after(&stream, &subject, seen, REPAIR_BATCH).await {
                Ok(batch) if !batch.records.is_empty() => {
                    self.gateway.signals.repaired(batch.records.len());
                    self.place(&batch.records).await;
                    pause = Duration::from_millis(50);
                    continue;
                }
                // A replica that lags may say so: only the leader knows that nothing is there.
                Ok(_) => match self.gateway.broker.next_confirmed(&stream, &subject, seen).await {
                    Ok(Some(next)) if next.seq <= head => {}
                    Ok(_) => return self.pass(head),
                    Err(error) => tracing::debug!(%error, "the leader can't be asked"),
                },
                Err(error) => {
                    tracing::warn!(room = %self.slug, %error, "a hole can't be repaired yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Up to `head` the log has nothing more to show: what was there has been removed.
    fn pass(&self, head: u64) {
        if let Some(room) = self.room.upgrade() {
            room.inner().ring.pass(head);
            room.grown.send_replace(head);
        }
    }

    /// Places consecutive records of the log at the ring's end.
    async fn place(&mut self, records: &[Record]) {
        for record in records {
            let span = record.step(&self.gateway.traces, self.shard, Step::Deliver);
            self.delivering.add(record.seq, span);
        }
        let mut events = self.opened(records).await.into_iter().peekable();
        let mut named = Vec::with_capacity(records.len());
        for record in records {
            let event = events.next_if(|stored| stored.seq == record.seq);
            let name = match &event {
                Some(stored) => self.gateway.profiles.name(stored.event.author()).await,
                None => String::new(),
            };
            named.push((record, event, name));
        }
        let Some(room) = self.room.upgrade() else { return };
        let mut ended = false;
        let seen = {
            let mut inner = room.inner();
            for (record, event, name) in named {
                if record.seq <= inner.ring.seen() {
                    continue;
                }
                let Some(stored) = event else {
                    inner.ring.pass(record.seq);
                    continue;
                };
                match &stored.event {
                    Event::Left { author, .. } => drop(inner.departed.insert(*author)),
                    Event::Joined { author, .. } => drop(inner.departed.remove(author)),
                    Event::Deleted { target, .. } => inner.ring.erase(target.seq),
                    Event::Expired { target, .. } => inner.ring.expire(target.seq),
                    Event::UserErased { author, .. } => {
                        inner.ring.erase_of(Some(*author));
                        inner.departed.insert(*author);
                    }
                    Event::RoomErased { .. } => ended = true,
                    _ => {}
                }
                let shown = Shown::new(stored, inner.ring.prev_of_next(), name, record.payload.len());
                inner.ring.push(Arc::new(shown));
            }
            inner.ring.seen()
        };
        room.grown.send_replace(seen);
        if ended {
            room.end();
        }
    }

    /// These records with their texts in the open. Keys that can't be had now are asked for until they are there:
    /// without them nothing of the room can be shown.
    async fn opened(&self, records: &[Record]) -> Vec<StoredEvent> {
        let mut stored = Vec::with_capacity(records.len());
        for record in records {
            let (event, unreadable) = SealedStored::read(record.seq, record.at, &record.payload);
            stored.push(event);
            if let Some(why) = unreadable {
                self.gateway.signals.unreadable(&self.slug, record.seq, why);
            }
        }
        let mut pause = Duration::from_millis(50);
        loop {
            match sealed::events(&self.gateway.keyring, &self.slug, stored.clone()).await {
                Ok(events) => return events,
                Err(error) => tracing::warn!(room = %self.slug, %error, "keys can't be had yet"),
            }
            if self.room.strong_count() == 0 {
                return Vec::new();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// A stream made anew holds another history: the ring starts again, and every socket is told by its cursor.
    async fn start_anew_if_other_stream(&mut self) {
        let identity = self.gateway.streams.identity(self.shard);
        if self.with_ring(|ring| ring.identity()) == Some(identity) {
            return;
        }
        let last = self.gateway.broker.last(&self.shard.stream(), &self.shard.log(&self.slug)).await;
        let head = last.ok().flatten().map_or(0, |head| head.seq);
        self.delivering.forget();
        if let Some(room) = self.room.upgrade() {
            room.start_anew(Ring::new(identity, head, self.gateway.config.ring));
        }
    }

    fn with_ring<T>(&self, ask: impl FnOnce(&Ring) -> T) -> Option<T> {
        self.room.upgrade().map(|room| ask(&room.inner().ring))
    }
}
