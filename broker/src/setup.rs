//! The set-up step: the only code that creates streams. It runs once for an installation, and running it again
//! changes nothing.

use crate::{Broker, Error, Expect, life};
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

/// The names of all streams of an installation with so many shards.
pub fn stream_names(shards: u16) -> Vec<String> {
    let streams = streams(Layout { shards, replicas: 1, raise: false });
    streams.iter().filter_map(|stream| stream["name"].as_str().map(str::to_owned)).collect()
}

/// Where the configuration of a stream is not as the set-up step makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As the server calls it: `max_age`.
    pub field: String,
    /// As JSON, here and below; `null` stands for what the server assumes when nothing is said.
    pub wanted: Value,
    pub found: Value,
}

/// Compares what a stream of an installation with so many shards is with what it was made as. On how many servers it is kept is
/// not compared: that may change.
pub(crate) fn differences_of(stream: &str, shards: u16, found: &Value) -> Vec<Difference> {
    let mut all = streams(Layout { shards, replicas: 1, raise: false }).into_iter();
    let wanted = all.find(|wanted| wanted["name"] == stream);
    let different = wanted.map_or_else(Vec::new, |wanted| differences(&wanted, found));
    different.into_iter().filter(|difference| difference.field != "num_replicas").collect()
}

fn differences(wanted: &Value, found: &Value) -> Vec<Difference> {
    let fields = wanted.as_object().into_iter().flatten();
    let different = fields.filter(|(field, wanted)| !is_same(wanted, &found[field.as_str()]));
    different
        .map(|(field, wanted)| Difference {
            field: field.clone(),
            wanted: wanted.clone(),
            found: found[field.as_str()].clone(),
        })
        .collect()
}

/// The server leaves out what is false or nothing.
fn is_same(wanted: &Value, found: &Value) -> bool {
    wanted == found || (found.is_null() && (wanted == false || wanted == 0))
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
            "max_age": 0,
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
    fn what_a_server_leaves_out_is_no_difference_and_anything_else_is() {
        let mut found = stream("CHAT_0");
        found.as_object_mut().unwrap().remove("max_age");
        found["num_replicas"] = json!(1);
        found["sealed"] = json!(false);
        assert_eq!(differences_of("CHAT_0", 1, &found), []);
        found["discard"] = json!("old");
        found["max_age"] = json!(60);
        let different = differences_of("CHAT_0", 1, &found);
        let fields: Vec<_> = different.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["discard", "max_age"]);
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
