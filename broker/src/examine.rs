//! What an operator is told of a broker. It is looked at, and nothing in it is changed.

use crate::layout::{self, Difference};
use crate::{Broker, Credentials, Error, Permissions};
use async_nats::{Event, HeaderMap, ServerError};
use bytes::Bytes;
use protocol::{
    Timestamp,
    subject::{INSTALLATION_STREAM, REPUBLISHED, Shard},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// With this header a message is stored in a stream of that name alone, so that it is stored nowhere.
const EXPECTED_STREAM: (&str, &str) = ("Nats-Expected-Stream", "NONE-SINCE-IT-IS-ONLY-ASKED");
/// Longest wait for the answer to what may not be asked at all.
const RIGHT_MS: u64 = 1_000;

/// The server that a connection is with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub version: String,
    /// Whether it asks who comes.
    pub asks_for_login: bool,
    pub has_jetstream: bool,
}

/// What the streams of an account take, and may take; `None`: as much as the servers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub bytes: u64,
    pub bytes_max: Option<u64>,
}

/// What a stream is beside what is stored in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Where it is not as the set-up step makes it.
    pub differences: Vec<Difference>,
    /// Its whole configuration without these, as JSON.
    pub as_it_should_be: String,
    pub bytes: u64,
    pub bytes_max: Option<u64>,
    /// On how many servers it is to be kept.
    pub replicas: u64,
    /// The server that decides; one that runs alone does not name itself.
    pub leader: Option<String>,
    /// The other servers that have it.
    pub followers: Vec<Replica>,
    /// The broker's clock when it answered.
    pub at: Option<Timestamp>,
}

/// A copy of a stream on a server that follows its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub server: String,
    pub is_current: bool,
    pub is_offline: bool,
    /// What it has not got yet, in entries.
    pub lag: u64,
}

impl Broker {
    /// The server at the other end.
    pub fn server(&self) -> Server {
        let info = self.client.server_info();
        Server {
            name: info.server_name,
            version: info.version,
            asks_for_login: info.auth_required,
            has_jetstream: info.jetstream,
        }
    }

    /// What the streams of this account take.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::TimedOut`] for a user who may not ask.
    pub async fn account(&self) -> Result<Account, Error> {
        let info = self.api("INFO", &json!({})).await?;
        let bytes = info["storage"].as_u64().ok_or(Error::Malformed("storage"))?;
        Ok(Account { bytes, bytes_max: limit(&info["limits"]["max_storage"]) })
    }

    /// What a stream of an installation with so many shards is.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::NobodyThere`] when there is no such stream.
    pub async fn report(&self, stream: &str, shards: u16) -> Result<StreamReport, Error> {
        let info = self.api(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
        let (config, cluster) = (&info["config"], &info["cluster"]);
        let replicas = cluster["replicas"].as_array();
        let differences = layout::differences_of(stream, shards, config);
        let mut as_it_should_be = config.clone();
        for Difference { field, wanted, .. } in &differences {
            as_it_should_be[field] = wanted.clone();
        }
        Ok(StreamReport {
            differences,
            as_it_should_be: as_it_should_be.to_string(),
            bytes: info["state"]["bytes"].as_u64().ok_or(Error::Malformed("bytes"))?,
            bytes_max: limit(&config["max_bytes"]),
            replicas: config["num_replicas"].as_u64().unwrap_or(1),
            leader: cluster["leader"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
            followers: replicas.into_iter().flatten().map(Replica::of).collect(),
            at: info["ts"].as_str().and_then(|text| Timestamp::parse(text).ok()),
        })
    }
}

impl Replica {
    fn of(replica: &Value) -> Self {
        Self {
            server: replica["name"].as_str().unwrap_or("?").to_owned(),
            is_current: replica["current"] == true,
            is_offline: replica["offline"] == true,
            lag: replica["lag"].as_u64().unwrap_or(0),
        }
    }
}

/// Limits below 1 are none.
fn limit(value: &Value) -> Option<u64> {
    value.as_u64().filter(|limit| *limit > 0)
}

/// Which rights of its work a service's user does not have at the broker, as sentences. It hears each of the service's subjects
/// for a moment, and offers each stream that the service writes a message which the stream is told not to store. What services say
/// to each other without a stream is not tried: somebody would hear it.
///
/// # Errors
/// Any of [`Error`] when the broker can't be asked.
pub async fn refused_rights(credentials: &Credentials, of: &Permissions) -> Result<Vec<String>, Error> {
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&refusals);
    let broker = Broker::connect_and_hear(credentials, move |event| {
        if let Event::ServerError(ServerError::Other(why)) = event {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(why.clone());
        }
    });
    let broker = broker.await?;
    let mut subscriptions = Vec::new();
    for subject in of.subscribe.iter().filter(|subject| !subject.starts_with("_INBOX")) {
        let subscribed = broker.client.subscribe(subject.clone()).await;
        subscriptions.push(subscribed.map_err(|error| Error::Refused(error.to_string()))?);
    }
    let mut refused = Vec::new();
    // The broker has heard of the subscriptions when it answers what was asked after them.
    if broker.stream(INSTALLATION_STREAM).await.is_err() {
        refused.push(format!("ask for $JS.API.STREAM.INFO.{INSTALLATION_STREAM}"));
    }
    for subject in of.publish.iter().filter_map(|right| an_address_of(right)) {
        if !broker.may_publish(&subject).await {
            refused.push(format!("publish on {subject}"));
        }
    }
    let refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
    let named = |subject: &String| refusals.iter().any(|why| why.contains(&format!("\"{subject}\"")));
    refused.extend(
        of.subscribe.iter().filter(|subject| named(subject)).map(|subject| format!("hear {subject}")),
    );
    Ok(refused)
}

/// An address that a right to publish is for, which a stream has and nobody uses.
fn an_address_of(right: &str) -> Option<String> {
    let shard = Shard(0);
    let of_shards = shard.subjects();
    let of_states = REPUBLISHED.map(|states| states.subjects.to_owned());
    let subjects = of_shards.iter().chain(&of_states);
    let all = right.strip_suffix('>')?;
    let found =
        subjects.filter_map(|subject| subject.strip_suffix('>')).find(|subject| subject.starts_with(all));
    found.map(|subject| format!("{subject}nobody"))
}

impl Broker {
    /// Whether a stream hears what is published there: it answers that it does not store it.
    async fn may_publish(&self, subject: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_STREAM.0, EXPECTED_STREAM.1);
        let asked = self.request(subject.to_owned(), Some(headers), Bytes::new());
        matches!(timeout(Duration::from_millis(RIGHT_MS), asked).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_to_write_to_a_stream_is_tried_where_nobody_is() {
        let all = Permissions::of_all();
        let tried = |name: &str| -> Vec<String> {
            let of = all.iter().find(|of| of.name == name).unwrap();
            of.publish.iter().filter_map(|right| an_address_of(right)).collect()
        };
        let log = ["log", "member", "room", "message"].map(|kind| format!("chat.{kind}.0.nobody"));
        assert_eq!(tried("gateway"), log);
        let states = ["chat.profile.nobody", "chat.session.nobody", "chat.keys.nobody"];
        assert_eq!(tried("auth-service"), states);
        assert!(tried("history-worker").is_empty() && tried("search-worker").is_empty());
    }
}
