//! How long a member waits for the acknowledgement of a message, beside what the broker alone takes to store one.

use super::{Figures, assemble, broken};
use crate::{
    load::Crew,
    server::{Server, Shape, Sync, connect_to_broker},
    statistics::Spread,
};
use bytes::Bytes;
use protocol::{MessageId, RoomSlug, Sealed, SealedEvent, SealedText, UserId, subject::Shard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Both are measured by turns, so many messages each time.
const TURNS: usize = 20;
const MESSAGES: usize = 50;

pub fn run() -> Result<Figures, String> {
    let mut figures = Figures::new();
    for (sync, names) in [
        (Sync::Always, ["always_ack_us", "always_publish_us", "always_ratio"]),
        (Sync::Default, ["default_ack_us", "default_publish_us", "default_ratio"]),
    ] {
        let (ack, publish) = medians_us(sync)?;
        figures.extend(names.into_iter().zip([ack, publish, ack / publish]));
    }
    Ok(figures)
}

/// The medians of an acknowledgement through the gateway and of a bare publish, in microseconds.
fn medians_us(sync: Sync) -> Result<(f64, f64), String> {
    let server = Server::gateway(Shape { rooms: 1, members: 1, returning: false }, sync)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let bare = Bare::connect(&runtime, server.nats.as_deref().unwrap_or_default())?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let (mut acks, mut publishes) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let (mut some_acks, mut some_publishes) = (Vec::new(), Vec::new());
        for message in 0..MESSAGES {
            some_acks.push(micros(crew.send_and_wait(turn * MESSAGES + message).map_err(broken)?));
        }
        for _ in 0..MESSAGES {
            some_publishes.push(micros(bare.publish(&runtime)?));
        }
        // The first turn warms both.
        if turn > 0 {
            acks.append(&mut some_acks);
            publishes.append(&mut some_publishes);
        }
    }
    let median = |times: &[f64]| Spread::of(times).map_or(0.0, |spread| spread.median);
    Ok((median(&acks), median(&publishes)))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Publishing without a gateway: into the same stream, to a room of its own.
struct Bare {
    broker: broker::Broker,
    subject: String,
    author: UserId,
    text: Vec<u8>,
}

impl Bare {
    fn connect(runtime: &Runtime, url: &str) -> Result<Self, String> {
        let room = RoomSlug::parse("bare").expect("lower-case letters");
        // As long as the box of a body of 128 bytes.
        let text = [&[1][..], &[0x5A; 20 + 128]].concat();
        let broker = runtime.block_on(connect_to_broker(url)).map_err(|error| error.to_string())?;
        Ok(Self { broker, subject: Shard(0).log(&room), author: UserId::new(), text })
    }

    fn publish(&self, runtime: &Runtime) -> Result<Duration, String> {
        let (id, author) = (MessageId::new(), self.author);
        let sealed = Sealed::from_bytes(self.text.clone()).ok_or("it is as a box is")?;
        let event = SealedEvent::Message { id, author, body: SealedText { by: id, sealed } };
        let (id, payload) = (event.id().to_string(), Bytes::from(event.encode()));
        let start = Instant::now();
        let stored = runtime.block_on(self.broker.publish(self.subject.clone(), &id, payload));
        stored.map_err(|error| format!("the bare publish failed: {error}"))?;
        Ok(start.elapsed())
    }
}
