//! `ceiling PORT`: the least that a broadcaster can do. One thread; it accepts a WebSocket handshake, and each frame that it
//! hears it encodes once and writes to every member of the room, one write call for each. No storage, no broker, no rights,
//! no parsing: what this kernel and machine allow a server that does not batch.

use bench::{
    frame::{self, BINARY, CLOSE, PING, PONG},
    link::{Link, SCRATCH_BYTES},
};
use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use std::{collections::HashMap, io, net::Ipv4Addr, process::ExitCode};

const LISTENER: Token = Token(usize::MAX);

/// The load generator sends the key of RFC 6455's example, so that the answer is known.
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Member {
    link: Link,
    /// The path of the request; `None` until it was heard.
    room: Option<Vec<u8>>,
}

struct Ceiling {
    poll: Poll,
    listener: TcpListener,
    members: HashMap<usize, Member>,
    rooms: HashMap<Vec<u8>, Vec<usize>>,
    next: usize,
    scratch: Vec<u8>,
}

fn main() -> ExitCode {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(port) = port else { return fail("usage: ceiling PORT") };
    match Ceiling::listen(port).and_then(Ceiling::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    let _ = io::Write::write_all(&mut io::stderr(), format!("ceiling: {why}\n").as_bytes());
    ExitCode::FAILURE
}

impl Ceiling {
    fn listen(port: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (members, rooms) = (HashMap::new(), HashMap::new());
        Ok(Self { poll, listener, members, rooms, next: 0, scratch: vec![0; SCRATCH_BYTES] })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let id = event.token().0;
                if let Some(member) = self.members.get_mut(&id).filter(|_| event.is_writable()) {
                    member.link.flush();
                }
                if event.is_readable() || event.is_read_closed() {
                    self.hear(id, event.is_read_closed());
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let link = Link::new(stream, self.poll.registry(), Token(self.next))?;
            self.members.insert(self.next, Member { link, room: None });
            self.next += 1;
        }
    }

    /// Reads what a member says, to the end when it is gone.
    fn hear(&mut self, id: usize, closed: bool) {
        loop {
            let Some(member) = self.members.get_mut(&id) else { return };
            let got = member.link.read(&mut self.scratch);
            let mut said = Vec::new();
            let is_new = member.room.is_none();
            let open = member.take(&mut self.scratch[..got.bytes], &mut said);
            if let Some(room) = member.room.clone() {
                let here = self.rooms.entry(room).or_default();
                if is_new {
                    here.push(id);
                }
                for (frame, other) in
                    said.iter().flat_map(|frame| here.iter().map(move |other| (frame, other)))
                {
                    if let Some(other) = self.members.get_mut(other) {
                        other.link.send(frame);
                    }
                }
            }
            if got.ended || !open {
                return self.forget(id);
            }
            if !got.more && !closed {
                return;
            }
        }
    }

    fn forget(&mut self, id: usize) {
        let Some(room) = self.members.remove(&id).and_then(|member| member.room) else { return };
        if let Some(here) = self.rooms.get_mut(&room) {
            here.retain(|other| *other != id);
        }
    }
}

impl Member {
    /// Takes in bytes: what is to be written to the room comes out in `said`. False: this was the end.
    fn take(&mut self, bytes: &mut [u8], said: &mut Vec<Vec<u8>>) -> bool {
        let mut at = 0;
        if self.room.is_none() {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                self.link.keep(bytes);
                return true;
            };
            self.room = bytes.split(|byte| *byte == b' ').nth(1).map(<[u8]>::to_vec);
            self.link.send(ACCEPTED);
            at = end + 4;
        }
        let mut open = true;
        while let Some(frame) = frame::first(&mut bytes[at..]) {
            match frame.opcode {
                0..=BINARY => said.push(frame::of_server(frame.opcode, frame.payload)),
                PING => self.link.send(&frame::of_server(PONG, frame.payload)),
                CLOSE => open = false,
                _ => {}
            }
            at += frame.size;
        }
        self.link.keep(&bytes[at..]);
        open
    }
}
