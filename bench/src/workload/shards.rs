//! How many messages a second one broker acknowledges when the log is cut into more shards.

use super::Figures;
use crate::{
    machine::{Reading, Usage},
    server::{Kept, Server, Sync, connect_to_broker},
};
use broker::Broker;
use bytes::Bytes;
use futures_util::future::join_all;
use protocol::{MessageId, RoomSlug, Sealed, SealedEvent, SealedText, UserId, subject::Shard};
use std::{cell::Cell, time::Duration};
use tokio::time::{Instant, sleep};

/// Publishers at once, spread over the shards, each with one message under way; and the connections that they share.
const PUBLISHERS: usize = 256;
const CONNECTIONS: usize = 4;
const WARM: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// A log that is kept in one way, cut into more and more shards.
struct Kind {
    kept: Kept,
    /// Shards, and the names of: acknowledged messages a second, the same to one shard, and the broker's CPU per message.
    runs: [(u16, [&'static str; 3]); 4],
}

/// Three copies on three servers of this one machine, which share its cores and its disk.
const KINDS: [Kind; 4] = [
    Kind {
        kept: Kept { copies: 1, sync: Sync::Always },
        runs: [
            (1, ["always_1_per_s", "always_1_ratio", "always_1_us"]),
            (2, ["always_2_per_s", "always_2_ratio", "always_2_us"]),
            (4, ["always_4_per_s", "always_4_ratio", "always_4_us"]),
            (8, ["always_8_per_s", "always_8_ratio", "always_8_us"]),
        ],
    },
    Kind {
        kept: Kept { copies: 1, sync: Sync::Default },
        runs: [
            (1, ["default_1_per_s", "default_1_ratio", "default_1_us"]),
            (2, ["default_2_per_s", "default_2_ratio", "default_2_us"]),
            (4, ["default_4_per_s", "default_4_ratio", "default_4_us"]),
            (8, ["default_8_per_s", "default_8_ratio", "default_8_us"]),
        ],
    },
    Kind {
        kept: Kept { copies: 3, sync: Sync::Default },
        runs: [
            (1, ["copied_1_per_s", "copied_1_ratio", "copied_1_us"]),
            (2, ["copied_2_per_s", "copied_2_ratio", "copied_2_us"]),
            (4, ["copied_4_per_s", "copied_4_ratio", "copied_4_us"]),
            (8, ["copied_8_per_s", "copied_8_ratio", "copied_8_us"]),
        ],
    },
    Kind {
        kept: Kept { copies: 3, sync: Sync::Always },
        runs: [
            (1, ["copied_always_1_per_s", "copied_always_1_ratio", "copied_always_1_us"]),
            (2, ["copied_always_2_per_s", "copied_always_2_ratio", "copied_always_2_us"]),
            (4, ["copied_always_4_per_s", "copied_always_4_ratio", "copied_always_4_us"]),
            (8, ["copied_always_8_per_s", "copied_always_8_ratio", "copied_always_8_us"]),
        ],
    },
];

pub fn run() -> Result<Figures, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut figures = Figures::new();
    for kind in &KINDS {
        let mut one_per_s = 0.0;
        for (shards, names) in kind.runs {
            let server = Server::broker(shards, kind.kept)?;
            let (acknowledged, usage) = runtime.block_on(publish(&server, shards))?;
            let per_s = acknowledged as f64 / usage.wall_s;
            if shards == 1 {
                one_per_s = per_s;
            }
            let broker_us = usage.of_brokers() * 1e6 / acknowledged.max(1) as f64;
            figures.extend(names.into_iter().zip([per_s, per_s / one_per_s, broker_us]));
            let worst = figures.entry("load_share").or_default();
            *worst = worst.max(usage.own_share());
        }
    }
    Ok(figures)
}

/// Publishes as fast as the broker acknowledges, and gives how many it did in the measured time, and what was used.
async fn publish(server: &Server, shards: u16) -> Result<(u64, Usage), String> {
    let url = server.nats.as_deref().unwrap_or_default();
    let connections = join_all((0..CONNECTIONS).map(|_| connect_to_broker(url))).await;
    let connections: Result<Vec<Broker>, _> = connections.into_iter().collect();
    let connections = connections.map_err(|error| error.to_string())?;
    let acknowledged = Cell::new(0);
    let end = Instant::now() + WARM + MEASURED;
    let publishers = join_all((0..PUBLISHERS).map(|number| {
        let shard = Shard((number % usize::from(shards)) as u16);
        talk(&connections[number / usize::from(shards) % CONNECTIONS], shard, number, &acknowledged, end)
    }));
    let watched = async {
        sleep(WARM).await;
        let (before, reading) = (acknowledged.get(), Reading::take(&server.processes));
        sleep(MEASURED - Duration::from_millis(50)).await;
        (acknowledged.get() - before, Reading::take(&server.processes).since(&reading))
    };
    let (published, watched) = tokio::join!(publishers, watched);
    published.into_iter().collect::<Result<(), String>>()?;
    Ok(watched)
}

/// One person in a room of their own, who says the next thing when the last was acknowledged.
async fn talk(
    broker: &Broker,
    shard: Shard,
    number: usize,
    acknowledged: &Cell<u64>,
    end: Instant,
) -> Result<(), String> {
    let room = RoomSlug::parse(&format!("room_{number}")).expect("lower-case letters and digits");
    let (subject, author) = (shard.log(&room), UserId::new());
    // As long as the box of a body of 128 bytes.
    let text = [&[1][..], &[0x5A; 20 + 128]].concat();
    while Instant::now() < end {
        let id = MessageId::new();
        let sealed = Sealed::from_bytes(text.clone()).ok_or("it is as a box is")?;
        let event = SealedEvent::Message { id, author, body: SealedText { by: id, sealed } };
        let stored = broker.publish(subject.clone(), &id.to_string(), Bytes::from(event.encode())).await;
        stored.map_err(|error| format!("publishing failed: {error}"))?;
        acknowledged.set(acknowledged.get() + 1);
    }
    Ok(())
}
