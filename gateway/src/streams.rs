//! Which life of each shard's stream is the present one, and how far back its log reaches.

use crate::{Error, state::Gateway};
use broker::Broker;
use protocol::{
    StreamIdentity,
    subject::{Shard, Shards},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the streams are looked at when nothing else gives a reason.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A stream as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    identity: StreamIdentity,
    /// The first sequence that the log still has.
    first: u64,
}

/// The shards' streams as they were last seen.
pub struct Streams(watch::Sender<Vec<Life>>);

impl Streams {
    pub async fn start(broker: &Broker, shards: Shards) -> Result<Self, Error> {
        Ok(Self(watch::Sender::new(look(broker, shards).await?)))
    }

    pub fn identity(&self, shard: Shard) -> StreamIdentity {
        self.0.borrow()[usize::from(shard.0)].identity
    }

    /// Whether the log may lack events after this sequence, because it keeps only newer ones.
    pub fn has_aged_past(&self, shard: Shard, seq: u64) -> bool {
        self.0.borrow()[usize::from(shard.0)].first > seq.saturating_add(1)
    }

    /// Rings when a stream was made anew.
    pub fn changes(&self) -> watch::Receiver<Vec<Life>> {
        self.0.subscribe()
    }
}

async fn look(broker: &Broker, shards: Shards) -> Result<Vec<Life>, broker::Error> {
    let mut lives = Vec::with_capacity(shards.count().into());
    for shard in shards.all() {
        let info = broker.stream(&shard.stream()).await?;
        lives.push(Life { identity: info.identity, first: info.first_seq });
    }
    Ok(lives)
}

/// Keeps [`Streams`] true: looks after each new connection, and now and then.
pub async fn watch_streams(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut connection = gateway.broker.connection();
    loop {
        // A clock and a signal: either may be cancelled.
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = connection.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if !connection.borrow_and_update().connected {
            gateway.signals.broker_failed("not connected");
            continue;
        }
        match look(&gateway.broker, gateway.shards).await {
            Ok(lives) => {
                gateway.signals.broker_ok();
                gateway.streams.0.send_if_modified(|known| {
                    let anew = known.iter().zip(&lives).any(|(old, new)| old.identity != new.identity);
                    *known = lives;
                    anew
                });
            }
            Err(error) => gateway.signals.broker_failed(&error.to_string()),
        }
    }
}
