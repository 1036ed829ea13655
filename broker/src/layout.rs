//! How the streams of an installation are laid out, and where those that are there differ from it.

use protocol::subject::{self, Shards};
use serde_json::{Value, json};

/// How long the broker remembers ids of stored messages, in seconds.
const DUPLICATES_S: u64 = 120;

/// How an installation is to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Into how many shards the log is cut: 1 to [`Shards::MAX`].
    pub shards: u16,
    /// On how many servers each stream is kept: 1, 3 or 5. By default as those that are there, and on one at first.
    pub replicas: Option<u8>,
    /// Whether shards are added to an installation that has fewer.
    pub raise: bool,
}

/// The names of all streams of an installation with so many shards.
pub fn stream_names(shards: u16) -> Vec<String> {
    let streams = streams(Layout { shards, replicas: None, raise: false });
    streams.iter().filter_map(|stream| stream["name"].as_str().map(str::to_owned)).collect()
}

/// Whether the set-up step makes a stream anew that is lost: what is in it, no backup has and nobody misses. Any other is to be restored.
pub fn is_made_anew(stream: &str) -> bool {
    stream == subject::SESSIONS_STREAM
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
    let mut all = streams(Layout { shards, replicas: None, raise: false }).into_iter();
    let wanted = all.find(|wanted| wanted["name"] == stream);
    let different = wanted.map_or_else(Vec::new, |wanted| differences(&wanted, found));
    different.into_iter().filter(|difference| difference.field != "num_replicas").collect()
}

pub(crate) fn differences(wanted: &Value, found: &Value) -> Vec<Difference> {
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

/// The configuration of every stream.
pub(crate) fn streams(layout: Layout) -> Vec<Value> {
    let base = |name: &str, subjects: Vec<String>| {
        json!({
            "name": name,
            "subjects": subjects,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": layout.replicas.unwrap_or(1),
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
        let all = streams(Layout { shards: 1, replicas: Some(3), raise: false });
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
