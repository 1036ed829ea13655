//! Members who chat while something else happens, and notice when they are disturbed.

use crate::heard::Heard;
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

/// What they say.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    /// Between two messages.
    pub every: Duration,
    /// Bytes of a message, at least.
    pub bytes: usize,
}

/// The members. Dropping them ends them.
pub struct Calm {
    stop: Arc<AtomicBool>,
    speaker: JoinHandle<usize>,
    listeners: Vec<JoinHandle<Vec<Duration>>>,
}

/// What members noticed.
#[derive(Debug, Clone, Copy)]
pub struct Noticed {
    /// Messages that each of them saw, once and in order.
    pub messages: usize,
    /// From sending a message to seeing it, for all but a hundredth.
    pub usual: Duration,
    /// The same, at most.
    pub worst: Duration,
}

impl Noticed {
    /// That everybody saw what was said, when it was said. A machine that is busy with other tests may halt a moment.
    ///
    /// # Panics
    /// When it was otherwise.
    pub fn is_nothing(&self) {
        let Self { messages, usual, worst } = self;
        let undisturbed = *messages > 0 && *usual < Duration::from_secs(1) && *worst < Duration::from_secs(5);
        assert!(undisturbed, "the others noticed: {self:?}");
    }
}

impl Calm {
    /// So many sockets of `person` in a room, all of which hear what one of them says.
    ///
    /// # Panics
    /// When they can't come in.
    pub async fn in_room(person: &Person, room: &str, (members, talk): (usize, Talk)) -> Self {
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut listeners = Vec::new();
        for _ in 0..members {
            let socket = person.dial(room).as_json().connect().await;
            listeners.push(tokio::spawn(listen(socket, began)));
        }
        let socket = person.dial(room).as_json().connect().await;
        let speaker = tokio::spawn(speak(socket, began, (talk, Arc::clone(&stop))));
        Self { stop, speaker, listeners }
    }

    /// Says a last message, waits until all have heard everything, and gives what they noticed.
    ///
    /// # Panics
    /// When a message was lost, or a socket ended.
    pub async fn end(mut self) -> Noticed {
        self.stop.store(true, Ordering::SeqCst);
        let said = (&mut self.speaker).await.expect("the speaker was not disturbed");
        let mut delays = Vec::new();
        for listener in std::mem::take(&mut self.listeners) {
            let heard = listener.await.expect("a listener was not disturbed");
            assert_eq!(heard.len(), said, "a member saw each message once");
            delays.extend(heard);
        }
        delays.sort_unstable();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
        Noticed { messages: said, usual: at(0.99), worst: at(1.0) }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        self.speaker.abort();
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

/// Says messages that hold when they were said, and at last one that says how many they were.
async fn speak(mut socket: Socket, began: Instant, (talk, stop): (Talk, Arc<AtomicBool>)) -> usize {
    let mut ticks = interval(talk.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = 0;
    while !stop.load(Ordering::SeqCst) {
        // Both only wait: a frame that is not whole stays in the socket.
        tokio::select! {
            _ = ticks.tick() => {
                say(&mut socket, &format!("{:x<1$}", format!("calm {} ", began.elapsed().as_micros()), talk.bytes)).await;
                said += 1;
            }
            came = socket.next_before(Instant::now() + MISSING_MAX) => heard(came),
        }
    }
    say(&mut socket, "calm end").await;
    // Its own frames are read until the last is there.
    loop {
        let came = socket.next_before(Instant::now() + MISSING_MAX).await;
        if matches!(&came, Some(Came::Text(text)) if text.contains("calm end")) {
            return said;
        }
        heard(came);
    }
}

async fn say(socket: &mut Socket, body: &str) {
    socket.send_text(json!({"type": "send", "body": body}).to_string()).await;
}

fn heard(came: Option<Came>) {
    match came {
        Some(Came::Text(text)) => assert!(!text.contains("\"refused\""), "{text}"),
        other => panic!("the speaker's socket: {other:?}"),
    }
}

/// How late each message was, until the last.
async fn listen(mut socket: Socket, began: Instant) -> Vec<Duration> {
    let (mut delays, mut latest) = (Vec::new(), Duration::ZERO);
    loop {
        let came = socket.next_before(Instant::now() + MISSING_MAX).await;
        let Some(Came::Text(text)) = came else { panic!("a listener's socket: {came:?}") };
        let Heard::Event(event) = parse(&text) else { continue };
        let body = crate::heard::Seen::from(event).body.unwrap_or_default();
        let Some(said) = body.strip_prefix("calm ") else { continue };
        let Ok(micros) = said.split(' ').next().unwrap_or_default().parse() else { return delays };
        let said = Duration::from_micros(micros);
        assert!(said > latest, "a message came twice, or out of order");
        latest = said;
        delays.push(began.elapsed().saturating_sub(said));
    }
}
