//! How fast the worker applies a log from its beginning, into an embedded database.
//!
//! `cargo run -p history-worker --example catch_up -- 200000 50 2` writes 200,000 messages of 100 bytes to 50 rooms in 2 shards (1 when it
//! is left out) on a NATS server of its own (`NATS_SERVER`, else the one on PATH), then starts the worker and prints the rate. With
//! `mixed` behind them it writes everything that happens in rooms ([`talk`]) instead. With one shard, it then compares pages of one
//! of these rooms with pages of a room of 100 messages, by turns, and the history with the log,
//! makes it anew, and compares again; at last it takes a snapshot and restores that into another database. `DATABASE` names another
//! database than an embedded one (`ws://…`, empty): then the memory is the worker's without its database, and nothing is restored.

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use archive::{Archive, names};
use broker::{Broker, Credentials, setup};
use history_worker::Config;
use protocol::query::{
    AskPiece, AskReplay, HistoryAnswer, HistoryQuery, LocateQuery, PageQuery, Replay, SnapshotPiece,
    Verified, Verify,
};
use protocol::subject::{Shard, Shards};
use protocol::{Event, MessageId, RoomSlug, Since, UserId};
use service::config::load_from;
use service::process::{Doors, say};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

#[path = "../../tests/all/boxes.rs"]
#[expect(dead_code, reason = "the tests of the whole worker use more of it")]
mod boxes;
mod talk;

use boxes::boxed;
use talk::{Shape, Talk};

/// As in the worker's own program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHARD: Shard = Shard(0);
const WRITERS: u64 = 64;
/// Messages in the room that the others are compared with.
const SMALL: u64 = 100;
/// Pages of each kind that are read of each room.
const PAGES: u64 = 1_000;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let events: u64 = arguments.next().as_deref().unwrap_or("100000").parse()?;
    let rooms: u64 = arguments.next().as_deref().unwrap_or("50").parse()?;
    let shards: u16 = arguments.next().as_deref().unwrap_or("1").parse()?;
    let shape = if arguments.next().as_deref() == Some("mixed") { Shape::Mixed } else { Shape::Plain };
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let nats = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.path().join("nats"))
        .stderr(Stdio::null())
        .spawn()?;
    let _nats = Server(nats);
    let url = format!("nats://127.0.0.1:{port}");
    let credentials = Credentials::of_nobody(&url, "catch-up");
    let broker = Broker::connect(&credentials, Duration::from_secs(20)).await?;
    setup::create(&broker, broker::Layout { shards, replicas: 1, raise: false }).await?;
    write(&broker, shards, (shape, events), 0..rooms).await?;
    write(&broker, shards, (Shape::Plain, SMALL), rooms..rooms + 1).await?;

    let server = std::env::var("DATABASE").ok();
    let config = config_of(&url, server.as_deref().unwrap_or(&embedded(folder.path(), "history")))?;
    let doors = Doors::bind(config.doors()).await?;
    let shutdown = CancellationToken::new();
    // What the load took is given back, or counted before.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS")?;
    let began = Instant::now();
    let worker = tokio::spawn(history_worker::run(config, doors, shutdown.clone()));
    until_applied(&broker, shards).await?;
    let took = began.elapsed().as_secs_f64();
    let all = events + rooms + SMALL + 1;
    let (rate, more) = (all as f64 / took, memory("VmHWM")?.saturating_sub(before));
    say(&format!(
        "{all} events in {took:.2} s: {rate:.0} events/s, with {more} MiB more at most, an embedded database's among them"
    ));
    if shards == 1 {
        pages(&broker, rooms, events + rooms).await?;
        verify(&broker).await?;
        replay(&broker).await?;
        verify(&broker).await?;
        snapshot(&broker, &folder.path().join("snapshot")).await?;
    }
    shutdown.cancel();
    worker.await??;
    if shards == 1 && server.is_none() {
        let config = config_of(&url, &embedded(folder.path(), "restored"))?;
        restore(&config, &folder.path().join("snapshot")).await?;
    }
    Ok(())
}

fn embedded(folder: &Path, name: &str) -> String {
    format!("surrealkv://{}", folder.join(name).display())
}

fn config_of(url: &str, database: &str) -> Result<Config, Box<dyn Error>> {
    let variables = [("NATS_URL", url), ("DATABASE", database), ("OPERATIONS", "127.0.0.1:0")];
    let variables =
        variables.map(|(name, value)| (format!("BACKCHAT_HISTORY_WORKER_{name}"), value.to_owned()));
    Ok(load_from(&[], variables.into_iter(), None)?)
}

fn room(number: u64) -> RoomSlug {
    RoomSlug::parse(&format!("room_{number}")).expect("a slug")
}

fn log(room: &RoomSlug, shards: u16) -> String {
    Shards::at_first(shards).of(room).log(room)
}

/// Makes rooms, and writes so many events to them by turns.
async fn write(
    broker: &Broker,
    shards: u16,
    (shape, events): (Shape, u64),
    rooms: Range<u64>,
) -> Result<(), Box<dyn Error>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let rooms = rooms.clone().skip(writer as usize).step_by(WRITERS as usize);
        writers.spawn(make(broker.clone(), shards, rooms));
    }
    while let Some(stored) = writers.join_next().await {
        stored??;
    }
    for writer in 0..WRITERS {
        writers.spawn(talk(broker.clone(), shards, (shape, events, writer), rooms.clone()));
    }
    while let Some(stored) = writers.join_next().await {
        stored??;
    }
    Ok(())
}

async fn make(
    broker: Broker,
    shards: u16,
    rooms: impl Iterator<Item = u64> + Send,
) -> Result<(), broker::Error> {
    for number in rooms {
        let id = MessageId::new();
        let event = Event::Created { id, author: UserId::new(), name: boxed(id, &format!("Room {number}")) };
        broker.publish(log(&room(number), shards), &id.to_string(), event.encode().into()).await?;
    }
    Ok(())
}

/// The share of one writer, who waits for the broker each time: what it writes about has a sequence.
async fn talk(
    broker: Broker,
    shards: u16,
    (shape, events, writer): (Shape, u64, u64),
    rooms: Range<u64>,
) -> Result<(), broker::Error> {
    let mut talks = HashMap::new();
    let count = rooms.end - rooms.start;
    // A room is one writer's, where there are enough of them: so all of it can be talked about.
    let whose = |number: u64| if count < WRITERS { number % WRITERS } else { number % count % WRITERS };
    for number in (0..events).filter(|number| whose(*number) == writer) {
        let at = rooms.start + number % count;
        let talk = talks.entry(at).or_insert_with(|| Talk::new(shape, at * WRITERS + writer));
        let event = talk.next();
        let (id, subject) = (event.id().to_string(), log(&room(at), shards));
        let stored = broker.publish(subject, &id, event.encode().into()).await?;
        talk.stored(&event, stored.seq);
    }
    Ok(())
}

async fn until_applied(broker: &Broker, shards: u16) -> Result<(), Box<dyn Error>> {
    for shard in Shards::at_first(shards).all() {
        let head = broker.stream(&shard.stream()).await?.last_seq;
        loop {
            let asked = broker.ask(shard.history_queries(), &HistoryQuery::Status, Duration::from_secs(5));
            if matches!(asked.await, Ok(HistoryAnswer::Status(status)) if status.applied >= head) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn ask(broker: &Broker, question: &HistoryQuery) -> Result<HistoryAnswer, Box<dyn Error>> {
    match broker.ask(SHARD.history_queries(), question, Duration::from_secs(10)).await? {
        HistoryAnswer::Refused { reason } => Err(reason.into()),
        answer => Ok(answer),
    }
}

/// What a page is asked by.
#[derive(Debug, Clone, Copy)]
enum By {
    Before,
    AroundSequence,
    AroundTime,
}

/// How long pages of 50 take at places all over a large room, and by turns in the small one, which follows it in the log.
async fn pages(broker: &Broker, rooms: u64, large_end: u64) -> Result<(), Box<dyn Error>> {
    let large = (room(0), 1..large_end);
    let small = (room(rooms), large_end + 1..large_end + 1 + SMALL);
    for by in [By::Before, By::AroundSequence, By::AroundTime] {
        let mut took = [Vec::new(), Vec::new()];
        for turn in 0..PAGES {
            for (took, (room, sequences)) in took.iter_mut().zip([&large, &small]) {
                // Steps of a golden section meet every part of the room, and no place twice in a row.
                let seq = sequences.start + (turn * 618_033) % (sequences.end - sequences.start);
                took.push(page(broker, room, seq, by).await?.as_secs_f64() * 1e3);
            }
        }
        let [large, small] = took.map(|mut took| {
            took.sort_by(f64::total_cmp);
            (took[took.len() / 2], took[took.len() * 99 / 100])
        });
        let ratio = large.1 / small.1;
        let ((median, p99), (small_median, small_p99)) = (large, small);
        say(&format!(
            "page of 50, {by:?}: median {median:.2} ms, p99 {p99:.2} ms; in the small room {small_median:.2} and {small_p99:.2} ms; \
             ratio of the p99 {ratio:.2}"
        ));
    }
    Ok(())
}

async fn page(broker: &Broker, room: &RoomSlug, seq: u64, by: By) -> Result<Duration, Box<dyn Error>> {
    let since = match by {
        By::Before => None,
        By::AroundSequence => Some(Since::Seq(seq)),
        By::AroundTime => broker.get(&SHARD.stream(), seq).await?.map(|record| Since::Time(record.at)),
    };
    let began = Instant::now();
    let mut before = seq;
    if let Some(since) = since {
        let query = LocateQuery { room: room.clone(), since, count: 25 };
        let HistoryAnswer::Located { rows, .. } = ask(broker, &HistoryQuery::Locate(query)).await? else {
            return Err("another answer than where the rows lie".into());
        };
        before = rows.map_or(u64::MAX, |rows| rows.last + 1);
    }
    let query = PageQuery { room: room.clone(), before, limit: 50, at_least: 0 };
    ask(broker, &HistoryQuery::Page(query)).await?;
    Ok(began.elapsed())
}

/// How fast everything is made anew, and how long a page takes at most meanwhile.
async fn replay(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut asked = AskReplay::Begin(Replay::Shard);
    let mut slowest = Duration::ZERO;
    loop {
        let HistoryAnswer::Replay { last: Some(last) } = ask(broker, &HistoryQuery::Replay(asked)).await?
        else {
            return Err("another answer than how far it is".into());
        };
        if last.ended_at.is_some() {
            let (entries, took) = (last.entries, began.elapsed().as_secs_f64());
            let (rate, slowest) = (entries as f64 / took, slowest.as_secs_f64() * 1e3);
            say(&format!(
                "{entries} entries in {} rooms made anew in {took:.2} s: {rate:.0} entries/s; a page meanwhile {slowest:.0} ms at most",
                last.rooms
            ));
            return Ok(());
        }
        slowest = slowest.max(page(broker, &room(0), u64::MAX, By::Before).await?);
        sleep(Duration::from_millis(50)).await;
        asked = AskReplay::Status;
    }
}

async fn verify(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let (mut all, mut next, began) =
        (Verified::default(), Some(Verify::Rooms { after: None }), Instant::now());
    while let Some(what) = next {
        let HistoryAnswer::Verified(part) = ask(broker, &HistoryQuery::Verify(what)).await? else {
            return Err("another answer than how they compare".into());
        };
        next = part.next.clone();
        all.add(part);
    }
    let (Verified { rows, different, .. }, took) = (all, began.elapsed().as_secs_f64());
    let rate = rows as f64 / took;
    say(&format!("{rows} rows compared with the log in {took:.2} s: {rate:.0} rows/s, {different} differ"));
    say(&format!("memory at most, worker and load in one process: {} MiB", memory("VmHWM")?));
    Ok(())
}

/// What the system says of this process's memory, in MiB.
fn memory(of: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(of)).ok_or("no such line")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib / 1024)
}

/// How fast a snapshot is taken, how large it is, and how long a page takes at most meanwhile.
async fn snapshot(broker: &Broker, place: &Path) -> Result<(), Box<dyn Error>> {
    let place = place.to_str().ok_or("a folder without a name")?;
    let HistoryAnswer::Snapshot { pieces, .. } = ask(broker, &HistoryQuery::Snapshot).await? else {
        return Err("another answer than where its pieces are".into());
    };
    let backup = Archive::at(place)?.create(1).await?;
    let mut file = backup.file(&names::history(SHARD));
    let (began, mut slowest, mut next) = (Instant::now(), Duration::ZERO, 0);
    loop {
        let asked = AskPiece { piece: next };
        let answer = broker.ask_for_bytes(pieces.clone(), &asked, Duration::from_secs(10)).await?;
        match SnapshotPiece::decode(&answer) {
            Some(SnapshotPiece::Lines(lines)) => file.write(lines.into()).await?,
            Some(SnapshotPiece::End) => break,
            other => return Err(format!("{other:?}").into()),
        }
        if next.is_multiple_of(100) {
            slowest = slowest.max(page(broker, &room(0), u64::MAX, By::Before).await?);
        }
        next += 1;
    }
    let bytes = file.finish().await?;
    backup.finish().await?;
    let (took, slowest) = (began.elapsed().as_secs_f64(), slowest.as_secs_f64() * 1e3);
    say(&format!("snapshot of {bytes} bytes in {took:.2} s; a page meanwhile {slowest:.0} ms at most"));
    Ok(())
}

async fn restore(config: &Config, place: &Path) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let backup = Archive::at(place.to_str().ok_or("a folder without a name")?)?.open().await?;
    backup.check().await?;
    let restored = history_worker::snapshot::restore(config, &backup).await?;
    let took = began.elapsed().as_secs_f64();
    let rate = restored.rows as f64 / took;
    say(&format!(
        "{} rows in {} rooms restored in {took:.2} s: {rate:.0} rows/s",
        restored.rows, restored.rooms
    ));
    Ok(())
}
