//! What waits for one peer, and how far the room's fan-out has brought it. Pure: it is told what the connection takes.

use crate::room::piece::Piece;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

/// Bytes that may wait for one peer: the queue limit of a socket. The fan-out never adds to a queue that holds something, so
/// this is reached by answers alone, where a peer asks and does not read.
pub const WAITING_BYTES_MAX: usize = 512 * 1024;
/// Frames that one call writes.
const FRAMES_AT_ONCE: usize = 64;

/// Why something could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The peer did not take it in time, however much of it, or what waits for it has reached its limit.
    TooSlow,
    Gone,
}

/// Why a peer counts as too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// More than [`WAITING_BYTES_MAX`] waited for it.
    Full,
    /// It did not take what was written to it in time, however much of it.
    Stalled,
    /// It gave no sign of life.
    Silent,
}

impl Slow {
    /// All words of [`Slow::code`].
    pub const CODES: [&str; 3] = ["full", "stalled", "silent"];

    /// A word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
        }
    }
}

/// How the connection takes bytes: as many as it can now, or [`io::ErrorKind::WouldBlock`].
pub trait Takes {
    /// # Errors
    /// As a write that does not block.
    fn take(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// One peer's queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    live: Live,
    broken: bool,
}

/// Who brings the member the room's events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Live {
    /// The seat, from ring, log or history.
    #[default]
    Seat,
    /// The fan-out: the member has everything up to here.
    At(u64),
    /// The seat again: the fan-out had to leave the member here.
    Left(u64),
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// Given to the member: so many bytes are written, and the rest waits unless that is the whole.
    Given { written: usize, whole: bool },
    /// The member has it, or is brought there by its seat.
    NotNeeded,
    /// The member was left behind: its seat is to go on.
    Left,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives a piece to a member that has all before it and takes it now; leaves behind whoever is slow.
    pub fn offer(&mut self, piece: &Piece, bytes: &Bytes, connection: &mut impl Takes) -> Offered {
        let Live::At(seq) = self.live else { return Offered::NotNeeded };
        if seq >= piece.upto {
            return Offered::NotNeeded;
        }
        if seq != piece.after || !self.waiting.is_empty() || self.broken {
            self.live = Live::Left(seq);
            return Offered::Left;
        }
        self.live = Live::At(piece.upto);
        match connection.take(&[IoSlice::new(bytes)]) {
            Ok(taken) if taken == bytes.len() => Offered::Given { written: taken, whole: true },
            Ok(taken) => self.keep(bytes, taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.keep(bytes, 0),
            Err(_) => {
                self.broken = true;
                Offered::Given { written: 0, whole: false }
            }
        }
    }

    /// Keeps what was not written of a piece.
    fn keep(&mut self, bytes: &Bytes, written: usize) -> Offered {
        self.bytes += bytes.len() - written;
        self.waiting.push_back(bytes.slice(written..));
        Offered::Given { written, whole: false }
    }

    /// Puts frames behind what waits, and writes what can be written.
    ///
    /// # Errors
    /// [`WriteError`]; then the socket is to end.
    pub fn push(
        &mut self,
        frames: impl IntoIterator<Item = Bytes>,
        connection: &mut impl Takes,
    ) -> Result<(), WriteError> {
        for frame in frames {
            self.bytes += frame.len();
            self.waiting.push_back(frame);
        }
        self.flush(connection)?;
        if self.bytes > WAITING_BYTES_MAX { Err(WriteError::TooSlow) } else { Ok(()) }
    }

    /// Writes what can be written of what waits.
    ///
    /// # Errors
    /// [`WriteError::Gone`] when the connection is broken.
    pub fn flush(&mut self, connection: &mut impl Takes) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Gone);
        }
        while !self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); FRAMES_AT_ONCE];
            let count = self.waiting.len().min(FRAMES_AT_ONCE);
            for (slice, frame) in slices.iter_mut().zip(&self.waiting) {
                *slice = IoSlice::new(frame);
            }
            match connection.take(&slices[..count]) {
                Ok(taken) => self.taken(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.broken = true;
                    return Err(WriteError::Gone);
                }
            }
        }
        // What is idle for hours keeps no memory for what waited once.
        self.waiting = VecDeque::new();
        Ok(())
    }

    fn taken(&mut self, mut taken: usize) {
        self.bytes -= taken;
        while let Some(first) = self.waiting.front_mut() {
            if taken < first.len() {
                *first = first.slice(taken..);
                return;
            }
            taken -= first.len();
            self.waiting.pop_front();
        }
    }

    /// From here on the fan-out brings the member the room's events.
    pub fn go_live(&mut self, seq: u64) {
        self.live = Live::At(seq);
    }

    /// Takes a member that follows the fan-out back to its seat, and gives where it is.
    pub fn leave(&mut self) -> Option<u64> {
        match std::mem::take(&mut self.live) {
            Live::Seat => None,
            Live::At(seq) | Live::Left(seq) => Some(seq),
        }
    }

    /// Leaves the member behind, because the fan-out can't bring it to the room's end.
    pub fn leave_behind(&mut self) {
        if let Live::At(seq) = self.live {
            self.live = Live::Left(seq);
        }
    }

    /// Where the fan-out left the member behind, if it did.
    pub fn left_behind(&mut self) -> Option<u64> {
        let Live::Left(seq) = self.live else { return None };
        self.live = Live::Seat;
        Some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that takes so many bytes and no more.
    #[derive(Default)]
    struct Kernel {
        room: usize,
        taken: Vec<u8>,
    }

    impl Takes for Kernel {
        fn take(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            let count = all.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend(&all[..count]);
            Ok(count)
        }
    }

    fn piece(after: u64, upto: u64) -> Piece {
        Piece::empty(after, upto)
    }

    #[test]
    fn a_member_that_keeps_up_is_given_each_piece_once() {
        let (mut queue, mut kernel) = (Queue::default(), Kernel { room: 100, ..Kernel::default() });
        queue.go_live(5);
        let mut offer = |after, upto, text: &'static str| {
            queue.offer(&piece(after, upto), &Bytes::from_static(text.as_bytes()), &mut kernel)
        };
        assert_eq!(offer(3, 5, "old"), Offered::NotNeeded);
        assert_eq!(offer(5, 7, "ab"), Offered::Given { written: 2, whole: true });
        assert_eq!(offer(5, 7, "ab"), Offered::NotNeeded);
        assert_eq!(offer(7, 8, "c"), Offered::Given { written: 1, whole: true });
        assert_eq!(kernel.taken, b"abc");
    }

    #[test]
    fn a_slow_member_holds_one_piece_and_is_left_behind_at_the_next() {
        let (mut queue, mut kernel) = (Queue::default(), Kernel { room: 1, ..Kernel::default() });
        queue.go_live(0);
        let text = Bytes::from_static(b"abc");
        assert_eq!(
            queue.offer(&piece(0, 1), &text, &mut kernel),
            Offered::Given { written: 1, whole: false }
        );
        assert_eq!(queue.offer(&piece(1, 2), &text, &mut kernel), Offered::Left);
        assert_eq!(queue.offer(&piece(2, 3), &text, &mut kernel), Offered::NotNeeded);
        assert_eq!(queue.left_behind(), Some(1), "its seat goes on behind the piece that waits");
        kernel.room = 10;
        queue.flush(&mut kernel).unwrap();
        assert_eq!(kernel.taken, b"abc");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_member_in_the_middle_of_a_piece_is_left_to_its_seat() {
        let (mut queue, mut kernel) = (Queue::default(), Kernel { room: 100, ..Kernel::default() });
        queue.go_live(6);
        assert_eq!(queue.offer(&piece(5, 7), &Bytes::from_static(b"x"), &mut kernel), Offered::Left);
        assert_eq!(queue.left_behind(), Some(6));
        assert!(kernel.taken.is_empty());
    }

    #[test]
    fn what_waits_has_a_limit() {
        let (mut queue, mut kernel) = (Queue::default(), Kernel::default());
        let frame = || Bytes::from(vec![0; WAITING_BYTES_MAX / 2]);
        assert_eq!(queue.push([frame(), frame()], &mut kernel), Ok(()));
        assert_eq!(queue.push([Bytes::from_static(b"x")], &mut kernel), Err(WriteError::TooSlow));
    }

    proptest::proptest! {
        /// However the kernel takes bytes, the peer gets exactly what was pushed, in order.
        #[test]
        fn the_peer_gets_a_prefix(rooms in proptest::collection::vec(0_usize..9, 1..60)) {
            let (mut queue, mut kernel) = (Queue::default(), Kernel::default());
            let mut pushed = Vec::new();
            for (number, room) in rooms.into_iter().enumerate() {
                kernel.room = room;
                let frame = vec![number as u8; number % 5 + 1];
                pushed.extend(&frame);
                queue.push([Bytes::from(frame)], &mut kernel).unwrap();
                proptest::prop_assert!(pushed.starts_with(&kernel.taken));
            }
            kernel.room = usize::MAX;
            queue.flush(&mut kernel).unwrap();
            proptest::prop_assert_eq!(pushed, kernel.taken);
        }
    }
}
