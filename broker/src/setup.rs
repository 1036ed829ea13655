//! The set-up step: the only code that creates streams. It runs once for an installation, and running it again
//! changes nothing.

use crate::{
    Broker, Error, Expect,
    layout::{Difference, Layout, differences, streams},
    life,
};
use protocol::{state::Installation, subject};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a broker is waited for that is there and can't answer yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Creates the streams and writes down the layout, or checks that they are there; adds shards if it is to.
///
/// # Errors
/// [`Error::Setup`] when the installation exists with more shards, or with fewer and none are to be added: the sentence is the plan.
/// Any of [`Error`].
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
    let found = broker.written_installation().await?;
    let has = found.as_ref().map_or(layout.shards, |(_, found)| found.shards().count());
    if has > layout.shards {
        return Err(Error::Setup(format!(
            "this installation has {has} shards, not {}: their number never falls",
            layout.shards
        )));
    }
    if has < layout.shards && !layout.raise {
        return Err(Error::Setup(plan(has, layout.shards)));
    }
    for stream in streams(layout) {
        create_stream(broker, &stream).await?;
    }
    // Whoever reads of a shard finds its stream.
    let (at, wanted) = match found {
        Some(_) if has == layout.shards => return broker.installation().await,
        Some((at, found)) => (at, found.raised(layout.shards)),
        None => (0, Installation::new(protocol::SessionId::new().0, layout.shards)),
    };
    let payload = serde_json::to_vec(&wanted).map_err(|_| Error::Malformed("installation"))?;
    broker.put(subject::INSTALLATION.into(), Expect::LastSequence(at), None, payload).await?;
    broker.installation().await
}

/// What a person is to know and to do before shards are added.
fn plan(has: u16, wanted: u16) -> String {
    let last = wanted - 1;
    format!(
        "this installation has {has} shards, not {wanted}. They can be added while people chat, and never be taken away:\n\
         1. Give the services their rights for the new streams: `backchat-setup permissions --shards {wanted}` prints them for the \
         NATS servers. Where each database has its range of shards, name one for {has}-{last}.\n\
         2. `backchat-setup raise --shards {wanted}` makes the streams CHAT_{has} to CHAT_{last}. Rooms that are there stay where they are.\n\
         3. Restart gateways, history workers and search workers, one at a time. When the last gateway knows of them, new rooms are \
         spread over all {wanted}."
    )
}

async fn create_stream(broker: &Broker, config: &Value) -> Result<(), Error> {
    let name = config["name"].as_str().ok_or(Error::Malformed("stream name"))?;
    match broker.stream(name).await {
        Ok(_) => return Ok(()),
        Err(Error::NobodyThere(_)) => {}
        Err(error) => return Err(error),
    }
    let mut new = config.clone();
    life::begin(&mut new);
    let created = broker.api(&format!("STREAM.CREATE.{name}"), &new).await?;
    // An older server takes the request and leaves out what it does not know.
    match differences(config, &created["config"]).first() {
        None => Ok(()),
        Some(Difference { field, .. }) => {
            Err(Error::Setup(format!("the NATS server does not know `{field}`: 2.12 or newer is needed")))
        }
    }
}
