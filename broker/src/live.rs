//! Hearing what is being stored: the streams' RePublish. At most once; whoever needs all repairs holes.

use crate::{
    Broker, Error, Record,
    read::{header, number},
};
use async_nats::Subscriber;
use futures_util::StreamExt;

/// A stored message as it is republished.
#[derive(Debug, Clone)]
pub struct LiveRecord {
    pub record: Record,
    /// The sequence of the message before it on the same subject (`Nats-Last-Sequence`), 0 for none.
    pub prev: u64,
}

/// A subscription; dropping it ends it.
pub struct Subscription(Subscriber);

impl Subscription {
    /// The next message. What was not republished by the stream (somebody wrote to the live subject by hand) is
    /// passed over. `None` when the client has shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<LiveRecord> {
        loop {
            let message = self.0.next().await?;
            let Some(headers) = message.headers.as_ref() else { continue };
            let prev = number(headers, "Nats-Last-Sequence").unwrap_or(0);
            if header(headers, "Nats-Stream").is_none() {
                continue;
            }
            match Record::of(headers, message.payload) {
                Ok(record) => return Some(LiveRecord { record, prev }),
                Err(error) => tracing::warn!(%error, subject = %message.subject, "not a republished message"),
            }
        }
    }
}

impl Broker {
    /// Subscribes to a subject on which a stream republishes.
    ///
    /// # Errors
    /// [`Error::Refused`] when the client has shut down.
    pub async fn subscribe(&self, subject: String) -> Result<Subscription, Error> {
        let subscriber = self.client.subscribe(subject).await;
        subscriber.map(Subscription).map_err(|error| Error::Refused(error.to_string()))
    }
}
