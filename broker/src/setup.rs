//! The set-up step: the only code that creates streams. It runs once for an installation. Run again it makes nothing anew that may
//! have held a message: what is lost is to be restored, and an empty stream in its place would hide the loss.

use crate::{
    Broker, Error, Expect,
    installation::{RESTORE, lacks},
    layout::{self, Difference, Layout, differences, streams},
    life,
};
use protocol::{state::Installation, subject};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a broker is waited for that is there and can't answer yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Creates the streams and writes down the layout, or checks that they are there; adds shards and copies if it is to.
///
/// # Errors
/// [`Error::Setup`] when the installation exists with more shards or copies, or with fewer shards and none are to be added: the
/// sentence is the plan. Also when a stream of it is lost, or it is itself: then nothing was created. Any of [`Error`].
pub async fn create(broker: &Broker, layout: Layout) -> Result<Installation, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_to_create(broker, layout).await {
            // The servers of a cluster choose a leader for each new stream; until then nobody answers for it.
            // Nor does one that somebody else sets up at this moment: then what they wrote is looked at.
            Err(error) if (error.is_passing() || error == Error::Conflict) && Instant::now() < deadline => {
                tracing::debug!(%error, "the broker is not ready yet");
                sleep(LOOK_AGAIN).await;
            }
            created => return created,
        }
    }
}

async fn try_to_create(broker: &Broker, layout: Layout) -> Result<Installation, Error> {
    match broker.written_installation().await? {
        None => create_first(broker, layout).await,
        Some((at, found)) => go_on(broker, layout, (at, found)).await,
    }
}

/// A first set-up that was cut short has left streams, and nothing in them: services start when all is written.
async fn create_first(broker: &Broker, layout: Layout) -> Result<Installation, Error> {
    let all = Seen::all_of(broker, streams(layout)).await?;
    if let Some(used) = all.iter().find(|stream| stream.last_seq() > 0) {
        // Its stream may be there and have no leader, or somebody else has just written it.
        return Err(match used.name() {
            subject::INSTALLATION_STREAM => Error::NobodyThere("the installation".into()),
            used => Error::Setup(without_installation(used)),
        });
    }
    for stream in &all {
        stream.make(broker).await?;
    }
    write(broker, 0, &Installation::new(protocol::SessionId::new().0, layout.shards)).await
}

/// Adds to an installation what it is to have more of; all that it had must be there.
async fn go_on(
    broker: &Broker,
    layout: Layout,
    (at, found): (u64, Installation),
) -> Result<Installation, Error> {
    let has = found.shards().count();
    let copies = copies(broker, layout.replicas).await?;
    if has > layout.shards {
        return Err(Error::Setup(format!(
            "this installation has {has} shards, not {}: their number never falls",
            layout.shards
        )));
    }
    if has < layout.shards && !layout.raise {
        return Err(Error::Setup(plan(has, layout.shards, copies)));
    }
    let all = Seen::all_of(broker, streams(Layout { replicas: Some(copies), ..layout })).await?;
    let had = layout::stream_names(has);
    let is_lost = |stream: &&Seen| {
        let name = stream.name();
        stream.found.is_none() && had.iter().any(|had| had == name) && !layout::is_made_anew(name)
    };
    if let Some(lost) = all.iter().find(is_lost) {
        return Err(lacks(lost.name()));
    }
    for stream in &all {
        stream.make(broker).await?;
    }
    // Whoever reads of a shard finds its stream.
    if has == layout.shards {
        return broker.installation().await;
    }
    write(broker, at, &found.raised(layout.shards)).await
}

async fn write(broker: &Broker, at: u64, wanted: &Installation) -> Result<Installation, Error> {
    let payload = serde_json::to_vec(wanted).map_err(|_| Error::Malformed("installation"))?;
    broker.put(subject::INSTALLATION.into(), Expect::LastSequence(at), None, payload).await?;
    broker.installation().await
}

/// On how many servers the streams of an installation are to be kept: as it is itself, if nothing is said.
async fn copies(broker: &Broker, wanted: Option<u8>) -> Result<u8, Error> {
    let info = broker.api(&format!("STREAM.INFO.{}", subject::INSTALLATION_STREAM), &json!({})).await?;
    let has = replicas(&info).ok_or(Error::Malformed("number of replicas"))?;
    match wanted {
        Some(wanted) if wanted < has => Err(Error::Setup(format!(
            "the streams of this installation are kept on {has} servers, not {wanted}: leave `replicas` out, or set it to {has}. To have \
             fewer copies, edit each stream first: nats stream edit {} --replicas={wanted}",
            subject::INSTALLATION_STREAM
        ))),
        wanted => Ok(wanted.unwrap_or(has)),
    }
}

fn replicas(info: &Value) -> Option<u8> {
    info["config"]["num_replicas"].as_u64().and_then(|found| u8::try_from(found).ok())
}

/// What a person is to know and to do before shards are added.
fn plan(has: u16, wanted: u16, copies: u8) -> String {
    let last = wanted - 1;
    format!(
        "this installation has {has} shards, not {wanted}. They can be added while people chat, and never be taken away:\n\
         1. See that services have their rights for the new streams: the NATS servers' configuration names CHAT_{last}, as what \
         `backchat-setup permissions` prints does. Where each database has its range of shards, name one for {has}-{last}.\n\
         2. `backchat-setup raise --shards {wanted}` makes the streams CHAT_{has} to CHAT_{last}, on {copies} server(s) each as the \
         others are. Rooms that are there stay where they are.\n\
         3. Restart gateways, history workers and search workers, one at a time. When the last gateway knows of them, new rooms are \
         spread over all {wanted}."
    )
}

fn without_installation(used: &str) -> String {
    format!(
        "this NATS server holds no backchat installation, but something in its stream {used}: the stream {} is lost, or a restore was cut \
         short. {RESTORE}; nothing was created",
        subject::INSTALLATION_STREAM
    )
}

/// A stream as it is to be, and what the API says of it where it is there.
struct Seen {
    wanted: Value,
    found: Option<Value>,
}

impl Seen {
    async fn all_of(broker: &Broker, streams: Vec<Value>) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for wanted in streams {
            let name = wanted["name"].as_str().ok_or(Error::Malformed("stream name"))?;
            let found = match broker.api(&format!("STREAM.INFO.{name}"), &json!({})).await {
                Ok(found) => Some(found),
                Err(Error::NobodyThere(_)) => None,
                Err(error) => return Err(error),
            };
            all.push(Self { wanted, found });
        }
        Ok(all)
    }

    fn name(&self) -> &str {
        self.wanted["name"].as_str().unwrap_or_default()
    }

    /// 0 where nothing was ever stored.
    fn last_seq(&self) -> u64 {
        self.found.as_ref().and_then(|found| found["state"]["last_seq"].as_u64()).unwrap_or(0)
    }

    /// Creates it where it is not there, and has it kept on as many servers as it is to be.
    async fn make(&self, broker: &Broker) -> Result<(), Error> {
        match &self.found {
            None => create_stream(broker, &self.wanted).await,
            Some(found) => keep_on_more(broker, &self.wanted, found).await,
        }
    }
}

async fn create_stream(broker: &Broker, config: &Value) -> Result<(), Error> {
    let name = config["name"].as_str().ok_or(Error::Malformed("stream name"))?;
    let mut new = config.clone();
    life::begin(&mut new);
    let created = broker.api_order(&format!("STREAM.CREATE.{name}"), &new).await?;
    // An older server takes the request and leaves out what it does not know.
    match differences(config, &created["config"]).first() {
        None => Ok(()),
        Some(Difference { field, .. }) => {
            Err(Error::Setup(format!("the NATS server does not know `{field}`: 2.12 or newer is needed")))
        }
    }
}

/// The servers that are to have it too copy it while it is written and read.
async fn keep_on_more(broker: &Broker, wanted: &Value, info: &Value) -> Result<(), Error> {
    let (has, wanted) = (replicas(info), wanted["num_replicas"].as_u64().and_then(|n| u8::try_from(n).ok()));
    if has >= wanted {
        return Ok(());
    }
    let mut config = info["config"].clone();
    config["num_replicas"] = wanted.into();
    let name = config["name"].as_str().ok_or(Error::Malformed("stream name"))?;
    tracing::info!(stream = name, servers = wanted, "the stream is to be kept on more servers");
    broker.api_order(&format!("STREAM.UPDATE.{name}"), &config).await.map(drop)
}
