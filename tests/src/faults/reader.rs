//! Somebody who looks back while everything is being hurt: reads the room's end by pages, now and then, at any gateway. A
//! reading that breaks off says nothing; one that comes must be what the log has.

use crate::audit::Excerpt;
use crate::heard::{Heard, Seen};
use crate::json_socket::parse;
use crate::person::Person;
use crate::random::Random;
use crate::socket::{Came, Dialled, Socket};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Events in a page, and pages of one reading.
const PAGE: usize = 40;
const PAGES: usize = 3;
/// Longest wait for one reading.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reader. Dropping it ends its program.
pub struct Reader {
    readings: Arc<Mutex<Vec<Excerpt>>>,
    running: tokio::task::JoinHandle<()>,
}

impl Reader {
    pub fn starts(person: Person, room: &str, doors: Vec<String>, random: Random) -> Self {
        let readings = Arc::default();
        let running = tokio::spawn(read_on(person, room.to_owned(), doors, random, Arc::clone(&readings)));
        Self { readings, running }
    }

    /// Goes, and says what it read.
    pub fn goes(self) -> Vec<Excerpt> {
        std::mem::take(&mut self.readings.lock().expect("nobody panics while holding the readings"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn read_on(
    person: Person,
    room: String,
    doors: Vec<String>,
    mut random: Random,
    readings: Arc<Mutex<Vec<Excerpt>>>,
) {
    loop {
        sleep(Duration::from_millis(random.between(500, 3_000))).await;
        let door = &doors[random.index(doors.len())];
        let person = person.through(door);
        let token = person.cookie("backchat_token");
        let mut pages = Vec::new();
        let ended = timeout(PATIENCE, read(&person, &room, &mut pages)).await;
        if ended == Ok(Some(protocol::frame::Close::SessionEnded.code())) {
            person.renew_instead_of(token).await;
        }
        readings.lock().expect("nobody panics while holding the readings").append(&mut pages);
    }
}

/// Reads some pages from the room's end on; gives the close code when the socket ended before.
async fn read(person: &Person, room: &str, pages: &mut Vec<Excerpt>) -> Option<u16> {
    let Dialled::Open(mut socket) = person.tries_to_connect(room).await else { return None };
    let head = loop {
        match next(&mut socket).await? {
            Ok(Heard::CaughtUp { cursor }) => break cursor.rsplit_once('.')?.1.parse::<u64>().ok()?,
            Ok(_) => {}
            Err(code) => return Some(code),
        }
    };
    let mut before = head + 1;
    for _ in 0..PAGES {
        socket.send_text(json!({"type": "page", "before": before, "limit": PAGE}).to_string()).await;
        let events: Vec<Seen> = loop {
            match next(&mut socket).await? {
                Ok(Heard::Page { events, .. }) => break events.into_iter().map(Seen::from).collect(),
                Ok(Heard::Refused(_)) => return None,
                Ok(_) => {}
                Err(code) => return Some(code),
            }
        };
        let name = format!("a reader of {room} at {}, at {}", person.address, protocol::Timestamp::now());
        let first = events.first().map(|event| event.seq);
        pages.push(Excerpt { name, before, limit: PAGE, events });
        before = first?;
    }
    None
}

/// What comes next: a frame, or how the socket ended.
async fn next(socket: &mut Socket) -> Option<Result<Heard, u16>> {
    match socket.next_before(Instant::now() + PATIENCE).await? {
        Came::Text(text) => Some(Ok(parse(&text))),
        Came::Closed(closed) => Some(Err(closed.code)),
    }
}
