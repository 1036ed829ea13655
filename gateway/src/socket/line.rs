//! A socket's way out, shared by its seat, which writes what is meant for one member, and by the room's fan-out, which writes
//! what is meant for all.

use super::{
    bell::Bell,
    heartbeat,
    queue::{Offered, Queue, Slow, Takes, WriteError},
    seat::End,
    wire::Format,
};
use crate::room::piece::Piece;
use bytes::Bytes;
use protocol::frame::Close;
use service::connection::WayOut;
use std::{
    io::{self, IoSlice},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

pub struct Line {
    out: Arc<WayOut>,
    format: Format,
    queue: Mutex<Queue>,
    /// Rings when the seat has something to do.
    bell: Bell,
    /// How others want the socket to end.
    dismissed: OnceLock<Close>,
    /// Why the peer counts as too slow, once it does.
    slow: OnceLock<Slow>,
    /// Pings since the peer was heard.
    silent_pings: AtomicU8,
}

/// Pings without a sign of life after them after which a peer counts as gone.
const SILENT_PINGS_MAX: u8 = 4;

struct Now<'a>(&'a WayOut);

impl Takes for Now<'_> {
    fn take(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => self.0.try_write(one),
            several => self.0.try_write_vectored(several),
        }
    }
}

/// The fan-out's one write to each of many.
struct AtOnce<'a>(&'a WayOut);

impl Takes for AtOnce<'_> {
    fn take(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => self.0.send_at_once(one),
            several => self.0.try_write_vectored(several),
        }
    }
}

impl Line {
    pub fn new(out: Arc<WayOut>, format: Format) -> Self {
        Self {
            out,
            format,
            queue: Mutex::default(),
            bell: Bell::default(),
            dismissed: OnceLock::new(),
            slow: OnceLock::new(),
            silent_pings: AtomicU8::new(0),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the room's news, if this member follows the fan-out and takes it now. Gives how many bytes were written at once to a
    /// member who is given it.
    pub fn offer(&self, piece: &Piece) -> Option<usize> {
        let bytes = piece.encoded(self.format);
        let offered = self.queue().offer(piece, bytes, &mut AtOnce(&self.out));
        if matches!(offered, Offered::Left | Offered::Given { whole: false, .. }) {
            self.bell.ring();
        }
        if let Offered::Given { written, .. } = offered { Some(written) } else { None }
    }

    /// Writes frames of the seat's own.
    ///
    /// # Errors
    /// [`WriteError`]; then the socket is to end.
    pub fn push(&self, frames: impl IntoIterator<Item = Bytes>) -> Result<(), WriteError> {
        let pushed = self.queue().push(frames, &mut Now(&self.out));
        if pushed == Err(WriteError::TooSlow) {
            self.is_slow(Slow::Full);
        }
        pushed
    }

    /// Writes what can be written of what waits, and tells whether that is all.
    ///
    /// # Errors
    /// [`WriteError::Gone`] when the connection is broken.
    pub fn flush(&self) -> Result<bool, WriteError> {
        let mut queue = self.queue();
        queue.flush(&mut Now(&self.out))?;
        Ok(queue.is_empty())
    }

    /// Whether the peer may take more; whoever asked last is woken when it may.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        // It fails when the runtime ends; the write that follows tells of a broken connection.
        self.out.poll_writable(context).map(drop)
    }

    /// From here on the fan-out brings the member the room's events.
    pub fn go_live(&self, seq: u64) {
        self.queue().go_live(seq);
    }

    /// Takes a member that follows the fan-out back to its seat, and gives where it is.
    pub fn leave(&self) -> Option<u64> {
        self.queue().leave()
    }

    /// Leaves the member to its seat, because the fan-out can't bring it to the room's end.
    pub fn leave_behind(&self) {
        self.queue().leave_behind();
        self.bell.ring();
    }

    /// Where the fan-out left the member behind, if it did.
    pub fn left_behind(&self) -> Option<u64> {
        self.queue().left_behind()
    }

    /// Has the seat look at the room.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// The peer has given a sign of life.
    pub fn heard(&self) {
        self.silent_pings.store(0, Ordering::Relaxed);
    }

    /// Asks the peer for a sign of life. Pings are counted and not timed, since a peer can answer only what was sent: for one that
    /// something waits for, the time in which it must be taken is the limit.
    pub fn ping(&self) {
        let mut queue = self.queue();
        if !queue.is_empty() {
            return;
        }
        if self.silent_pings.fetch_add(1, Ordering::Relaxed) >= SILENT_PINGS_MAX {
            drop(queue);
            self.is_slow(Slow::Silent);
            return self.dismiss(Close::TooSlow);
        }
        let pushed = queue.push([heartbeat::ping(self.format)], &mut Now(&self.out));
        if pushed.is_err() || !queue.is_empty() {
            self.bell.ring();
        }
    }

    /// Has the seat end the socket: its session was revoked, this gateway stops, or the peer gives no sign of life.
    pub fn dismiss(&self, close: Close) {
        // The first reason stands.
        let _ = self.dismissed.set(close);
        self.bell.ring();
    }

    /// Whether the socket may go on.
    ///
    /// # Errors
    /// How others want it to end.
    pub fn stays(&self) -> Result<(), End> {
        self.dismissed.get().map_or(Ok(()), |close| Err(Some(*close)))
    }

    /// Notes why the peer counts as too slow; the first reason stands.
    pub fn is_slow(&self, why: Slow) {
        let _ = self.slow.set(why);
    }

    /// Why the peer counts as too slow, if it does.
    pub fn slow(&self) -> Option<Slow> {
        self.slow.get().copied()
    }

    /// Waits for the bell. Cancel safe: a ring that nobody waited for is kept.
    pub fn rung(&self) -> impl Future<Output = ()> + '_ {
        self.bell.rung()
    }
}
