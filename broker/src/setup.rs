//! The set-up step: the only code that creates streams. It runs once for an installation, and running it again
//! changes nothing.

use crate::{Broker, Error, Expect};
use protocol::{
    state::Installation,
    subject::{self, Shards},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How an installation is to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Into how many shards the log is cut: 1 to 256.
    pub shards: u16,
    /// On how many servers each stream is kept: 1, 3 or 5.
    pub replicas: u8,
    /// Whether shards are added to an installation that has fewer.
    pub raise: bool,
}

/// How long a broker is waited for that is there and can't answer yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long the broker remembers ids of stored messages, in seconds.
const DUPLICATES_S: u64 = 120;

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
    let created = broker.api(&format!("STREAM.CREATE.{name}"), config).await?;
    // An older server takes the request and leaves out what it does not know.
    for needed in ["allow_direct", "allow_atomic", "allow_msg_ttl"] {
        if config[needed] == true && created["config"][needed] != true {
            return Err(Error::Setup(format!(
                "the NATS server does not know `{needed}`: 2.12 or newer is needed"
            )));
        }
    }
    Ok(())
}

/// The names of all streams of an installation with so many shards.
pub(crate) fn stream_names(shards: u16) -> Vec<String> {
    let streams = streams(Layout { shards, replicas: 1, raise: false });
    streams.iter().filter_map(|stream| stream["name"].as_str().map(str::to_owned)).collect()
}

fn streams(layout: Layout) -> Vec<Value> {
    let base = |name: &str, subjects: Vec<String>| {
        json!({
            "name": name,
            "subjects": subjects,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": layout.replicas,
            "allow_direct": true,
            "duplicate_window": DUPLICATES_S * 1_000_000_000,
        })
    };
    let mut all = vec![base(subject::INSTALLATION_STREAM, vec![subject::INSTALLATION.into()])];
    for states in subject::REPUBLISHED {
        let mut stream = base(states.stream, vec![states.subjects.into()]);
        stream["republish"] = json!({ "src": states.subjects, "dest": states.live });
        stream["max_msgs_per_subject"] = json!(1);
        if states.irreplaceable {
            // One by one they can be erased: erasing a key erases what it sealed. Whoever writes one anew erases the old one by
            // its sequence, since what the broker merely drops stays on the disk.
            stream["max_msgs_per_subject"] = json!(-1);
            stream["deny_purge"] = json!(true);
            stream["deny_delete"] = json!(false);
        } else {
            stream["discard"] = json!("old");
            stream["allow_msg_ttl"] = json!(true);
        }
        all.push(stream);
    }
    for shard in Shards::at_first(layout.shards).all() {
        let mut stream = base(&shard.stream(), shard.subjects().to_vec());
        stream["allow_atomic"] = json!(true);
        stream["republish"] = json!({ "src": shard.log_all(), "dest": shard.live_all() });
        all.push(stream);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str) -> Value {
        let all = streams(Layout { shards: 1, replicas: 3, raise: false });
        all.into_iter().find(|stream| stream["name"] == name).unwrap()
    }

    #[test]
    fn a_key_is_neither_dropped_nor_purged_nor_ended_by_age() {
        let keys = stream(subject::KEYS_STREAM);
        assert_eq!(keys["discard"], "new");
        assert_eq!(keys["deny_purge"], true);
        assert_eq!(keys["deny_delete"], false, "one key can be erased");
        assert_eq!(keys["allow_msg_ttl"], Value::Null);
        assert_eq!(keys["max_msgs_per_subject"], -1);
        assert_eq!(keys["republish"], json!({ "src": "chat.keys.>", "dest": "chat.keyslive.>" }));
        assert_eq!((&keys["allow_direct"], &keys["num_replicas"]), (&json!(true), &json!(3)));
    }

    #[test]
    fn states_that_can_be_made_anew_may_end_by_age() {
        for name in [subject::PROFILES_STREAM, subject::SESSIONS_STREAM] {
            let states = stream(name);
            assert_eq!((&states["discard"], &states["allow_msg_ttl"]), (&json!("old"), &json!(true)));
            assert_eq!(states["deny_purge"], Value::Null);
        }
    }
}
