//! How fast the worker applies a log from its beginning, into an embedded database.
//!
//! `cargo run -p history-worker --example catch_up -- 200000 50 2` writes 200,000 messages of 100 bytes to 50 rooms in 2 shards (1 when it
//! is left out) on a NATS server of its own (`NATS_SERVER`, else the one on PATH), then starts the worker and prints the rate. With
//! `mixed` behind them it writes everything that happens in rooms ([`talk`]) instead of `plain`, and with a number behind that it writes
//! the events of that seed (1 when it is left out): the same ones in each room, with the same ids, authors, times and texts. Where there are
//! 64 rooms and more they are in the same order too; a room that 64 people write to has them as the broker stored them.
//!
//! With one shard, it then compares pages of one of these rooms with pages of a room of 100 messages, by turns, and the history with the log,
//! makes it anew, and compares again; at last it takes a snapshot and restores that into another database. `DATABASE` names another
//! database than an embedded one (`ws://…`, empty): then the memory is the worker's without its database, and nothing is restored. Of all
//! that, only what is named behind the seed is done: `pages,verify,replay,snapshot`, or `nothing`.

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
use protocol::view::{SealedRow, What};
use protocol::{MessageId, RoomSlug, Since};
use service::config::load_from;
use service::process::{Doors, say};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

#[path = "../../tests/all/boxes.rs"]
#[expect(dead_code, reason = "the tests of the whole worker use more of it")]
mod boxes;
mod talk;

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

/// What is said, and where.
#[derive(Debug, Clone, Copy)]
struct Log {
    events: u64,
    rooms: u64,
    shards: u16,
    shape: Shape,
    seed: u64,
}

/// What is done once the log is applied: all of it, unless some of it is named.
struct Steps(Option<String>);

impl Steps {
    fn has(&self, step: &str) -> bool {
        self.0.as_ref().is_none_or(|named| named.split(',').any(|name| name == step))
    }
}

impl Log {
    fn asked_for() -> Result<(Self, Steps), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let events = arguments.next().as_deref().unwrap_or("100000").parse()?;
        let rooms = arguments.next().as_deref().unwrap_or("50").parse()?;
        let shards = arguments.next().as_deref().unwrap_or("1").parse()?;
        let shape = match arguments.next().as_deref() {
            Some("mixed") => Shape::Mixed,
            Some("plain") | None => Shape::Plain,
            Some(other) => return Err(format!("{other} is neither plain nor mixed").into()),
        };
        let seed = arguments.next().as_deref().unwrap_or("1").parse()?;
        Ok((Self { events, rooms, shards, shape, seed }, Steps(arguments.next())))
    }

    /// What this writer says in a room; without a writer, how it begins.
    fn talk(self, room: u64, writer: Option<u64>) -> Talk {
        let whose = room * (WRITERS + 1) + writer.unwrap_or(WRITERS);
        Talk::new(self.shape, self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(whose))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (wanted, steps) = Log::asked_for()?;
    let Log { events, rooms, shards, .. } = wanted;
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
    setup::create(&broker, broker::Layout { shards, replicas: None, raise: false }).await?;
    write(&broker, wanted, 0..rooms).await?;
    let small = Log { events: SMALL, shape: Shape::Plain, ..wanted };
    write(&broker, small, rooms..rooms + 1).await?;

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
    if shards == 1 && steps.has("pages") {
        pages(&broker, rooms, events + rooms).await?;
    }
    if shards == 1 && steps.has("verify") {
        verify(&broker).await?;
    }
    if shards == 1 && steps.has("replay") {
        replay(&broker).await?;
        verify(&broker).await?;
    }
    if shards == 1 && steps.has("snapshot") {
        snapshot(&broker, &folder.path().join("snapshot")).await?;
    }
    shutdown.cancel();
    worker.await??;
    if shards == 1 && server.is_none() && steps.has("snapshot") {
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
    Shards::at_first(shards).of(room).expect("its code names no shard").log(room)
}

/// Makes rooms, and writes so many events to them by turns.
async fn write(broker: &Broker, wanted: Log, rooms: Range<u64>) -> Result<(), Box<dyn Error>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let rooms = rooms.clone().skip(writer as usize).step_by(WRITERS as usize);
        writers.spawn(make(broker.clone(), wanted, rooms));
    }
    while let Some(stored) = writers.join_next().await {
        stored??;
    }
    for writer in 0..WRITERS {
        writers.spawn(talk(broker.clone(), wanted, writer, rooms.clone()));
    }
    while let Some(stored) = writers.join_next().await {
        stored??;
    }
    Ok(())
}

async fn make(
    broker: Broker,
    wanted: Log,
    rooms: impl Iterator<Item = u64> + Send,
) -> Result<(), broker::Error> {
    for number in rooms {
        let event = wanted.talk(number, None).begins(&format!("Room {number}"));
        let subject = log(&room(number), wanted.shards);
        broker.publish(subject, &event.id().to_string(), event.encode().into()).await?;
    }
    Ok(())
}

/// The share of one writer, who waits for the broker each time: what it writes about has a sequence.
async fn talk(broker: Broker, wanted: Log, writer: u64, rooms: Range<u64>) -> Result<(), broker::Error> {
    let mut talks = HashMap::new();
    let count = rooms.end - rooms.start;
    // A room is one writer's, where there are enough of them: so all of it can be talked about.
    let whose = |number: u64| if count < WRITERS { number % WRITERS } else { number % count % WRITERS };
    for number in (0..wanted.events).filter(|number| whose(*number) == writer) {
        let at = rooms.start + number % count;
        let talk = talks.entry(at).or_insert_with(|| wanted.talk(at, Some(writer)));
        let event = talk.next();
        let (id, subject) = (event.id().to_string(), log(&room(at), wanted.shards));
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
    After,
    AroundSequence,
    AroundTime,
    /// As a link to a message does.
    AroundId,
}

impl By {
    const ALL: [Self; 5] =
        [Self::Before, Self::After, Self::AroundSequence, Self::AroundTime, Self::AroundId];
}

/// How long pages of 50 take at places all over a large room, and by turns in the small one, which follows it in the log.
async fn pages(broker: &Broker, rooms: u64, large_end: u64) -> Result<(), Box<dyn Error>> {
    let large = (room(0), 1..large_end);
    let small = (room(rooms), large_end + 1..large_end + 1 + SMALL);
    for by in By::ALL {
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

/// A page, as a gateway asks for it: what it is looked up by is part of it, what only this program needs is not.
async fn page(broker: &Broker, room: &RoomSlug, seq: u64, by: By) -> Result<Duration, Box<dyn Error>> {
    let (id, at) = match by {
        By::AroundId => (Some(id_at(broker, room, seq).await?), None),
        By::AroundTime => (None, broker.get(&SHARD.stream(), seq).await?.map(|record| record.at)),
        By::Before | By::After | By::AroundSequence => (None, None),
    };
    let began = Instant::now();
    let since = match by {
        By::Before => None,
        By::After => Some((Since::Seq(seq + 1), 50)),
        By::AroundSequence => Some((Since::Seq(seq), 25)),
        By::AroundTime => at.map(|at| (Since::Time(at), 25)),
        By::AroundId => Some((Since::Seq(found(broker, room, id).await?), 25)),
    };
    let mut before = seq;
    if let Some((since, count)) = since {
        let query = LocateQuery { room: room.clone(), since, count };
        let HistoryAnswer::Located { rows, .. } = ask(broker, &HistoryQuery::Locate(query)).await? else {
            return Err("another answer than where the rows lie".into());
        };
        before = rows.map_or(u64::MAX, |rows| rows.last + 1);
    }
    rows(broker, room, before, 50).await?;
    Ok(began.elapsed())
}

async fn rows(
    broker: &Broker,
    room: &RoomSlug,
    before: u64,
    limit: usize,
) -> Result<Vec<SealedRow>, Box<dyn Error>> {
    let query = PageQuery { room: room.clone(), before, limit, at_least: 0 };
    match ask(broker, &HistoryQuery::Page(query)).await? {
        HistoryAnswer::Page(page) => Ok(page.rows),
        _ => Err("another answer than a page".into()),
    }
}

/// The id of the room's message at a sequence, or of the last one before it; where there is none, of the room's last.
async fn id_at(broker: &Broker, room: &RoomSlug, seq: u64) -> Result<MessageId, Box<dyn Error>> {
    let is_message = |row: &&SealedRow| matches!(row.what, What::Message(_));
    let mut rows_there = rows(broker, room, seq + 1, 10).await?;
    if !rows_there.iter().any(|row| is_message(&row)) {
        rows_there = rows(broker, room, u64::MAX, 50).await?;
    }
    Ok(rows_there.iter().rfind(is_message).ok_or("no message there")?.id)
}

/// Where the message with an id is.
async fn found(broker: &Broker, room: &RoomSlug, id: Option<MessageId>) -> Result<u64, Box<dyn Error>> {
    let id = id.ok_or("no id")?;
    let HistoryAnswer::Found { rows, .. } =
        ask(broker, &HistoryQuery::Find { room: room.clone(), id }).await?
    else {
        return Err("another answer than what was found".into());
    };
    Ok(rows.first().ok_or("a message that is there was not found")?.seq)
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
