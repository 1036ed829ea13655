//! What services tell each other in passing: never stored, and lost when nobody listens.

use crate::{Broker, Error, connection::ANSWER_MS};
use async_nats::Subscriber;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, time::Duration};
use tokio::time::timeout;

/// Bytes of one such message, at most; longer ones are passed over.
const BYTES_MAX: usize = 256 * 1024;

/// What is told on a subject; dropping it ends it.
pub struct Hearing<T> {
    subscriber: Subscriber,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> Hearing<T> {
    /// The next message of this kind; others are passed over. `None` when the client has shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            let message = self.subscriber.next().await?;
            if message.payload.len() > BYTES_MAX {
                continue;
            }
            match serde_json::from_slice(&message.payload) {
                Ok(told) => return Some(told),
                Err(error) => {
                    tracing::debug!(%error, subject = %message.subject, "not a message of this kind")
                }
            }
        }
    }
}

impl Broker {
    /// Tells whoever listens now.
    ///
    /// # Errors
    /// [`Error::TimedOut`] or [`Error::Refused`] when it could not even be sent; that it was sent says nothing.
    pub async fn tell(&self, subject: String, what: &impl Serialize) -> Result<(), Error> {
        let payload = serde_json::to_vec(what).map_err(|_| Error::Malformed("message"))?;
        let sent =
            timeout(Duration::from_millis(ANSWER_MS), self.client.publish(subject, payload.into())).await;
        sent.map_err(|_| Error::TimedOut)?.map_err(|error| Error::Refused(error.to_string()))
    }

    /// Listens to a subject.
    ///
    /// # Errors
    /// [`Error::Refused`] when the client has shut down.
    pub async fn hear<T: DeserializeOwned>(&self, subject: String) -> Result<Hearing<T>, Error> {
        let subscriber = self.client.subscribe(subject).await;
        let subscriber = subscriber.map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Hearing { subscriber, kind: PhantomData })
    }
}
