//! Questions between services: a request on a subject, answered by one of the queue that serves it.

use crate::{Broker, Error};
use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::time::timeout;

/// What is asked on a subject that this process serves.
pub struct Questions {
    subscriber: Subscriber,
    broker: Broker,
}

/// One question, to be answered once.
pub struct Question {
    pub payload: Bytes,
    reply: async_nats::Subject,
    broker: Broker,
}

impl Broker {
    /// Asks whoever serves the subject.
    ///
    /// # Errors
    /// [`Error::NobodyThere`] at once when nobody serves it, [`Error::TimedOut`] after `patience`.
    pub async fn ask<A: DeserializeOwned>(
        &self,
        subject: String,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<A, Error> {
        let answer = self.ask_for_bytes(subject, question, patience).await?;
        serde_json::from_slice(&answer).map_err(|_| Error::Malformed("answer of this kind"))
    }

    /// The same, for an answer that is not JSON.
    ///
    /// # Errors
    /// As [`Broker::ask`].
    pub async fn ask_for_bytes(
        &self,
        subject: String,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<Bytes, Error> {
        let payload = serde_json::to_vec(question).map_err(|_| Error::Malformed("question"))?;
        let answer = timeout(patience, self.request(subject, None, payload.into())).await;
        Ok(answer.unwrap_or(Err(Error::TimedOut))?.payload)
    }

    /// Serves a subject as one of the queue `queue`: each question reaches one of its members.
    ///
    /// # Errors
    /// [`Error::Refused`] when the client has shut down.
    pub async fn serve(&self, subject: String, queue: &str) -> Result<Questions, Error> {
        let subscriber = self.client.queue_subscribe(subject, queue.to_owned()).await;
        let subscriber = subscriber.map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Questions { subscriber, broker: self.clone() })
    }
}

impl Questions {
    /// The next question; `None` when the client has shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<Question> {
        loop {
            let message = self.subscriber.next().await?;
            if let Some(reply) = message.reply {
                return Some(Question { payload: message.payload, reply, broker: self.broker.clone() });
            }
        }
    }
}

impl Question {
    /// Answers. An asker that is gone or a broken connection loses the answer: askers have time-outs.
    pub async fn answer(self, answer: &impl Serialize) {
        let Ok(payload) = serde_json::to_vec(answer) else { return };
        self.answer_with_bytes(payload.into()).await;
    }

    /// The same, with what is not JSON.
    pub async fn answer_with_bytes(self, payload: Bytes) {
        let sent = self.broker.client.publish(self.reply, payload);
        if !matches!(timeout(Duration::from_secs(5), sent).await, Ok(Ok(()))) {
            tracing::debug!("an answer could not be sent");
        }
    }
}
