//! How fast the worker applies a log from its beginning, into an embedded database.
//!
//! `cargo run -p history-worker --example catch_up -- 200000 50` writes 200,000 messages of 100 bytes to 50 rooms on a NATS server
//! of its own (`NATS_SERVER`, else the one on PATH), then starts the worker and prints the rate.

use std::error::Error;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::{Broker, Credentials, setup};
use history_worker::Config;
use protocol::query::{HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::Shard;
use protocol::{Event, MessageId, RoomSlug, UserId};
use service::config::load_from;
use service::process::{Doors, say};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

#[path = "../tests/all/boxes.rs"]
#[expect(dead_code, reason = "the tests of the whole worker use more of it")]
mod boxes;
use boxes::boxed;

const SHARD: Shard = Shard(0);
const WRITERS: usize = 64;

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
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let server = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.path().join("nats"))
        .stderr(Stdio::null())
        .spawn()?;
    let _server = Server(server);
    let url = format!("nats://127.0.0.1:{port}");
    let credentials = Credentials { url: url.clone(), user: None, password: None, name: "catch-up".into() };
    let broker = Broker::connect(&credentials, Duration::from_secs(20)).await?;
    setup::create(&broker, setup::Layout { shards: 1, replicas: 1 }).await?;
    let head = write(&broker, events, rooms).await?;

    let database = format!("surrealkv://{}", folder.path().join("history").display());
    let variables = [("NATS_URL", url), ("DATABASE", database), ("OPERATIONS", "127.0.0.1:0".into())];
    let variables = variables.map(|(name, value)| (format!("BACKCHAT_HISTORY_WORKER_{name}"), value));
    let config: Config = load_from(&[], variables.into_iter(), None)?;
    let doors = Doors::bind(config.doors()).await?;
    let shutdown = CancellationToken::new();
    let began = Instant::now();
    let worker = tokio::spawn(history_worker::run(config, doors, shutdown.clone()));
    until_applied(&broker, head).await;
    let took = began.elapsed().as_secs_f64();
    say(&format!("{} events in {took:.2} s: {:.0} events/s", events + rooms, (events + rooms) as f64 / took));
    pages(&broker, events / rooms).await?;
    shutdown.cancel();
    worker.await??;
    Ok(())
}

fn room(number: u64) -> RoomSlug {
    RoomSlug::parse(&format!("room_{number}")).expect("a slug")
}

async fn write(broker: &Broker, events: u64, rooms: u64) -> Result<u64, Box<dyn Error>> {
    let author = UserId::new();
    for number in 0..rooms {
        let event = Event::Created {
            id: MessageId::new(),
            author,
            name: boxed(MessageId::new(), &format!("Room {number}")),
        };
        broker.publish(SHARD.log(&room(number)), &event.id().to_string(), event.encode().into()).await?;
    }
    let body = boxed(MessageId::new(), &"x".repeat(100));
    let mut writers = JoinSet::new();
    let mut head = 0;
    for number in 0..events {
        if writers.len() >= WRITERS
            && let Some(stored) = writers.join_next().await
        {
            head = head.max(stored?);
        }
        let (broker, body) = (broker.clone(), body.clone());
        writers.spawn(async move {
            let event = Event::Message { id: MessageId::new(), author, body };
            let subject = SHARD.log(&room(number % rooms));
            let stored = broker.publish(subject, &event.id().to_string(), event.encode().into()).await;
            stored.expect("the broker stores").seq
        });
    }
    while let Some(stored) = writers.join_next().await {
        head = head.max(stored?);
    }
    Ok(head)
}

async fn until_applied(broker: &Broker, head: u64) {
    let newest = PageQuery { room: room(0), before: u64::MAX, limit: 1, at_least: head };
    let question = HistoryQuery::Page(newest);
    loop {
        let answer = broker.ask(SHARD.history_queries(), &question, Duration::from_secs(5)).await;
        if matches!(answer, Ok(HistoryAnswer::Page(_))) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The time of a page of 50 at the end, in the middle and at the beginning of a room.
async fn pages(broker: &Broker, per_room: u64) -> Result<(), Box<dyn Error>> {
    for (name, before) in [("newest", u64::MAX), ("middle", per_room * 25), ("oldest", 2_500)] {
        let question = HistoryQuery::Page(PageQuery { room: room(0), before, limit: 50, at_least: 0 });
        let began = Instant::now();
        for _ in 0..20 {
            let _: HistoryAnswer =
                broker.ask(SHARD.history_queries(), &question, Duration::from_secs(5)).await?;
        }
        say(&format!("{name} page of 50: {:.1} ms", began.elapsed().as_secs_f64() * 50.0));
    }
    Ok(())
}
