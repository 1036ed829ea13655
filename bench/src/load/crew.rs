//! The members' sockets, and the loop that all of them share.

use super::{
    dialect::Meaning,
    mark::Mark,
    tally::{Seen, Tally},
};
use crate::{
    frame::{self, BINARY, CLOSE, PING, PONG, TEXT},
    link::{Link, SCRATCH_BYTES},
    server::Server,
};
use memchr::memmem;
use mio::{Events, Poll, Token, net::TcpStream};
use std::{
    io, mem,
    time::{Duration, Instant},
};

/// Events taken from the kernel at once: few, so that a publication that is due waits for little.
const EVENTS: usize = 256;

/// All members of a server's rooms, connected or not.
pub struct Crew<'a> {
    pub(super) server: &'a Server,
    poll: Poll,
    events: Events,
    pub(super) sockets: Vec<Option<Socket>>,
    scratch: Vec<u8>,
    started: Instant,
    pub tally: Tally,
    pub joined: usize,
    /// Connections that ended before they had joined, and afterwards.
    pub failed: usize,
    pub disconnected: usize,
    pub acknowledged: u64,
    pub refused: u64,
    /// The first thing that went wrong, in words.
    pub trouble: Option<String>,
}

pub(super) struct Socket {
    pub link: Link,
    pub phase: Phase,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Shaking,
    Joining,
    Joined,
}

/// How the connecting went.
#[derive(Debug, Clone, Copy)]
pub struct Connected {
    /// From the first connect until the last member had joined.
    pub took_s: f64,
    pub joined: usize,
}

impl<'a> Crew<'a> {
    /// # Errors
    /// When the system gives no way to wait for sockets.
    pub fn new(server: &'a Server) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            sockets: server.members.iter().map(|_| None).collect(),
            scratch: vec![0; SCRATCH_BYTES],
            started: Instant::now(),
            tally: Tally::default(),
            joined: 0,
            failed: 0,
            disconnected: 0,
            acknowledged: 0,
            refused: 0,
            trouble: None,
            server,
        })
    }

    /// Nanoseconds since the crew came together.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub const fn server(&self) -> &'a Server {
        self.server
    }

    /// How many there are to be.
    pub const fn members(&self) -> usize {
        self.sockets.len()
    }

    /// Brings the next members into their rooms up to that of this number, so many at a time, and gives up after `limit`.
    ///
    /// # Errors
    /// When the system gives no sockets.
    pub fn connect(&mut self, upto: usize, concurrency: usize, limit: Duration) -> io::Result<Connected> {
        let (start, mut next) = (Instant::now(), self.joined + self.failed);
        while self.joined + self.failed < upto && start.elapsed() < limit {
            while next < upto && next - self.joined - self.failed < concurrency {
                let stream = TcpStream::connect(self.server.door(next))?;
                let link = Link::new(stream, self.poll.registry(), Token(next))?;
                self.sockets[next] = Some(Socket { link, phase: Phase::Connecting, seen: Seen::default() });
                next += 1;
            }
            self.turn(Duration::from_millis(100))?;
        }
        Ok(Connected { took_s: start.elapsed().as_secs_f64(), joined: self.joined })
    }

    /// Listens, and says nothing.
    ///
    /// # Errors
    /// When the system can't wait for sockets.
    pub fn hold(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Waits for something to happen, at most for `patience`, and takes it in.
    pub(super) fn turn(&mut self, patience: Duration) -> io::Result<()> {
        let mut events = mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => done?,
        }
        for event in &events {
            let id = event.token().0;
            if event.is_writable() {
                self.writable(id);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(id, event.is_read_closed() || event.is_error());
            }
        }
        self.events = events;
        Ok(())
    }

    fn writable(&mut self, id: usize) {
        let Some(socket) = &mut self.sockets[id] else { return };
        if socket.phase != Phase::Connecting {
            return socket.link.flush();
        }
        match socket.link.connected() {
            Ok(()) => {
                let host = self.server.door(id).to_string();
                let request = self.server.dialect.request(&host, &self.server.members[id]);
                socket.link.send(request.as_bytes());
                socket.phase = Phase::Shaking;
            }
            Err(error) => self.lose(id, &error.to_string()),
        }
    }

    /// Reads what came; to the end when the peer has closed.
    fn readable(&mut self, id: usize, closed: bool) {
        loop {
            let Some(socket) = &mut self.sockets[id] else { return };
            let got = socket.link.read(&mut self.scratch);
            if let Err(why) = self.take(id, got.bytes) {
                return self.lose(id, &why);
            }
            if got.ended {
                return self.lose(id, "the server closed the connection");
            }
            if !got.more && !closed {
                return;
            }
        }
    }

    /// Takes in the first bytes of the scratch buffer. An error: the socket has ended, and why.
    fn take(&mut self, id: usize, bytes: usize) -> Result<(), String> {
        let Some(socket) = &mut self.sockets[id] else { return Ok(()) };
        let bytes = &mut self.scratch[..bytes];
        let mut at = 0;
        if matches!(socket.phase, Phase::Connecting | Phase::Shaking) {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                socket.link.keep(bytes);
                return Ok(());
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned());
            }
            socket.phase = Phase::Joining;
            if self.server.dialect.joins_when_open() {
                socket.phase = Phase::Joined;
                self.joined += 1;
            }
            at = end + 4;
        }
        // The clock is read once for all that one read brought.
        let now_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        while let Some(frame) = frame::first(&mut bytes[at..]) {
            at += frame.size;
            match frame.opcode {
                0..=BINARY => match Mark::find(frame.payload) {
                    Some(mark) => {
                        let room = self.server.members[id].room;
                        self.tally.weigh(frame.size, now_ns);
                        self.tally.count(&mut socket.seen, room, mark, now_ns);
                    }
                    None => match self.server.dialect.meaning(frame.payload) {
                        Meaning::Joined if socket.phase == Phase::Joining => {
                            socket.phase = Phase::Joined;
                            self.joined += 1;
                        }
                        Meaning::Acknowledged => self.acknowledged += 1,
                        Meaning::Refused => {
                            self.refused += 1;
                            let text = String::from_utf8_lossy(frame.payload);
                            self.trouble.get_or_insert_with(|| text.into_owned());
                        }
                        Meaning::Joined | Meaning::Nothing => {}
                    },
                },
                PING => socket.link.send(&frame::of_client(PONG, frame.payload)),
                CLOSE => {
                    let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
                    return Err(format!("closed: {reason}"));
                }
                _ => {}
            }
        }
        socket.link.keep(&bytes[at..]);
        Ok(())
    }

    fn lose(&mut self, id: usize, why: &str) {
        let Some(socket) = self.sockets[id].take() else { return };
        if socket.phase == Phase::Joined {
            self.disconnected += 1;
        } else {
            self.failed += 1;
        }
        self.trouble.get_or_insert_with(|| format!("connection {id}: {why}"));
    }

    /// Sends a body from a member; false when the member is not there.
    pub(super) fn say(&mut self, id: usize, body: &str) -> bool {
        let Some(socket) = self.sockets[id].as_mut().filter(|socket| socket.phase == Phase::Joined) else {
            return false;
        };
        let publication = self.server.dialect.publication(body);
        socket.link.send(&frame::of_client(TEXT, publication.as_bytes()));
        true
    }

    /// Counts from nothing.
    pub(super) fn forget(&mut self) {
        self.tally = Tally::default();
        self.sockets.iter_mut().flatten().for_each(|socket| socket.seen = Seen::default());
    }

    /// How many members of each room are there.
    pub(super) fn present(&self) -> Vec<u64> {
        let rooms = self.server.members.last().map_or(0, |last| last.room + 1);
        let mut present = vec![0; rooms];
        for (member, socket) in self.server.members.iter().zip(&self.sockets) {
            present[member.room] += u64::from(socket.as_ref().is_some_and(|s| s.phase == Phase::Joined));
        }
        present
    }
}
