//! Streams as the broker itself backs them up: its own compressed form, with every sequence, time and header. Only who may do
//! everything at the broker may ask for it.

use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::connection::api_error;
use crate::read::StreamInfo;
use crate::{Broker, Error, life};

/// Bytes of a piece.
const PIECE_BYTES: usize = 128 * 1024;
/// Longest wait for a piece, or for its being taken: the broker reads its whole store before the first.
const PIECE_MAX: Duration = Duration::from_secs(60);
/// Longest wait until a stream is made anew of its pieces, which are checked and indexed then.
const MADE_MAX: Duration = Duration::from_secs(600);

/// How long servers that just started may take to know each other, and the pause between two tries.
const PLACE_MAX: Duration = Duration::from_secs(30);
const PLACE_AGAIN: Duration = Duration::from_millis(250);

/// A stream that is being backed up.
pub struct StreamBackup {
    /// What the broker needs to make it anew.
    pub description: Value,
    pieces: Subscriber,
    broker: Broker,
}

/// A stream that is being made anew.
pub struct StreamRestore {
    place: String,
    broker: Broker,
}

impl Broker {
    /// Begins a backup of a stream as it is now.
    ///
    /// # Errors
    /// [`Error::NobodyThere`] when there is no such stream; any of [`Error`].
    pub async fn back_up(&self, stream: &str) -> Result<StreamBackup, Error> {
        let inbox = self.client.new_inbox();
        let pieces = self.client.subscribe(inbox.clone()).await;
        let pieces = pieces.map_err(|error| Error::Refused(error.to_string()))?;
        let question = json!({ "deliver_subject": inbox, "no_consumers": true, "chunk_size": PIECE_BYTES });
        let answer =
            self.once(format!("$JS.API.STREAM.SNAPSHOT.{stream}"), question.to_string().into()).await?;
        let description = json!({ "config": answer["config"], "state": answer["state"] });
        Ok(StreamBackup { description, pieces, broker: self.clone() })
    }

    /// Begins to make a stream anew that is not there, on so many servers; by default on as many as it was.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is one of its name; any of [`Error`].
    pub async fn restore(&self, description: &Value, replicas: Option<u8>) -> Result<StreamRestore, Error> {
        let name = description["config"]["name"].as_str().ok_or(Error::Malformed("stream name"))?;
        if self.stream(name).await.is_ok() {
            return Err(Error::Refused(format!(
                "there is a stream {name} already, over which none is restored"
            )));
        }
        let mut question = description.clone();
        life::begin(&mut question["config"]);
        if let Some(replicas) = replicas {
            question["config"]["num_replicas"] = replicas.into();
        }
        let answer = self.begin_restore(name, &question).await?;
        let place =
            answer["deliver_subject"].as_str().ok_or(Error::Malformed("place for the pieces"))?.to_owned();
        Ok(StreamRestore { place, broker: self.clone() })
    }

    /// What found no place was not begun, so it may be asked again.
    async fn begin_restore(&self, name: &str, question: &Value) -> Result<Value, Error> {
        let deadline = Instant::now() + PLACE_MAX;
        loop {
            let subject = format!("$JS.API.STREAM.RESTORE.{name}");
            match self.once(subject, question.to_string().into()).await {
                Err(Error::NoPlace(_)) if Instant::now() < deadline => sleep(PLACE_AGAIN).await,
                answer => return answer,
            }
        }
    }

    /// A request of the API that must not be sent twice.
    async fn once(&self, subject: String, body: Bytes) -> Result<Value, Error> {
        let message = self.request(subject, None, body).await?;
        let answer = serde_json::from_slice(&message.payload).map_err(|_| Error::Malformed("JSON"))?;
        api_error(&answer).map_or(Ok(answer), Err)
    }
}

impl StreamBackup {
    /// The next piece; `None` at the end. The broker sends the next ones when this one is taken.
    ///
    /// # Errors
    /// When it does not come in time, or the connection is lost: then the whole backup of the stream is.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        // Both only wait, so either may be cancelled.
        let piece = tokio::select! {
            piece = timeout(PIECE_MAX, self.pieces.next()) => piece.map_err(|_| Error::TimedOut)?,
            () = self.broker.disconnected() => return Err(Error::Disconnected),
        };
        let piece = piece.ok_or(Error::Disconnected)?;
        if piece.payload.is_empty() {
            // The broker says why it stops before the end.
            return match (piece.status.map(|status| status.as_u16()), piece.description) {
                (Some(204 | 200) | None, _) => Ok(None),
                (Some(_), why) => Err(Error::Refused(why.unwrap_or_default())),
            };
        }
        if let Some(reply) = piece.reply {
            let taken = timeout(PIECE_MAX, self.broker.client.publish(reply, Bytes::new())).await;
            taken.map_err(|_| Error::TimedOut)?.map_err(|error| Error::Refused(error.to_string()))?;
        }
        Ok(Some(piece.payload))
    }
}

impl StreamRestore {
    /// Gives the broker the next piece.
    ///
    /// # Errors
    /// Any of [`Error`]: then the stream is not made.
    pub async fn push(&self, piece: Bytes) -> Result<(), Error> {
        let taken = self.give(piece, PIECE_MAX).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let answer: Value = serde_json::from_slice(&taken).map_err(|_| Error::Malformed("JSON"))?;
        api_error(&answer).map_or(Ok(()), Err)
    }

    /// Ends it: the stream is there, and is this.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn finish(self) -> Result<StreamInfo, Error> {
        let answer = self.give(Bytes::new(), MADE_MAX).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| Error::Malformed("JSON"))?;
        match api_error(&answer) {
            Some(error) => Err(error),
            None => StreamInfo::of(&answer),
        }
    }

    async fn give(&self, piece: Bytes, patience: Duration) -> Result<Bytes, Error> {
        let request = async_nats::Request::new().payload(piece).timeout(Some(patience));
        let taken = self.broker.client.send_request(self.place.clone(), request);
        // Both only wait. The broker forgets a stream whose pieces do not come.
        tokio::select! {
            taken = timeout(patience, taken) => Ok(taken.map_err(|_| Error::TimedOut)??.payload),
            () = self.broker.disconnected() => Err(Error::Disconnected),
        }
    }
}
