//! A member's program that stays: it comes back from its cursor whenever its socket ends, sends again what was not
//! acknowledged, and remembers everything it saw.

use crate::heard::{Heard, Refused, Seen};
use crate::json_socket::parse;
use crate::person::Person;
use crate::random::Random;
use crate::socket::{Came, Dialled, Socket};
use protocol::MessageId;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// A socket that says nothing for so long is given up: servers speak at least every 20 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Messages that wait for a socket, at most.
const WAITING_MAX: usize = 10_000;
/// Messages under way on one socket, at most: a server refuses more than it can work on.
const WINDOW: usize = 32;

/// What it saw and was told so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub acknowledged: BTreeMap<MessageId, u64>,
    /// Sent, or to be sent, and not acknowledged.
    pub open: BTreeSet<MessageId>,
    /// Sent once, given up when the socket ended before its acknowledgement.
    pub given_up: BTreeSet<MessageId>,
    pub events: Vec<Seen>,
    pub cursor: Option<String>,
    /// Why each socket ended.
    pub closes: Vec<u16>,
    /// Sockets opened.
    pub opened: usize,
    pub resets: usize,
    /// Refusals that say nothing of when to try again.
    pub refusals: Vec<String>,
}

struct Outgoing {
    id: MessageId,
    body: String,
    /// Not sent again after a broken connection.
    once: bool,
}

/// The member. Dropping it ends its program.
pub struct Steady {
    pub name: String,
    outgoing: mpsc::Sender<Outgoing>,
    report: Arc<Mutex<Report>>,
    running: tokio::task::JoinHandle<()>,
}

impl Steady {
    /// Connects and stays. The first socket continues after `cursor`.
    pub fn member(person: Person, room: &str, cursor: &str) -> Self {
        let (outgoing, to_send) = mpsc::channel(WAITING_MAX);
        let report = Arc::new(Mutex::new(Report { cursor: Some(cursor.to_owned()), ..Report::default() }));
        let name = person.name.clone();
        let member = Member {
            room: room.to_owned(),
            to_send,
            open: VecDeque::new(),
            sent: 0,
            random: Random::seeded(Random::any_seed()),
            report: Arc::clone(&report),
            person,
        };
        Self { name, outgoing, report, running: tokio::spawn(member.stay()) }
    }

    /// Sends a message, as often as it takes.
    pub async fn send(&self, body: &str) -> MessageId {
        self.enqueue(body, false).await
    }

    /// Sends a message, and gives it up when the socket ends before its acknowledgement.
    pub async fn send_once(&self, body: &str) -> MessageId {
        self.enqueue(body, true).await
    }

    async fn enqueue(&self, body: &str, once: bool) -> MessageId {
        let id = MessageId::new();
        lock(&self.report).open.insert(id);
        let sent = self.outgoing.send(Outgoing { id, body: body.to_owned(), once }).await;
        assert!(sent.is_ok(), "{} has stopped", self.name);
        id
    }

    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// How many messages are open, and how many events were seen.
    pub fn counts(&self) -> (usize, usize) {
        let report = lock(&self.report);
        (report.open.len(), report.events.len())
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().expect("nobody panics while holding a report")
}

struct Member {
    person: Person,
    room: String,
    to_send: mpsc::Receiver<Outgoing>,
    /// Not acknowledged, oldest first.
    open: VecDeque<Outgoing>,
    /// How many of these, from the oldest on, were sent over the present socket.
    sent: usize,
    random: Random,
    report: Arc<Mutex<Report>>,
}

impl Member {
    async fn stay(mut self) {
        loop {
            let cursor = lock(&self.report).cursor.clone().unwrap_or_default();
            let dialled = self.person.dial(&self.room).after(&cursor).as_json().dial().await;
            if let Dialled::Open(socket) = dialled {
                lock(&self.report).opened += 1;
                let code = self.talk(*socket).await;
                lock(&self.report).closes.push(code);
                if code == protocol::frame::Close::SessionEnded.code() {
                    self.person.renew().await;
                }
            }
            self.give_up_what_is_sent_once();
            sleep(Duration::from_millis(self.random.between(50, 400))).await;
        }
    }

    /// Until the socket ends; gives the close code.
    async fn talk(&mut self, mut socket: Socket) -> u16 {
        self.sent = 0;
        loop {
            while self.sent < WINDOW.min(self.open.len()) {
                socket.send_text(frame(&self.open[self.sent])).await;
                self.sent += 1;
            }
            // Inputs: the socket, and what the test wants sent. Both only take what is there, so either may be cancelled.
            tokio::select! {
                came = socket.next_before(Instant::now() + SILENCE) => match came {
                    Some(Came::Text(text)) => self.hear(parse(&text), &mut socket).await,
                    Some(Came::Closed(closed)) => return closed.code,
                    None => return crate::socket::GONE,
                },
                outgoing = self.to_send.recv() => match outgoing {
                    Some(outgoing) => self.open.push_back(outgoing),
                    None => return 1000,
                },
            }
        }
    }

    async fn hear(&mut self, heard: Heard, socket: &mut Socket) {
        match heard {
            Heard::Ack { id, seq, .. } => {
                if let Some(place) = self.open.iter().position(|outgoing| outgoing.id == id) {
                    self.open.remove(place);
                    self.sent -= usize::from(place < self.sent);
                }
                let mut report = lock(&self.report);
                report.open.remove(&id);
                report.acknowledged.insert(id, seq);
            }
            Heard::Event(event) => {
                let seen = Seen::from(event);
                let mut report = lock(&self.report);
                let stream =
                    report.cursor.as_deref().and_then(|cursor| cursor.split('.').next()).unwrap_or_default();
                report.cursor = Some(format!("{stream}.{}", seen.seq));
                report.events.push(seen);
            }
            Heard::CaughtUp { cursor } => lock(&self.report).cursor = Some(cursor),
            Heard::Reset { .. } => lock(&self.report).resets += 1,
            Heard::Refused(refused) => self.refused(refused, socket).await,
            Heard::Page { .. } | Heard::Ping => {}
        }
    }

    async fn refused(&mut self, refused: Refused, socket: &mut Socket) {
        let again = refused.id.and_then(|id| self.open.iter().find(|outgoing| outgoing.id == id));
        let (Some(outgoing), Some(wait_ms)) = (again, refused.retry_after_ms) else {
            lock(&self.report).refusals.push(format!("{refused:?}"));
            return;
        };
        let again = frame(outgoing);
        sleep(Duration::from_millis(wait_ms)).await;
        socket.send_text(again).await;
    }

    fn give_up_what_is_sent_once(&mut self) {
        let mut report = lock(&self.report);
        self.open.retain(|outgoing| {
            if outgoing.once {
                report.open.remove(&outgoing.id);
                report.given_up.insert(outgoing.id);
            }
            !outgoing.once
        });
    }
}

fn frame(outgoing: &Outgoing) -> String {
    json!({"type": "send", "id": outgoing.id, "body": outgoing.body}).to_string()
}
