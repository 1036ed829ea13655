//! The loop of one member's socket: a cursor that walks through the room's events, and the frames the member sends.

use super::{
    inbound::{self, Action},
    line::Line,
    outlet::{Heard, Outlet},
    queue::WriteError,
    wire::{Format, Refused},
};
use crate::{
    history,
    presence::{Present, told::Place},
    room::{Next, Room, members::Membership},
    sessions::Registration,
    state::Gateway,
    writing::{self, Arrival, Outcome, Request},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use protocol::{
    Cursor, MessageId, PagePlace, UserId,
    frame::{Close, Refusal, ResetReason},
    token::Claims,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Events written before the socket listens again.
const BATCH: usize = 64;
/// Messages of one socket that wait for the broker; more are refused as `busy`.
const WAITING_MAX: usize = 64;
/// Pages of one socket that are read at once; more are refused as `busy`.
const PAGES_MAX: usize = 2;
/// How long a room may take to come to a sequence that the log is known to have.
const REACH_WAIT: Duration = Duration::from_secs(3);
/// Bytes of events that are written at once, which is what a peer must take within the stall limit; one event may be more.
const PIECE_BYTES: usize = 64 * 1024;
/// One socket's notice that its member writes is passed on so often.
const TYPING_EVERY: Duration = Duration::from_secs(1);
/// Pause after events could not be read.
const READ_PAUSE: Duration = Duration::from_millis(300);
/// Failed reads in a row after which the member is told to start anew.
const READ_FAILURES_MAX: u32 = 40;

/// Who sits where.
pub struct Member {
    pub room: Arc<Room>,
    /// When they asked to come in.
    pub asked_at: Instant,
    pub claims: Claims,
    pub registration: Registration,
    pub format: Format,
}

/// One member's place in a room.
pub struct Seat {
    gateway: Arc<Gateway>,
    room: Arc<Room>,
    user: UserId,
    _registration: Registration,
    format: Format,
    /// The line among those to which the room's fan-out writes.
    line: Arc<Line>,
    _membership: Membership,
    _present: Present,
    /// Up to where the member was told of presence and typing.
    told: Place,
    /// When this socket last said that its member is writing.
    typed_at: Option<Instant>,
    /// How far the member was brought, unless the fan-out brings it on.
    cursor: Option<Cursor>,
    /// Events may lie behind the cursor: this seat brings the member on.
    behind: bool,
    /// `caught_up` has been said since the cursor was last set.
    caught_up: bool,
    /// When the member asked to come in, until `caught_up` is said for the first time.
    asked_at: Option<Instant>,
    read_failures: u32,
    /// Requests in the order in which they came; the one before them is with the broker.
    waiting: VecDeque<(Request, Arrival)>,
    storing: Option<BoxFuture<'static, (MessageId, Outcome)>>,
    /// Pages that are read, each as the frame to be written.
    pages: FuturesUnordered<BoxFuture<'static, Option<String>>>,
}

/// How a socket ends: `None`, the peer is gone.
pub type End = Option<Close>;

impl Seat {
    pub fn new(gateway: Arc<Gateway>, member: Member, line: &Arc<Line>, cursor: Option<Cursor>) -> Self {
        let Member { room, asked_at, claims, registration, format } = member;
        Self {
            _membership: Membership::of(Arc::clone(&room), Arc::clone(line)),
            told: room.presence.told.place(),
            _present: Present::enter(Arc::clone(&room), claims.user),
            typed_at: None,
            line: Arc::clone(line),
            gateway,
            room,
            user: claims.user,
            _registration: registration,
            format,
            cursor,
            behind: true,
            caught_up: false,
            asked_at: Some(asked_at),
            read_failures: 0,
            waiting: VecDeque::new(),
            storing: None,
            pages: FuturesUnordered::new(),
        }
    }

    /// Serves the socket to its end, and says how to close it.
    pub async fn run(mut self: Box<Self>, outlet: &mut Outlet) -> End {
        let line = Arc::clone(&self.line);
        // Boxed, like what else is seldom in hand: an idle socket then takes no memory for it.
        let mut end = Box::pin(self.start(outlet)).await.err();
        while end.is_none() {
            // In the order of importance: the end and what the room has, answers, what the member says.
            // Futures kept in `self` and the bell may be polled again; `hear` keeps what it has not read or written whole.
            let step = tokio::select! {
                biased;
                () = line.rung() => self.rung(outlet),
                stored = next_stored(&mut self.storing) => self.stored(outlet, stored),
                Some(page) = self.pages.next() => self.page(outlet, page),
                heard = outlet.hear() => Box::pin(self.heard(outlet, heard)).await,
                () = std::future::ready(()), if self.behind => Box::pin(self.deliver(outlet)).await,
            };
            end = step.err();
        }
        let end = end.flatten();
        if end == Some(Close::Draining) {
            Box::pin(self.finish_storing(outlet)).await;
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
        let newest = self.room.newest_page(&self.gateway).await.map_err(|_| Some(Close::Draining))?;
        self.reach(newest.head.seq).await;
        self.cursor = Some(newest.head);
        self.show(outlet, newest.frames(self.format).to_vec()).await
    }

    /// Writes frames piece by piece, so that a slow peer is waited for as long as it takes each in time, and no longer than the
    /// session lasts.
    async fn show(&mut self, outlet: &mut Outlet, mut frames: Vec<Bytes>) -> Result<(), End> {
        self.gateway.signals.delivered(frames.len());
        while !frames.is_empty() {
            self.line.stays()?;
            let piece = frames.drain(..in_one_piece(&frames));
            outlet.show(piece).await.map_err(too_slow)?;
        }
        Ok(())
    }

    async fn reset(&mut self, outlet: &mut Outlet, reason: ResetReason) -> Result<(), End> {
        self.caught_up = false;
        outlet.say(&self.format.reset(reason)).map_err(too_slow)?;
        self.start_at_the_newest(outlet).await
    }

    /// Waits until the room has taken in `seq`, which the log is known to have.
    async fn reach(&mut self, seq: u64) {
        self.room.note_head(seq);
        let mut grown = self.room.grown();
        let reached = grown.wait_for(|_| self.room.head().seq >= seq);
        if timeout(REACH_WAIT, reached).await.is_err() {
            tracing::debug!(room = %self.room.slug, seq, "the room is slow to come to its head");
        }
        self.behind = true;
    }

    /// Writes the next events behind the cursor. At the room's end the fan-out takes over.
    async fn deliver(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        let Some(cursor) = self.cursor else { return Err(None) };
        match self.room.after(&self.gateway, cursor, BATCH).await {
            Ok(Next::Events { events, reached }) => {
                self.read_failures = 0;
                if events.iter().any(|shown| shown.tells_of_erased_texts()) {
                    // The member may have been shown what is gone now.
                    return self.reset(outlet, ResetReason::Erased).await;
                }
                // Their bytes are shared with every other socket of this format.
                let frames = events.iter().map(|shown| shown.encoded(self.format)).collect();
                self.show(outlet, frames).await?;
                self.cursor = Some(Cursor { seq: reached, ..cursor });
                Ok(())
            }
            Ok(Next::Nothing) => self.go_live(outlet, cursor),
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

    fn go_live(&mut self, outlet: &Outlet, cursor: Cursor) -> Result<(), End> {
        self.leave_if_departed()?;
        if !self.caught_up {
            self.caught_up = true;
            outlet.say(&self.format.caught_up(cursor)).map_err(too_slow)?;
            if let Some(asked_at) = self.asked_at.take() {
                self.gateway.signals.connected(asked_at.elapsed());
            }
            self.tell(outlet)?;
        }
        self.behind = false;
        self.line.go_live(cursor.seq);
        // What came between the last look and this was offered while the line did not follow yet.
        if self.room.head() != cursor
            && let Some(seq) = self.line.leave()
        {
            self.bring_on_from(seq);
        }
        Ok(())
    }

    /// The room has something for this seat: it left the member behind, its members have changed, or somebody came, went or writes; or
    /// the socket is to end.
    fn rung(&mut self, outlet: &Outlet) -> Result<(), End> {
        self.line.stays()?;
        if let Some(seq) = self.line.left_behind() {
            self.bring_on_from(seq);
        }
        self.leave_if_departed()?;
        if self.caught_up { self.tell(outlet) } else { Ok(()) }
    }

    /// Tells the member what is new of presence and typing.
    fn tell(&mut self, outlet: &Outlet) -> Result<(), End> {
        let news = self.room.presence.told.news(&mut self.told, self.user, self.format);
        if news.is_empty() { Ok(()) } else { outlet.line.push(news).map_err(too_slow) }
    }

    /// The member is writing something; the others are told once in a second.
    fn types(&mut self) {
        if self.typed_at.is_none_or(|at| at.elapsed() >= TYPING_EVERY) {
            self.typed_at = Some(Instant::now());
            self.room.presence.types(self.user);
        }
    }

    fn bring_on_from(&mut self, seq: u64) {
        self.cursor = self.cursor.map(|cursor| Cursor { seq, ..cursor });
        self.behind = true;
    }

    fn leave_if_departed(&self) -> Result<(), End> {
        if self.room.has_departed(self.user) { Err(Some(Close::NotAMember)) } else { Ok(()) }
    }

    async fn heard(&mut self, outlet: &mut Outlet, heard: Heard) -> Result<(), End> {
        let arrival = Arrival::now(&self.gateway);
        let action = match heard {
            Heard::Text(text) => inbound::text(self.user, &text),
            Heard::Binary => inbound::binary(),
            Heard::Alive => return Ok(()),
            Heard::Closed => return Err(None),
            Heard::Stalled(error) => return Err(too_slow(error)),
            Heard::Broken(Some(close), _) => return Err(Some(close)),
            Heard::Broken(None, code) => {
                outlet.close_with(code, "the frame is not valid").await;
                return Err(None);
            }
        };
        match action {
            Action::Store(request) => self.store(outlet, request, arrival),
            Action::Typing => {
                self.types();
                Ok(())
            }
            Action::Page { place, limit } => self.read_page(outlet, place, limit),
            Action::Refuse(refused) => self.refuse(outlet, refused),
        }
    }

    fn store(&mut self, outlet: &Outlet, request: Request, arrival: Arrival) -> Result<(), End> {
        self.leave_if_departed()?;
        let id = Some(request.id);
        if self.waiting.len() >= WAITING_MAX {
            return self.refuse(outlet, busy(id));
        }
        if let Err(wait) = self.gateway.rates.take(self.user, Instant::now()) {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let message = format!("too many messages at once; wait {wait_ms} ms");
            let refused = Refused { id, code: Refusal::TooFast, message, retry_after_ms: Some(wait_ms) };
            return self.refuse(outlet, refused);
        }
        self.waiting.push_back((request, arrival));
        self.store_next();
        Ok(())
    }

    /// Gives the next waiting message to the broker: one at a time, so that a member's order is the log's.
    fn store_next(&mut self) {
        if self.storing.is_some() {
            return;
        }
        let Some((request, arrival)) = self.waiting.pop_front() else { return };
        let (gateway, room) = (Arc::clone(&self.gateway), self.room.slug.clone());
        let stored = async move { (request.id, writing::perform(&gateway, &room, &request, arrival).await) };
        self.storing = Some(stored.boxed());
    }

    fn stored(&mut self, outlet: &Outlet, (id, outcome): (MessageId, Outcome)) -> Result<(), End> {
        self.storing = None;
        self.store_next();
        match outcome {
            Outcome::Stored { seq, duplicate } => {
                outlet.say(&self.format.ack(id, seq, duplicate)).map_err(too_slow)
            }
            Outcome::Refused { code, retry_after_ms } => {
                let message = publish_refusal(code).to_owned();
                self.refuse(outlet, Refused { id: Some(id), code, message, retry_after_ms })
            }
        }
    }

    fn read_page(&mut self, outlet: &Outlet, place: PagePlace, limit: usize) -> Result<(), End> {
        if self.pages.len() >= PAGES_MAX {
            return self.refuse(outlet, busy(None));
        }
        let (gateway, room, format) = (Arc::clone(&self.gateway), self.room.slug.clone(), self.format);
        let read = async move {
            let page = history::page(&gateway, &room, place, limit).await.ok()?;
            Some(format.page(&page))
        };
        self.pages.push(read.boxed());
        Ok(())
    }

    fn page(&mut self, outlet: &Outlet, page: Option<String>) -> Result<(), End> {
        match page {
            Some(page) => outlet.say(&page).map_err(too_slow),
            None => {
                let (code, message) = (Refusal::Unavailable, "history can't be read now".to_owned());
                let refused = Refused { id: None, code, message, retry_after_ms: Some(2_000) };
                self.refuse(outlet, refused)
            }
        }
    }

    fn refuse(&mut self, outlet: &Outlet, refused: Refused) -> Result<(), End> {
        self.gateway.signals.refused(refused.code.code());
        outlet.say(&self.format.refused(&refused)).map_err(too_slow)
    }

    /// Lets what is with the broker come to its end before a drained socket closes.
    async fn finish_storing(&mut self, outlet: &Outlet) {
        let deadline = Instant::now() + self.gateway.config.drain;
        while self.storing.is_some() {
            let next = tokio::time::timeout_at(deadline, next_stored(&mut self.storing)).await;
            let Ok(published) = next else { return };
            if self.stored(outlet, published).is_err() {
                return;
            }
        }
    }
}

/// How many of the first of these frames make one piece: at least one.
fn in_one_piece(frames: &[Bytes]) -> usize {
    let mut bytes = 0;
    let fitting = frames.iter().take_while(|frame| {
        bytes += frame.len();
        bytes <= PIECE_BYTES
    });
    fitting.count().max(1)
}

/// What is with the broker; never ready while nothing is.
async fn next_stored(
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
        Refusal::NoSuchMessage => "there is no such message in this room, or it was deleted",
        Refusal::NotAllowed => {
            "only its author may edit a message; its author and the room's owner may delete it"
        }
        Refusal::TooManyEdits => "this message was edited as often as a message may be",
        Refusal::StorageFull => "the server's storage is full",
        Refusal::NotConfirmed => "not confirmed in time; send the same id again",
        _ => "the message can't be stored now; send the same id again",
    }
}

pub const fn too_slow(error: WriteError) -> End {
    match error {
        WriteError::TooSlow => Some(Close::TooSlow),
        WriteError::Gone => None,
    }
}
