//! The loop of one member's socket: a cursor that walks through the room's events, and the frames the member sends.

use super::{
    inbound::{self, Action},
    outlet::{Heard, Outlet, WriteError},
    wire::{Format, Refused},
};
use crate::{
    history::{self, HistoryPage},
    publish::{self, Outcome},
    room::{Next, Room},
    sessions::Registration,
    state::Gateway,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use protocol::{
    Cursor, Event, MessageId,
    frame::{Close, Refusal, ResetReason},
    limits,
    token::Claims,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Events written before the socket listens again.
const BATCH: usize = 64;
/// Messages of one socket that wait for the broker; more are refused as `busy`.
const WAITING_MAX: usize = 64;
/// Pages of one socket that are read at once; more are refused as `busy`.
const PAGES_MAX: usize = 2;
/// How long a room may take to come to a sequence that the log is known to have.
const REACH_WAIT: Duration = Duration::from_secs(3);
/// Pause after events could not be read.
const READ_PAUSE: Duration = Duration::from_millis(300);
/// Failed reads in a row after which the member is told to start anew.
const READ_FAILURES_MAX: u32 = 40;
/// Pings without a sign of life after them after which a peer counts as gone.
const SILENT_PINGS_MAX: u32 = 4;

/// One member's place in a room.
pub struct Seat {
    gateway: Arc<Gateway>,
    room: Arc<Room>,
    claims: Claims,
    registration: Registration,
    format: Format,
    cursor: Option<Cursor>,
    grown: watch::Receiver<u64>,
    /// Events may lie behind the cursor.
    behind: bool,
    /// `caught_up` has been said since the cursor was last set.
    caught_up: bool,
    read_failures: u32,
    /// Messages in the order in which they came; the first is with the broker.
    waiting: VecDeque<Event>,
    publishing: Option<BoxFuture<'static, (MessageId, Outcome)>>,
    pages: FuturesUnordered<BoxFuture<'static, Option<HistoryPage>>>,
    /// Pings since the peer was heard.
    silent_pings: u32,
}

/// How a socket ends: `None`, the peer is gone.
type End = Option<Close>;

impl Seat {
    pub fn new(
        gateway: Arc<Gateway>,
        room: Arc<Room>,
        claims: Claims,
        registration: Registration,
        (format, cursor): (Format, Option<Cursor>),
    ) -> Self {
        Self {
            grown: room.grown(),
            gateway,
            room,
            claims,
            registration,
            format,
            cursor,
            behind: true,
            caught_up: false,
            read_failures: 0,
            waiting: VecDeque::new(),
            publishing: None,
            pages: FuturesUnordered::new(),
            silent_pings: 0,
        }
    }

    /// Serves the socket to its end, and says how to close it.
    pub async fn run(mut self, outlet: &mut Outlet) -> End {
        let mut draining = std::pin::pin!(self.gateway.drained());
        let revoked = self.registration.revoked.clone();
        let mut end = self.start(outlet).await.err();
        let every = self.gateway.config.sockets.ping_every;
        let mut ping = tokio::time::interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while end.is_none() {
            // In the order of importance: the end, answers, what the room has, what the member says, signs of life.
            // Futures kept in `self` and signals may be polled again; `hear` keeps what it has not read whole.
            let step = tokio::select! {
                biased;
                () = revoked.cancelled() => Err(Some(Close::SessionEnded)),
                () = &mut draining => Err(Some(Close::Draining)),
                published = next_publication(&mut self.publishing) => self.published(outlet, published).await,
                Some(page) = self.pages.next() => self.page(outlet, page).await,
                changed = self.grown.changed(), if !self.behind => {
                    self.behind = true;
                    changed.map_err(|_| Some(Close::Draining))
                }
                heard = outlet.hear() => self.heard(outlet, heard).await,
                () = std::future::ready(()), if self.behind => self.deliver(outlet).await,
                _ = ping.tick() => self.ping(outlet).await,
            };
            end = step.err();
        }
        let end = end.flatten();
        if end == Some(Close::Draining) {
            self.finish_publishing(outlet).await;
        }
        end
    }

    /// Brings the cursor to a place from which the room can go on.
    async fn start(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        let Some(cursor) = self.cursor else { return self.start_at_the_newest(outlet).await };
        if cursor.stream == self.room.identity() && cursor.seq > self.room.head().seq {
            // Another gateway may have shown what this one has not seen yet: the leader's word counts.
            let (stream, subject) = (self.room.shard.stream(), self.room.shard.log(&self.room.slug));
            match self.gateway.broker.last_confirmed_at(&stream, &subject, cursor.seq).await {
                Ok(Some(head)) if head.seq >= cursor.seq => {
                    self.reach(cursor.seq).await;
                    if self.room.head().seq < cursor.seq {
                        // The log has it and this gateway can't read it now: another may.
                        return Err(Some(Close::Draining));
                    }
                }
                Ok(_) => return self.reset(outlet, ResetReason::FromTheFuture).await,
                Err(_) => return Err(Some(Close::Draining)),
            }
        }
        Ok(())
    }

    async fn start_at_the_newest(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        let stream = self.room.identity();
        let newest = history::newest(&self.gateway, &self.room.slug, limits::PAGE_EVENTS).await;
        let (page, head) = newest.map_err(|_| Some(Close::Draining))?;
        self.reach(head).await;
        self.cursor = Some(Cursor { stream, seq: head });
        self.gateway.signals.delivered(page.events.len());
        outlet.show(&page.events, self.format).await.map_err(too_slow)
    }

    async fn reset(&mut self, outlet: &mut Outlet, reason: ResetReason) -> Result<(), End> {
        self.caught_up = false;
        outlet.say(self.format.reset(reason)).await.map_err(too_slow)?;
        self.start_at_the_newest(outlet).await
    }

    /// Waits until the room has taken in `seq`, which the log is known to have.
    async fn reach(&mut self, seq: u64) {
        self.room.note_head(seq);
        let room = Arc::clone(&self.room);
        let reached = self.grown.wait_for(|_| room.head().seq >= seq);
        if timeout(REACH_WAIT, reached).await.is_err() {
            tracing::debug!(room = %self.room.slug, seq, "the room is slow to come to its head");
        }
        self.behind = true;
    }

    /// Writes the next events behind the cursor.
    async fn deliver(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        let Some(cursor) = self.cursor else { return Err(None) };
        match self.room.after(&self.gateway, cursor, BATCH).await {
            Ok(Next::Events { events, reached }) => {
                self.read_failures = 0;
                self.gateway.signals.delivered(events.len());
                outlet.show(&events, self.format).await.map_err(too_slow)?;
                self.cursor = Some(Cursor { seq: reached, ..cursor });
                Ok(())
            }
            Ok(Next::Nothing) => {
                self.behind = false;
                if self.room.has_departed(self.claims.user) {
                    return Err(Some(Close::NotAMember));
                }
                if !self.caught_up {
                    self.caught_up = true;
                    outlet.say(self.format.caught_up(cursor)).await.map_err(too_slow)?;
                }
                Ok(())
            }
            Ok(Next::Reset(reason)) => self.reset(outlet, reason).await,
            Err(error) => {
                self.read_failures += 1;
                tracing::debug!(%error, room = %self.room.slug, "events can't be read yet");
                if self.read_failures > READ_FAILURES_MAX {
                    self.read_failures = 0;
                    return self.reset(outlet, ResetReason::Unreachable).await;
                }
                tokio::time::sleep(READ_PAUSE).await;
                Ok(())
            }
        }
    }

    async fn heard(&mut self, outlet: &mut Outlet, heard: Heard) -> Result<(), End> {
        self.silent_pings = 0;
        let action = match heard {
            Heard::Text(text) => inbound::text(self.claims.user, &text),
            Heard::Binary => inbound::binary(),
            Heard::Alive => return Ok(()),
            Heard::Closed => return Err(None),
            Heard::Broken(Some(close), _) => return Err(Some(close)),
            Heard::Broken(None, code) => {
                outlet.close_with(code, "the frame is not valid").await;
                return Err(None);
            }
        };
        match action {
            Action::Publish(event) => self.publish(outlet, event).await,
            Action::Page { before, limit } => self.read_page(outlet, before, limit).await,
            Action::Refuse(refused) => self.refuse(outlet, refused).await,
        }
    }

    async fn publish(&mut self, outlet: &mut Outlet, event: Event) -> Result<(), End> {
        if self.room.has_departed(self.claims.user) {
            return Err(Some(Close::NotAMember));
        }
        let id = Some(event.id());
        if self.waiting.len() >= WAITING_MAX {
            return self.refuse(outlet, busy(id)).await;
        }
        if let Err(wait) = self.gateway.rates.take(self.claims.user, Instant::now()) {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let message = format!("too many messages at once; wait {wait_ms} ms");
            let refused = Refused { id, code: Refusal::TooFast, message, retry_after_ms: Some(wait_ms) };
            return self.refuse(outlet, refused).await;
        }
        self.waiting.push_back(event);
        self.publish_next();
        Ok(())
    }

    /// Gives the next waiting message to the broker: one at a time, so that a member's order is the log's.
    fn publish_next(&mut self) {
        if self.publishing.is_some() {
            return;
        }
        let Some(event) = self.waiting.pop_front() else { return };
        let (gateway, room) = (Arc::clone(&self.gateway), self.room.slug.clone());
        self.publishing =
            Some(async move { (event.id(), publish::publish(&gateway, &room, &event).await) }.boxed());
    }

    async fn published(
        &mut self,
        outlet: &mut Outlet,
        (id, outcome): (MessageId, Outcome),
    ) -> Result<(), End> {
        self.publishing = None;
        self.publish_next();
        match outcome {
            Outcome::Stored { seq, duplicate } => {
                outlet.say(self.format.ack(id, seq, duplicate)).await.map_err(too_slow)
            }
            Outcome::Refused { code, retry_after_ms } => {
                let message = publish_refusal(code).to_owned();
                self.refuse(outlet, Refused { id: Some(id), code, message, retry_after_ms }).await
            }
        }
    }

    async fn read_page(&mut self, outlet: &mut Outlet, before: u64, limit: usize) -> Result<(), End> {
        if self.pages.len() >= PAGES_MAX {
            return self.refuse(outlet, busy(None)).await;
        }
        let (gateway, room) = (Arc::clone(&self.gateway), self.room.slug.clone());
        let read = async move { history::before(&gateway, &room, before, limit).await.ok() };
        self.pages.push(read.boxed());
        Ok(())
    }

    async fn page(&mut self, outlet: &mut Outlet, page: Option<HistoryPage>) -> Result<(), End> {
        match page {
            Some(page) => outlet.say(self.format.page(&page)).await.map_err(too_slow),
            None => {
                let (code, message) = (Refusal::Unavailable, "history can't be read now".to_owned());
                let refused = Refused { id: None, code, message, retry_after_ms: Some(2_000) };
                self.refuse(outlet, refused).await
            }
        }
    }

    async fn refuse(&mut self, outlet: &mut Outlet, refused: Refused) -> Result<(), End> {
        self.gateway.signals.refused(refused.code.code());
        outlet.say(self.format.refused(&refused)).await.map_err(too_slow)
    }

    async fn ping(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        // Counted and not timed: a peer can answer only what was sent, and a long catch-up sends no pings.
        self.silent_pings += 1;
        if self.silent_pings > SILENT_PINGS_MAX {
            return Err(Some(Close::TooSlow));
        }
        outlet.ping(self.format.ping()).await.map_err(too_slow)
    }

    /// Lets what is with the broker come to its end before a drained socket closes.
    async fn finish_publishing(&mut self, outlet: &mut Outlet) {
        let deadline = Instant::now() + self.gateway.config.drain;
        while self.publishing.is_some() {
            let next = tokio::time::timeout_at(deadline, next_publication(&mut self.publishing)).await;
            let Ok(published) = next else { return };
            if self.published(outlet, published).await.is_err() {
                return;
            }
        }
    }
}

/// The publication in hand; never ready while there is none.
async fn next_publication(
    publishing: &mut Option<BoxFuture<'static, (MessageId, Outcome)>>,
) -> (MessageId, Outcome) {
    match publishing {
        Some(publication) => publication.await,
        None => std::future::pending().await,
    }
}

fn busy(id: Option<MessageId>) -> Refused {
    let message = "too much of this socket is still being worked on".to_owned();
    Refused { id, code: Refusal::Busy, message, retry_after_ms: Some(500) }
}

const fn publish_refusal(code: Refusal) -> &'static str {
    match code {
        Refusal::IdReused => "this id was used for another message",
        Refusal::StorageFull => "the server's storage is full",
        Refusal::NotConfirmed => "not confirmed in time; send the same id again",
        _ => "the message can't be stored now; send the same id again",
    }
}

const fn too_slow(error: WriteError) -> End {
    match error {
        WriteError::TooSlow => Some(Close::TooSlow),
        WriteError::Gone => None,
    }
}
