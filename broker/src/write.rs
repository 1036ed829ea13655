//! Writing: one message, or several that are stored together or not at all.

use crate::{
    Broker, Error, again,
    connection::{ANSWER_LONGEST, api_error},
};
use async_nats::HeaderMap;
use bytes::Bytes;
use protocol::MessageId;
use serde_json::Value;
use tokio::time::timeout;
use traces::Traceparent;

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    /// It had been stored before, at `seq`, under the same id.
    pub duplicate: bool,
}

/// What must be true of a subject for a write to it to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Anything,
    /// The subject's last message has this sequence; 0: the subject is empty.
    LastSequence(u64),
}

/// One message of an atomic batch.
#[derive(Debug, Clone)]
pub struct BatchEntry {
    pub subject: String,
    pub expect: Expect,
    pub payload: Bytes,
    /// Where in a trace it is stored, if it is followed.
    pub trace: Option<Traceparent>,
}

/// Whether the bytes of a message that is taken out are overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overwrite {
    Yes,
    No,
}

impl Expect {
    fn write(self, headers: &mut HeaderMap) {
        if let Self::LastSequence(seq) = self {
            headers.insert("Nats-Expected-Last-Subject-Sequence", seq.to_string());
        }
    }
}

fn follow(headers: &mut HeaderMap, trace: Option<Traceparent>) {
    if let Some(trace) = trace {
        headers.insert(Traceparent::HEADER, trace.to_string());
    }
}

impl Broker {
    /// Stores one message and waits for the broker's word. The same `message_id` within the stream's window of
    /// duplicates is stored once and answered as a duplicate.
    ///
    /// # Errors
    /// Any of [`Error`]. After [`Error::TimedOut`] or [`Error::Disconnected`] the message may be stored or not: send
    /// the same id again.
    pub async fn publish(&self, subject: String, message_id: &str, payload: Bytes) -> Result<Stored, Error> {
        self.publish_followed(subject, message_id, payload, None).await
    }

    /// The same, of a message that tells whoever reads it where in a trace it was stored.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_followed(
        &self,
        subject: String,
        message_id: &str,
        payload: Bytes,
        trace: Option<Traceparent>,
    ) -> Result<Stored, Error> {
        let asked = || {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", message_id);
            follow(&mut headers, trace);
            (subject.clone(), Some(headers), payload.clone())
        };
        self.request_until_answered(asked, |answer| stored(&answer.payload)).await
    }

    /// Stores the value of a subject that keeps its last value only, if its last sequence is as expected. A value that expects
    /// something is sent again when no answer comes: a copy of what was stored is no longer as it expects.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::Conflict`] when the subject has moved on, which may be since the value itself was stored.
    pub async fn put(
        &self,
        subject: String,
        expect: Expect,
        ttl_s: Option<u64>,
        payload: Vec<u8>,
    ) -> Result<Stored, Error> {
        let mut headers = HeaderMap::new();
        expect.write(&mut headers);
        if let Some(ttl_s) = ttl_s {
            headers.insert("Nats-TTL", format!("{ttl_s}s"));
        }
        let payload = Bytes::from(payload);
        self.write([expect], async || {
            let answer = self.request(subject.clone(), Some(headers.clone()), payload.clone()).await?;
            stored(&answer.payload)
        })
        .await
    }

    /// Writes what expects this as soon as somebody is there who decides, and again when no answer comes, if two copies of it can't
    /// both be stored.
    async fn write<R>(
        &self,
        expected: impl IntoIterator<Item = Expect>,
        once: impl Fn() -> R,
    ) -> Result<Stored, Error>
    where
        R: Future<Output = Result<Stored, Error>>,
    {
        let may_repeat = expected.into_iter().any(|expect| expect != Expect::Anything);
        again::when_nobody_is_there(async || {
            if may_repeat { again::when_unanswered(again::SMALL, &once).await } else { once().await }
        })
        .await
    }

    /// Takes a message out of a stream; the broker overwrites it on every replica, for which it writes the whole file anew that has
    /// the message, some megabytes. Gives whether it was there. Doing it twice does no harm.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::Refused`] when the stream does not allow it: then the message is still there.
    pub async fn erase(&self, stream: &str, seq: u64) -> Result<bool, Error> {
        self.take_out(stream, seq, Overwrite::Yes).await
    }

    /// Like [`Broker::erase`], but cheap: the bytes stay in the broker's files until it makes room.
    ///
    /// # Errors
    /// As [`Broker::erase`].
    pub async fn remove(&self, stream: &str, seq: u64) -> Result<bool, Error> {
        self.take_out(stream, seq, Overwrite::No).await
    }

    async fn take_out(&self, stream: &str, seq: u64, overwrite: Overwrite) -> Result<bool, Error> {
        let request = serde_json::json!({ "seq": seq, "no_erase": overwrite == Overwrite::No });
        match self.api_order(&format!("STREAM.MSG.DELETE.{stream}"), &request).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(why)) if is_gone(&why) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores all entries or none, one after the other without another message between, and gives the last one's
    /// place. All subjects must belong to one stream. A batch that expects something is sent again when no answer comes: what was
    /// stored is then no longer as it expects.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::Conflict`] when an expectation fails, which may be since the batch itself was stored. After that, and
    /// after [`Error::TimedOut`], all are stored or none: read the state.
    pub async fn publish_batch(&self, entries: &[BatchEntry]) -> Result<Stored, Error> {
        self.connected().await?;
        let expected = entries.iter().map(|entry| entry.expect);
        self.write(expected, || self.publish_batch_once(entries)).await
    }

    async fn publish_batch_once(&self, entries: &[BatchEntry]) -> Result<Stored, Error> {
        let (batch_id, (last, others)) =
            (MessageId::new().to_string(), entries.split_last().ok_or(Error::Malformed("batch"))?);
        let headers = |place: usize, entry: &BatchEntry| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", batch_id.as_str());
            headers.insert("Nats-Batch-Sequence", (place + 1).to_string());
            entry.expect.write(&mut headers);
            follow(&mut headers, entry.trace);
            headers
        };
        for (place, entry) in others.iter().enumerate() {
            let headers = headers(place, entry);
            let sent =
                self.client.publish_with_headers(entry.subject.clone(), headers, entry.payload.clone());
            let sent = timeout(ANSWER_LONGEST, sent).await.map_err(|_| Error::TimedOut)?;
            sent.map_err(|error| Error::Refused(error.to_string()))?;
        }
        let mut headers = headers(others.len(), last);
        headers.insert("Nats-Batch-Commit", "1");
        let answer = self.answer((last.subject.clone(), Some(headers), last.payload.clone())).await?;
        stored(&answer.payload)
    }
}

/// Whether a refusal to erase says that there is nothing to erase. 10057 alone is any failure, a stream that forbids it too: there
/// the words decide.
fn is_gone(refusal: &str) -> bool {
    ["(10043)", "(10037)", "no message found (10057)", "stream store EOF (10057)"]
        .iter()
        .any(|known| refusal.ends_with(known))
}

fn stored(answer: &[u8]) -> Result<Stored, Error> {
    let answer: Value = serde_json::from_slice(answer).map_err(|_| Error::Malformed("JSON"))?;
    if let Some(error) = api_error(&answer) {
        return Err(error);
    }
    let seq = answer["seq"].as_u64().ok_or(Error::Malformed("sequence"))?;
    Ok(Stored { seq, duplicate: answer["duplicate"].as_bool().unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_to_erase_is_no_proof_that_the_message_is_gone() {
        // The words of nats-server 2.15.1.
        for gone in ["sequence 2 not found (10043)", "no message found (10057)", "stream store EOF (10057)"] {
            assert!(is_gone(gone), "{gone}");
        }
        for refused in ["message delete not permitted (10057)", "stream is offline (10118)", "(1)"] {
            assert!(!is_gone(refused), "{refused}");
        }
    }
}
