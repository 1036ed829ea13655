//! The real binary, and what a test says to it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::Broker;
use protocol::query::{HistoryAnswer, HistoryQuery, Page, PageQuery};
use protocol::subject::Shard;
use protocol::{Event, MessageId, RoomSlug, SealedEvent, Target, Timestamp, UserId};
use service::probe;
use tokio::time::{Instant, sleep};

use super::boxes::{self, boxed};
use super::nats::{Nats, free_port};

/// Lines of a worker's log that a failing test shows.
const LINES_SHOWN: usize = 40;

pub struct Worker {
    child: Child,
    operations: u16,
    /// What it says. A file, since a pipe that nobody reads would make it stand still.
    said: File,
}

impl Worker {
    pub fn start(nats: &Nats, database: &Path) -> Self {
        Self::start_with(nats, &format!("surrealkv://{}", database.display()))
    }

    pub fn start_with(nats: &Nats, database: &str) -> Self {
        Self::start_set(nats, database, &[])
    }

    /// With these settings, by their names behind the service's.
    pub fn start_set(nats: &Nats, database: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_asked(nats, database, &[], settings)
    }

    fn start_asked(nats: &Nats, database: &str, words: &[&str], settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| (format!("BACKCHAT_HISTORY_WORKER_{name}"), value));
        let operations = free_port();
        let said = tempfile::tempfile().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_history-worker"))
            .args(words)
            .env("BACKCHAT_HISTORY_WORKER_NATS_URL", nats.url())
            .env("BACKCHAT_HISTORY_WORKER_DATABASE", database)
            .env("BACKCHAT_HISTORY_WORKER_OPERATIONS", format!("127.0.0.1:{operations}"))
            .envs(settings)
            .stdout(Stdio::null())
            .stderr(said.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { child, operations, said }
    }

    /// Restores a snapshot into a database to the end, or says why not.
    pub async fn restores(nats: &Nats, database: &str, place: &Path) -> Result<(), String> {
        let words = ["restore", place.to_str().unwrap()];
        let (code, said) = Self::start_asked(nats, database, &words, &[]).exit().await;
        if code == 0 { Ok(()) } else { Err(said) }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It stands still until [`Worker::resume`].
    pub fn pause(&self) {
        signalled(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        signalled(self.child.id(), "CONT");
    }

    /// SIGTERM, and the exit code.
    pub async fn terminate(self) -> i32 {
        signalled(self.child.id(), "TERM");
        self.exit().await.0
    }

    /// Waits for the process to end by itself: its exit code, and the last line that it said.
    pub async fn exit(mut self) -> (i32, String) {
        let ended = eventually("the worker ends", async || self.child.try_wait().unwrap()).await;
        (ended.code().unwrap_or(-1), self.log().lines().last().unwrap_or_default().to_owned())
    }

    fn log(&mut self) -> String {
        let mut said = String::new();
        self.said.seek(SeekFrom::Start(0)).unwrap();
        self.said.read_to_string(&mut said).unwrap();
        said
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let address = ([127, 0, 0, 1], self.operations).into();
        let answer = probe::get(address, path, Duration::from_secs(5)).await;
        answer.map_or((0, String::new()), |answer| (answer.status, answer.body))
    }

    pub async fn ready(&self) {
        let mut health = String::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let (status, said) = self.get("/readyz").await;
            if status == 200 {
                return;
            }
            health = said;
            sleep(Duration::from_millis(50)).await;
        }
        panic!("not ready within 30 s: {health}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            println!("--- the worker said at last:\n{}", shown.join("\n"));
        }
    }
}

/// Sends a signal to a process.
pub fn signalled(process: u32, signal: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Looks until there is something, for at most 30 seconds.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

pub fn room(name: &str) -> RoomSlug {
    RoomSlug::parse(name).unwrap()
}

pub fn created() -> SealedEvent {
    let id = MessageId::new();
    Event::Created { id, author: UserId::new(), name: boxed(id, "Tea") }
}

pub fn message(text: &str) -> SealedEvent {
    let id = MessageId::new();
    Event::Message { id, author: UserId::new(), body: boxed(id, text) }
}

/// Stores an event, and gives its sequence.
pub async fn post(broker: &Broker, shard: Shard, room: &RoomSlug, event: &SealedEvent) -> u64 {
    // An id of its own, so that the broker's own window for copies plays no part.
    let once = MessageId::new().to_string();
    broker.publish(shard.log(room), &once, event.encode().into()).await.unwrap().seq
}

pub async fn ask(
    broker: &Broker,
    shard: Shard,
    query: &HistoryQuery,
) -> Result<HistoryAnswer, broker::Error> {
    broker.ask(shard.history_queries(), query, Duration::from_secs(5)).await
}

/// A page, as soon as everything up to `at_least` has been applied.
pub async fn page(broker: &Broker, shard: Shard, query: &PageQuery) -> Page {
    eventually("a page comes", async || match ask(broker, shard, &HistoryQuery::Page(query.clone())).await {
        Ok(HistoryAnswer::Page(page)) => Some(page),
        Ok(HistoryAnswer::Behind { .. }) | Err(_) => None,
        Ok(other) => panic!("{other:?}"),
    })
    .await
}

/// All of a room, page by page from its end, oldest first: sequences.
pub async fn whole(broker: &Broker, shard: Shard, room: &RoomSlug, at_least: u64) -> Vec<u64> {
    let mut all = Vec::new();
    let mut before = u64::MAX;
    loop {
        let query = PageQuery { room: room.clone(), before, limit: 100, at_least };
        let page = page(broker, shard, &query).await;
        let sequences = page.rows.iter().map(|row| row.seq);
        all.splice(0..0, sequences);
        if page.prev == 0 {
            return all;
        }
        before = page.rows[0].seq;
    }
}

/// The event that a message was stored with, as others aim at it.
pub fn target(event: &SealedEvent, seq: u64) -> Target {
    Target { id: event.id(), author: event.author(), seq }
}

pub fn edited(target: Target, text: &str) -> SealedEvent {
    let id = MessageId::new();
    Event::Edited { id, author: target.author, target, body: boxed(id, text) }
}

pub fn deleted(target: Target, text: &str) -> SealedEvent {
    let hash = boxed(target.id, text).sealed.hash();
    Event::Deleted {
        id: MessageId::new(),
        author: target.author,
        target,
        of: Timestamp::from_millis(1),
        hash,
    }
}

pub fn reacted(author: UserId, target: Target, reaction: &str, on: bool) -> SealedEvent {
    let id = MessageId::new();
    Event::Reacted { id, author, target, reaction: boxes::reaction(id, author, reaction), on }
}
