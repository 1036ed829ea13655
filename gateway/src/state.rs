use crate::{
    Config, Error,
    crowd::Crowd,
    directory::Directory,
    guests::Guests,
    heads::Heads,
    presence::gateways::{Gateways, Load},
    profiles::Profiles,
    rate::Rates,
    room::Rooms,
    sessions::Sessions,
    signals::Signals,
    streams::Streams,
    throughput::Throughput,
};
use broker::Broker;
use keyring::Keyring;
use protocol::{
    RoomSlug,
    subject::{Shard, Shards},
};
use std::{sync::Arc, time::Duration};
use traces::Traces;

/// Everything that requests and sockets share. It holds nothing that matters: all of it can be read from the broker again.
pub struct Gateway {
    pub config: Config,
    pub broker: Broker,
    pub shards: Shards,
    pub streams: Streams,
    pub directory: Directory,
    pub keyring: Arc<Keyring>,
    pub profiles: Profiles,
    pub sessions: Sessions,
    pub rooms: Rooms,
    /// News of rooms for those who look at a list.
    pub heads: Arc<Heads>,
    /// Which gateways live, this one among them.
    pub gateways: Gateways,
    pub rates: Rates,
    /// How fast a person may search.
    pub searches: Rates,
    pub signals: Signals,
    pub traces: Traces,
    /// Sockets, waited for at the end.
    pub guests: Guests,
    pub throughput: Throughput,
    pub crowd: Crowd,
}

impl Gateway {
    /// Reads from the broker what a gateway must know before it serves anybody.
    pub async fn start(
        config: Config,
        broker: Broker,
        (signals, traces): (Signals, Traces),
    ) -> Result<Arc<Self>, Error> {
        let installation = broker.installation().await.map_err(start_fault)?;
        let shards = installation.shards();
        let profiles = Profiles::start(&broker).await?;
        let keyring = Arc::new(Keyring::start(&broker, &config.roots, signals.alarms.clone()).await?);
        Ok(Arc::new(Self {
            streams: Streams::start(&broker, shards).await?,
            directory: Directory::new(broker.clone(), Arc::clone(&keyring), shards),
            keyring,
            sessions: Sessions::new(),
            rooms: Rooms::default(),
            heads: Arc::default(),
            gateways: Gateways::new(),
            rates: Rates::new(config.sockets.messages),
            searches: Rates::new(config.searches),
            guests: Guests::new(),
            throughput: Throughput::default(),
            crowd: Crowd::default(),
            shards,
            profiles,
            broker,
            config,
            signals,
            traces,
        }))
    }

    /// Over how long sockets are closed when this gateway stops: half of the grace period for many, so that they do not come to
    /// another gateway in the same instant.
    pub fn drain_spread(&self) -> Duration {
        (self.config.drain / 2).min(Duration::from_millis(2) * self.guests.count())
    }

    /// How much this gateway has to do. `None`: it stops.
    pub fn load(&self) -> Option<Load> {
        let sockets = self.sessions.sockets()?;
        Some(Load { sockets, sent_bytes_per_second: self.throughput.of(sockets) })
    }

    /// The shard of a room.
    ///
    /// # Errors
    /// [`Error::UnknownShard`].
    pub fn shard(&self, room: &RoomSlug) -> Result<Shard, Error> {
        self.shards.of(room).ok_or(Error::UnknownShard)
    }
}

fn start_fault(error: broker::Error) -> Error {
    match error {
        broker::Error::Setup(why) => Error::Start(why),
        other => other.into(),
    }
}
