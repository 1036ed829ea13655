//! Members who chat while something else happens, and notice when they are disturbed.

use crate::heard::{Heard, Seen};
use crate::json_socket::parse;
use crate::person::Person;
use crate::socket::{Came, Socket};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long a message may be missing before a member gives up.
const MISSING_MAX: Duration = Duration::from_secs(20);

/// Who says what.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    /// Those who only listen, and those who speak.
    pub listeners: usize,
    pub speakers: usize,
    /// Between two messages of one speaker.
    pub every: Duration,
    /// Bytes of a message, at least.
    pub bytes: usize,
}

/// The members. Dropping them ends them.
pub struct Calm {
    stop: Arc<AtomicBool>,
    speakers: Vec<JoinHandle<usize>>,
    listeners: Vec<JoinHandle<Vec<Duration>>>,
}

/// What members noticed.
#[derive(Debug, Clone, Copy)]
pub struct Noticed {
    /// Messages that each of them saw, once and in order.
    pub messages: usize,
    /// From sending a message to seeing it, for nine of ten.
    pub usual: Duration,
    /// The same, at most.
    pub worst: Duration,
}

impl Noticed {
    /// That everybody saw what was said, when it was said. On a machine that is busy with other tests this takes its time too.
    ///
    /// # Panics
    /// When it was otherwise.
    pub fn is_nothing(&self) {
        let Self { messages, usual, worst } = self;
        let undisturbed =
            *messages > 0 && *usual < Duration::from_secs(2) && *worst < Duration::from_secs(10);
        assert!(undisturbed, "the others noticed: {self:?}");
    }
}

impl Calm {
    /// Sockets of `person` in a room.
    ///
    /// # Panics
    /// When they can't come in.
    pub async fn in_room(person: &Person, room: &str, talk: Talk) -> Self {
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let (mut listeners, mut speakers) = (Vec::new(), Vec::new());
        for _ in 0..talk.listeners {
            let socket = person.dial(room).as_json().connect().await;
            listeners.push(tokio::spawn(listen(socket, (began, talk.speakers))));
        }
        for number in 0..talk.speakers {
            let socket = person.dial(room).as_json().connect().await;
            let speaker = Speaker { socket, began, number, stop: Arc::clone(&stop) };
            speakers.push(tokio::spawn(speaker.speak(talk)));
        }
        Self { stop, speakers, listeners }
    }

    /// Lets each say a last word, waits until all have heard everything, and gives what they noticed.
    ///
    /// # Panics
    /// When a message was lost, or a socket ended.
    pub async fn end(mut self) -> Noticed {
        self.stop.store(true, Ordering::SeqCst);
        let mut said = 0;
        for speaker in &mut self.speakers {
            said += speaker.await.expect("a speaker was not disturbed");
        }
        let mut delays = Vec::new();
        for listener in &mut self.listeners {
            let heard = listener.await.expect("a listener was not disturbed");
            assert_eq!(heard.len(), said, "a member saw each message once");
            delays.extend(heard);
        }
        delays.sort_unstable();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
        Noticed { messages: said, usual: at(0.9), worst: at(1.0) }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        self.speakers.iter().for_each(JoinHandle::abort);
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

struct Speaker {
    socket: Socket,
    began: Instant,
    number: usize,
    stop: Arc<AtomicBool>,
}

impl Speaker {
    /// Says messages that hold who said them and when, and at last one that is the end; gives how many came before it.
    async fn speak(mut self, talk: Talk) -> usize {
        let mut ticks = interval(talk.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = 0;
        while !self.stop.load(Ordering::SeqCst) {
            // Both only wait: a frame that is not whole stays in the socket.
            tokio::select! {
                _ = ticks.tick() => {
                    let head = format!("calm {} {} ", self.number, self.began.elapsed().as_micros());
                    self.say(&format!("{head:x<0$}", talk.bytes)).await;
                    said += 1;
                }
                came = self.socket.next_before(Instant::now() + MISSING_MAX) => drop(text_of(came)),
            }
        }
        let end = format!("calm {} end", self.number);
        self.say(&end).await;
        // What it said is read until the last is there.
        while !text_of(self.socket.next_before(Instant::now() + MISSING_MAX).await).contains(&end) {}
        said
    }

    async fn say(&mut self, body: &str) {
        self.socket.send_text(json!({"type": "send", "body": body}).to_string()).await;
    }
}

fn text_of(came: Option<Came>) -> String {
    match came {
        Some(Came::Text(text)) if !text.contains("\"refused\"") => text,
        other => panic!("a member was disturbed: {other:?}"),
    }
}

/// How late each message was, until the last of each speaker.
async fn listen(mut socket: Socket, (began, speakers): (Instant, usize)) -> Vec<Duration> {
    let (mut delays, mut latest, mut ended) = (Vec::new(), vec![0; speakers], 0);
    while ended < speakers {
        let text = text_of(socket.next_before(Instant::now() + MISSING_MAX).await);
        let Heard::Event(event) = parse(&text) else { continue };
        let Some(body) = Seen::from(event).body.filter(|body| is_said(body)) else { continue };
        let mut words = body.split(' ').skip(1);
        let speaker: usize = words.next().and_then(|word| word.parse().ok()).expect("a speaker has a number");
        let Some(micros) = words.next().and_then(|word| word.parse().ok()) else {
            ended += 1;
            continue;
        };
        assert!(micros > latest[speaker], "a message came twice, or out of order");
        latest[speaker] = micros;
        delays.push(began.elapsed().saturating_sub(Duration::from_micros(micros)));
    }
    delays
}

/// Whether a text is one of theirs.
pub fn is_said(body: &str) -> bool {
    body.starts_with("calm ")
}
