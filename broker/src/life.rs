//! Which life of a stream this is. A stream that is made anew, or restored from a backup, may lack what the one before had, so that
//! sequences of the two must not be mixed.
//!
//! The time at which the broker made the stream would tell, but the servers of a cluster do not agree on it after a restore: each
//! remembers when it got its own copy, and a change of the leader would look like another stream. So whoever makes a stream writes
//! its life down, in the stream's own metadata, which all copies share.

use protocol::{StreamIdentity, Timestamp};
use serde_json::Value;

/// The field of a stream's metadata: nanoseconds since 1970, as decimal digits.
const FIELD: &str = "backchat_life";

/// Writes a new life into the configuration of a stream that is about to be made.
pub fn begin(config: &mut Value) {
    let now = StreamIdentity(Timestamp::now().as_millis().saturating_mul(1_000_000));
    config["metadata"][FIELD] = now.0.to_string().into();
}

/// The life of a stream, from what the API says of it. One that was made by hand has none, and is known by its creation time.
pub fn of(info: &Value) -> Option<StreamIdentity> {
    let written = info["config"]["metadata"][FIELD].as_str().and_then(|text| text.parse().ok());
    written.or_else(|| info["created"].as_str().and_then(nanoseconds)).map(StreamIdentity)
}

fn nanoseconds(text: &str) -> Option<i64> {
    let whole = Timestamp::parse(text).ok()?.as_millis().div_euclid(1000).checked_mul(1_000_000_000)?;
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).take(9).collect();
    let nanos: i64 = format!("{digits:0<9}").parse().ok()?;
    whole.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_life_that_was_written_down_counts_and_not_when_a_server_got_its_copy() {
        let mut config =
            json!({ "name": "CHAT_0", "metadata": { "_nats.level": "1", "backchat_life": "7" } });
        assert_eq!(of(&json!({ "config": config })), Some(StreamIdentity(7)));
        begin(&mut config);
        let seen_by = |created| of(&json!({ "config": config, "created": created }));
        let life = seen_by("2026-11-27T18:00:00.001Z");
        assert_eq!(life, seen_by("2026-11-27T18:00:00.084Z"));
        assert_eq!(config["metadata"]["_nats.level"], "1");
        assert!(life.unwrap().0 > 7, "what is restored does not keep the life of before");
    }

    #[test]
    fn a_stream_without_one_is_known_by_all_nanoseconds_of_its_creation() {
        let created = |text| of(&json!({ "config": {}, "created": text })).map(|life| life.0);
        assert_eq!(created("1970-01-01T00:00:01.000000002Z"), Some(1_000_000_002));
        assert_eq!(created("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(created("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(created("soon"), None);
    }
}
