//! Which life of each shard's stream is the present one, and how far back its log reaches.

use crate::{Error, state::Gateway};
use broker::Broker;
use futures_util::{StreamExt, stream};
use protocol::{
    StreamIdentity,
    subject::{Shard, Shards},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the streams are looked at when nothing else gives a reason.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The pause before the next look when one failed: its answer was waited for already.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Streams that are looked at together.
const LOOKS_MAX: usize = 16;

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
        Ok(Self(watch::Sender::new(look_at_all(broker, shards).await?)))
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

    /// Takes what was found; of a shard that could not be looked at, what was known before is kept.
    fn learn(&self, found: Vec<Result<Life, broker::Error>>) {
        self.0.send_if_modified(|known| {
            let mut is_anew = false;
            for (known, found) in known.iter_mut().zip(found) {
                if let Ok(found) = found {
                    is_anew |= known.identity != found.identity;
                    *known = found;
                }
            }
            is_anew
        });
    }
}

/// # Errors
/// That of the first shard whose stream can't be looked at.
async fn look_at_all(broker: &Broker, shards: Shards) -> Result<Vec<Life>, broker::Error> {
    looks(broker, shards).await.into_iter().collect()
}

/// Each shard's stream, as it is found.
async fn looks(broker: &Broker, shards: Shards) -> Vec<Result<Life, broker::Error>> {
    let look = |shard: Shard| async move {
        let info = broker.stream(&shard.stream()).await?;
        Ok(Life { identity: info.identity, first: info.first_seq })
    };
    stream::iter(shards.all()).map(look).buffered(LOOKS_MAX).collect().await
}

/// Keeps [`Streams`] true: looks after each new connection, and now and then.
pub async fn watch_streams(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut connection = gateway.broker.connection();
    let mut pause = LOOK_EVERY;
    loop {
        // A clock and a signal: either may be cancelled.
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = connection.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
        if !connection.borrow_and_update().connected {
            gateway.signals.broker_failed("not connected");
            continue;
        }
        let found = looks(&gateway.broker, gateway.shards).await;
        pause = if found.iter().all(Result::is_ok) { LOOK_EVERY } else { LOOK_AGAIN };
        tell(&gateway, &found);
        gateway.streams.learn(found);
    }
}

/// A gateway that hears nothing of any shard is of no use to anybody; one that lacks some of them is as good as every other gateway,
/// and all of them are needed for the rest.
fn tell(gateway: &Gateway, found: &[Result<Life, broker::Error>]) {
    let failed: Vec<_> = found.iter().filter_map(|life| life.as_ref().err()).collect();
    match failed.first() {
        None => gateway.signals.broker_ok(),
        Some(why) if failed.len() == found.len() => gateway.signals.broker_failed(&why.to_string()),
        Some(why) => {
            let of = found.len();
            gateway
                .signals
                .broker_lacks(&format!("{} of {of} shards can't be looked at: {why}", failed.len()));
        }
    }
}
