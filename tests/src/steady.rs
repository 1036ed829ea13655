//! A member that stays: it comes back from its cursor whenever its socket ends, by any way that leads to the room, sends
//! again what was not acknowledged, and remembers everything it saw. It speaks either format, with the rules of the page.

pub mod format;
mod outgoing;

use crate::heard::Seen;
use crate::person::Person;
use crate::random::Random;
use crate::socket::{Came, Dialled, GONE, Socket};
use format::{Format, News};
use outgoing::{Outbox, Outgoing};
use protocol::chain::{Link, place};
use protocol::frame::Close;
use protocol::{MessageId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(6);
/// A socket that is silent for so long is asked for a sign of life …
const PROBE_AFTER: Duration = Duration::from_secs(4);
/// … and given up when none comes within this.
const PATIENCE: Duration = Duration::from_secs(6);
/// A message without an acknowledgement for so long is sent again over the same socket. Longer than a gateway tries.
const UNANSWERED: Duration = Duration::from_secs(20);
/// A message that is acknowledged and does not appear within this is fetched by coming back from the cursor.
const UNSEEN: Duration = Duration::from_secs(5);
/// How often clocks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pauses before coming back rise up to this, in milliseconds.
const PAUSE_MS_MAX: u64 = 8_000;
/// Messages that wait for a socket, at most.
const WAITING_MAX: usize = 10_000;

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
    /// Why the server could not continue from the cursor, each time.
    pub resets: Vec<String>,
    /// Refusals that said when to try again, by code.
    pub postponed: BTreeMap<String, usize>,
    /// Refusals that say nothing of when to try again.
    pub refusals: Vec<String>,
    /// Sockets left because an acknowledged message did not appear.
    pub unseen: usize,
    /// The longest time from the end of a socket until everything that came meanwhile was there.
    pub longest_away: Duration,
    /// The longest time from sending a message first until its acknowledgement.
    pub longest_to_ack: Duration,
    /// The longest time from an event's storage until it was seen, of events that were stored after the first socket had caught up, and
    /// as far as the format says when they were.
    pub longest_to_seen: Duration,
}

/// Who stays, and how.
pub struct Stay {
    /// How reports call the member.
    pub name: String,
    pub person: Person,
    pub room: String,
    /// After which the first socket continues.
    pub cursor: String,
    pub format: Format,
    /// Addresses by which the room is reached; one that does not work is left for another, as behind a balancer.
    pub ways: Vec<String>,
    pub seed: u64,
}

/// The member. Dropping it ends its program.
pub struct Steady {
    pub name: String,
    outgoing: mpsc::Sender<Outgoing>,
    report: Arc<Mutex<Report>>,
    running: tokio::task::JoinHandle<()>,
}

impl Steady {
    /// A program that connects where the person is and stays. The first socket continues after `cursor`.
    pub fn member(person: Person, room: &str, cursor: &str) -> Self {
        Self::starts(Stay {
            name: person.name.clone(),
            ways: vec![person.address.clone()],
            person,
            room: room.to_owned(),
            cursor: cursor.to_owned(),
            format: Format::Json,
            seed: Random::any_seed(),
        })
    }

    pub fn starts(stay: Stay) -> Self {
        let (outgoing, to_send) = mpsc::channel(WAITING_MAX);
        let report = Arc::new(Mutex::new(Report { cursor: Some(stay.cursor.clone()), ..Report::default() }));
        let name = stay.name.clone();
        let member = Member {
            to_send,
            outbox: Outbox::default(),
            random: Random::seeded(stay.seed),
            report: Arc::clone(&report),
            attempt: 0,
            unseen: None,
            away_since: None,
            here_since: None,
            stay,
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
        let sent = self.outgoing.send(Outgoing::new(id, body.to_owned(), once)).await;
        assert!(sent.is_ok(), "{} has stopped", self.name);
        id
    }

    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Goes, and says what it saw.
    pub fn goes(self) -> Report {
        self.running.abort();
        std::mem::take(&mut lock(&self.report))
    }

    /// How many messages are open, and how many events were seen.
    pub fn counts(&self) -> (usize, usize) {
        let report = lock(&self.report);
        (report.open.len(), report.events.len())
    }

    /// The sequence of the last event seen, 0 when none was.
    pub fn last_seen(&self) -> u64 {
        lock(&self.report).events.last().map_or(0, |event| event.seq)
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
    stay: Stay,
    to_send: mpsc::Receiver<Outgoing>,
    outbox: Outbox,
    random: Random,
    report: Arc<Mutex<Report>>,
    /// Tries in a row that came to nothing.
    attempt: u32,
    /// The last acknowledged message that has not appeared, and since when.
    unseen: Option<(u64, Instant)>,
    /// When the last socket ended, until the next one has caught up.
    away_since: Option<Instant>,
    /// When the first socket had caught up.
    here_since: Option<Timestamp>,
}

/// When something was heard over a socket, and when it was asked whether anybody is there.
struct Pulse {
    heard: Instant,
    asked: Option<Instant>,
}

impl Member {
    async fn stay(mut self) {
        let mut way = self.random.index(self.stay.ways.len());
        loop {
            let address = self.stay.ways[way].clone();
            let person = self.stay.person.through(&address);
            let token = person.cookie("backchat_token");
            let cursor = lock(&self.report).cursor.clone().unwrap_or_default();
            let dial = self.stay.format.of(person.dial(&self.stay.room).after(&cursor));
            self.attempt += 1;
            match timeout(HANDSHAKE, dial.dial()).await {
                Ok(Dialled::Open(socket)) => {
                    lock(&self.report).opened += 1;
                    let code = self.talk(*socket).await;
                    self.away_since.get_or_insert_with(Instant::now);
                    lock(&self.report).closes.push(code);
                    if code == Close::SessionEnded.code() {
                        person.renew_instead_of(token).await;
                    }
                }
                // Nobody there, or nobody that serves: a balancer would try another.
                Ok(Dialled::Refused { .. } | Dialled::Failed(_)) | Err(_) => {}
            }
            self.give_up_what_is_sent_once();
            way = self.another_way(way);
            sleep(self.pause()).await;
        }
    }

    fn give_up_what_is_sent_once(&mut self) {
        let given_up = self.outbox.start_anew();
        let mut report = lock(&self.report);
        report.open.retain(|id| !given_up.contains(id));
        report.given_up.extend(given_up);
    }

    fn another_way(&mut self, way: usize) -> usize {
        match self.stay.ways.len() {
            1 => 0,
            ways => (way + 1 + self.random.index(ways - 1)) % ways,
        }
    }

    /// Rises with each try in a row, with a part of chance. A program is quick, a page as patient as its script.
    fn pause(&mut self) -> Duration {
        let chance = self.random.between(0, 400);
        let ms = match self.stay.format {
            Format::Json => 50 + chance,
            Format::Page => {
                let ceiling = (600_u64 << self.attempt.saturating_sub(1).min(6)).min(PAUSE_MS_MAX);
                self.random.between(ceiling / 2, ceiling) + chance
            }
        };
        Duration::from_millis(ms)
    }

    /// Until the socket ends, or is left; gives the close code.
    async fn talk(&mut self, mut socket: Socket) -> u16 {
        let mut pulse = Pulse { heard: Instant::now(), asked: None };
        self.unseen = None;
        loop {
            while let Some(next) = self.outbox.next(self.stay.format.window(), Instant::now()) {
                socket.send_text(self.stay.format.send(next.id, &next.body)).await;
            }
            // Inputs: the socket, and what the test wants sent. Both only take what is there, so either may be cancelled.
            tokio::select! {
                came = socket.next_before(Instant::now() + LOOK_EVERY) => match came {
                    Some(Came::Text(text)) => {
                        pulse = Pulse { heard: Instant::now(), asked: None };
                        let news = self.stay.format.read(&text);
                        if let Some(code) = self.hear(news) {
                            return code;
                        }
                    }
                    Some(Came::Closed(closed)) => return closed.code,
                    None => {}
                },
                outgoing = self.to_send.recv() => match outgoing {
                    Some(outgoing) => self.outbox.push(outgoing),
                    None => return Close::Done.code(),
                },
            }
            if !self.look_at_clocks(&mut socket, &mut pulse).await {
                return GONE;
            }
        }
    }

    /// `false` when the socket is to be left.
    async fn look_at_clocks(&mut self, socket: &mut Socket, pulse: &mut Pulse) -> bool {
        if self.stay.format == Format::Page {
            self.outbox.again_what_is_older(UNANSWERED);
        }
        if self.unseen.is_some_and(|(_, since)| since.elapsed() > UNSEEN) {
            lock(&self.report).unseen += 1;
            return false;
        }
        match pulse.asked {
            Some(asked) => asked.elapsed() < PATIENCE,
            None if pulse.heard.elapsed() > PROBE_AFTER => {
                socket.send_text(self.stay.format.probe()).await;
                pulse.asked = Some(Instant::now());
                true
            }
            None => true,
        }
    }

    /// Takes what was heard; gives a code when the socket is to be left because of it.
    fn hear(&mut self, news: News) -> Option<u16> {
        let mut report = lock(&self.report);
        match news {
            News::Ack { id, seq } => {
                let took = self.outbox.acknowledged(id).unwrap_or_default();
                report.longest_to_ack = report.longest_to_ack.max(took);
                report.open.remove(&id);
                report.acknowledged.insert(id, seq);
                if report.head() < seq {
                    self.unseen.get_or_insert((seq, Instant::now()));
                }
            }
            News::Event(seen, at) => {
                if let (Some(at), Some(since)) = (at, self.here_since)
                    && at >= since
                {
                    let took = Timestamp::now().as_millis() - at.as_millis();
                    let took = Duration::from_millis(took.try_into().unwrap_or(0));
                    report.longest_to_seen = report.longest_to_seen.max(took);
                }
                let is_hole = place(report.head(), seen.prev, seen.seq) == Link::Hole;
                if self.unseen.is_some_and(|(seq, _)| seq <= seen.seq) {
                    self.unseen = None;
                }
                report.advance(seen.seq);
                // Kept whatever it is: the audit says what was wrong with it.
                report.events.push(seen);
                drop(report);
                return (is_hole && self.stay.format == Format::Page).then_some(GONE);
            }
            News::CaughtUp { cursor } => {
                report.cursor = Some(cursor);
                self.attempt = 0;
                self.here_since.get_or_insert_with(Timestamp::now);
                let away = self.away_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                report.longest_away = report.longest_away.max(away);
            }
            News::Reset { reason } => {
                let (at, cursor) = (Timestamp::now(), report.cursor.clone().unwrap_or_default());
                report.resets.push(format!("{reason} at {at}, after {cursor}"));
            }
            News::Refused { id, code, retry_after_ms: Some(wait_ms) } => {
                if let Some(id) = id {
                    self.outbox.again_in(id, Duration::from_millis(wait_ms));
                }
                *report.postponed.entry(code).or_default() += 1;
            }
            News::Refused { id, code, .. } => report.refusals.push(format!("{code} for {id:?}")),
            News::Answer | News::Other => {}
        }
        None
    }
}

impl Report {
    /// Up to where the room was shown.
    pub fn head(&self) -> u64 {
        let cursor = self.cursor.as_deref().unwrap_or_default();
        cursor.rsplit_once('.').and_then(|(_, seq)| seq.parse().ok()).unwrap_or(0)
    }

    fn advance(&mut self, seq: u64) {
        let stream = self.cursor.as_deref().and_then(|cursor| cursor.split('.').next()).unwrap_or_default();
        self.cursor = Some(format!("{stream}.{}", seq.max(self.head())));
    }
}
