//! Reading what is stored: Direct Get, which any replica answers.

use crate::{Broker, Error, again, life};
use async_nats::{HeaderMap, HeaderName, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use protocol::{StreamIdentity, Timestamp, subject::Shard};
use serde_json::json;
use std::time::Duration;
use traces::{Span, Step, Traceparent, Traces};

/// Subjects in one multi-last request, at most: the server's own limit.
pub(crate) const SUBJECTS_MAX: usize = 1_024;
/// A leader that stood still and goes on believes for some tenths of a second that it leads still. What it does not know is
/// asked again after this, in milliseconds.
const CONFIRM_AGAIN_MS: u64 = 2_000;
/// Bytes of one batch of a read, so that no answer grows without bound.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One stored message.
#[derive(Debug, Clone)]
pub struct Record {
    pub subject: String,
    /// Its sequence in the stream.
    pub seq: u64,
    /// When the broker stored it.
    pub at: Timestamp,
    pub payload: Bytes,
    /// Where in a trace it was stored, if it is followed.
    pub trace: Option<Traceparent>,
}

/// An answer of [`Broker::read_after`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// In the order of their sequences.
    pub records: Vec<Record>,
    /// Whether more lie behind the last of them.
    pub more: bool,
    /// Up to which sequence the replica that answered had the stream; 0 when it did not say.
    pub(crate) upto: u64,
}

/// What a stream is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Which life of the stream this is.
    pub identity: StreamIdentity,
    /// The sequence of the first message that it still has; one more than `last_seq` when it has none.
    pub first_seq: u64,
    /// The sequence of its last message, 0 when it never had one.
    pub last_seq: u64,
}

impl StreamInfo {
    /// What the API says of a stream.
    pub(crate) fn of(info: &serde_json::Value) -> Result<Self, Error> {
        let number = |field: &str| info["state"][field].as_u64();
        Ok(Self {
            identity: life::of(info).ok_or(Error::Malformed("creation time"))?,
            first_seq: number("first_seq").ok_or(Error::Malformed("first sequence"))?,
            last_seq: number("last_seq").ok_or(Error::Malformed("last sequence"))?,
        })
    }
}

impl Record {
    pub(crate) fn of(headers: &HeaderMap, payload: Bytes) -> Result<Self, Error> {
        Ok(Self {
            subject: header(headers, "Nats-Subject").ok_or(Error::Malformed("subject"))?.to_owned(),
            seq: number(headers, "Nats-Sequence").ok_or(Error::Malformed("sequence"))?,
            at: header(headers, "Nats-Time-Stamp")
                .and_then(|text| Timestamp::parse(text).ok())
                .ok_or(Error::Malformed("time"))?,
            payload,
            // A name that the client does not know is copied for each look, unless it is given so.
            trace: headers
                .get(HeaderName::from_static(Traceparent::HEADER))
                .and_then(|value| Traceparent::parse(value.as_str())),
        })
    }

    /// A step that is taken with it, if it is followed.
    pub fn step(&self, traces: &Traces, shard: Shard, step: Step) -> Span {
        let mut span = traces.follow(self.trace, self.at.as_millis(), step);
        span.note_event(shard.0, self.seq);
        span
    }
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

pub(crate) fn number(headers: &HeaderMap, name: &'static str) -> Option<u64> {
    header(headers, name)?.parse().ok()
}

enum Answer {
    Record(Record),
    /// The end of a batch, with how many more there are, and up to where the replica knows the stream.
    End {
        pending: u64,
        upto: u64,
    },
    Nothing,
}

fn answer(message: Message) -> Result<Answer, Error> {
    let headers = message.headers.unwrap_or_default();
    match message.status.map(|status| status.as_u16()) {
        None | Some(200) => Record::of(&headers, message.payload).map(Answer::Record),
        Some(204) => Ok(Answer::End {
            pending: number(&headers, "Nats-Num-Pending").unwrap_or(0),
            upto: number(&headers, "Nats-UpTo-Sequence").unwrap_or(0),
        }),
        Some(404) => Ok(Answer::Nothing),
        Some(503) => Err(Error::NobodyThere("the stream".into())),
        Some(code) => Err(Error::Refused(format!("{} ({code})", message.description.unwrap_or_default()))),
    }
}

impl Broker {
    /// The last message on a subject. Who asks while others do is answered with them, by one request.
    ///
    /// # Errors
    /// Any of [`Error`]; a subject without a message is `None`. A replica that lags may answer: where "none" or
    /// "gone" would turn somebody away, ask [`Broker::last_confirmed`].
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Record>, Error> {
        self.lookups.last(self, stream, subject).await
    }

    pub(crate) async fn last_of_one(&self, stream: &str, subject: &str) -> Result<Option<Record>, Error> {
        let message = self.read(&format!("$JS.API.DIRECT.GET.{stream}.{subject}"), Bytes::new()).await?;
        match answer(message)? {
            Answer::Record(record) => Ok(Some(record)),
            Answer::Nothing | Answer::End { .. } => Ok(None),
        }
    }

    /// The last message on a subject as the stream's leader knows it: dearer than [`Broker::last`], never behind.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn last_confirmed(&self, stream: &str, subject: &str) -> Result<Option<Record>, Error> {
        self.get_from_leader(stream, &json!({ "last_by_subj": subject })).await
    }

    /// Like [`Broker::last_confirmed`]; a sequence below `at_least` is believed when it is still so after a moment.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn last_confirmed_at(
        &self,
        stream: &str,
        subject: &str,
        at_least: u64,
    ) -> Result<Option<Record>, Error> {
        let last = self.last_confirmed(stream, subject).await?;
        if last.as_ref().is_some_and(|last| last.seq >= at_least) {
            return Ok(last);
        }
        tokio::time::sleep(Duration::from_millis(CONFIRM_AGAIN_MS)).await;
        self.last_confirmed(stream, subject).await
    }

    /// The first message on a subject behind the sequence `after`, as the stream's leader knows it. That there is none is
    /// believed when it is still so after a moment.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn next_confirmed(
        &self,
        stream: &str,
        subject: &str,
        after: u64,
    ) -> Result<Option<Record>, Error> {
        let next = self.next_known(stream, subject, after).await?;
        if next.is_some() {
            return Ok(next);
        }
        tokio::time::sleep(Duration::from_millis(CONFIRM_AGAIN_MS)).await;
        self.next_known(stream, subject, after).await
    }

    /// The first message on a subject behind the sequence `after`, as the leader knows it now: one that stood still may not know of
    /// the newest.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn next_known(&self, stream: &str, subject: &str, after: u64) -> Result<Option<Record>, Error> {
        let request = json!({ "seq": after.saturating_add(1), "next_by_subj": subject });
        self.get_from_leader(stream, &request).await
    }

    async fn get_from_leader(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<Option<Record>, Error> {
        match self.api(&format!("STREAM.MSG.GET.{stream}"), request).await {
            Ok(answer) => record_of_api(&answer["message"]).map(Some),
            // 10037: no message found.
            Err(Error::Refused(why)) if why.contains("10037") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The message with this sequence, if it is stored still.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn get(&self, stream: &str, seq: u64) -> Result<Option<Record>, Error> {
        let body = json!({ "seq": seq }).to_string();
        match answer(self.read(&format!("$JS.API.DIRECT.GET.{stream}"), body.into()).await?)? {
            Answer::Record(record) => Ok(Some(record)),
            Answer::Nothing | Answer::End { .. } => Ok(None),
        }
    }

    /// The last message of each subject that these names or wildcards match, in the order of sequences.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn last_many(&self, stream: &str, subjects: &[String]) -> Result<Vec<Record>, Error> {
        Ok(self.last_many_upto(stream, subjects).await?.0)
    }

    /// The same, and up to which sequence the replicas that answered had the stream at least: one that lags knows less than the
    /// leader says.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn last_many_upto(
        &self,
        stream: &str,
        subjects: &[String],
    ) -> Result<(Vec<Record>, u64), Error> {
        let (mut all, mut known) = (Vec::new(), u64::MAX);
        for some in subjects.chunks(SUBJECTS_MAX) {
            let request = json!({ "multi_last": some, "batch": SUBJECTS_MAX });
            let Batch { records, upto, .. } = self.read_batch(stream, &request).await?;
            all.extend(records);
            known = known.min(upto);
        }
        Ok((all, known))
    }

    /// Up to `limit` messages of a subject (or wildcard) with a sequence greater than `after`, oldest first.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn read_after(
        &self,
        stream: &str,
        subject: &str,
        after: u64,
        limit: usize,
    ) -> Result<Batch, Error> {
        let request = json!({
            "seq": after.saturating_add(1),
            "next_by_subj": subject,
            "batch": limit,
            "max_bytes": BATCH_BYTES_MAX,
        });
        self.read_batch(stream, &request).await
    }

    /// Up to `limit` messages of a subject (or wildcard) that were stored at or after a moment, oldest first.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn read_since(
        &self,
        stream: &str,
        subject: &str,
        since: Timestamp,
        limit: usize,
    ) -> Result<Batch, Error> {
        let request = json!({
            "start_time": since,
            "next_by_subj": subject,
            "batch": limit,
            "max_bytes": BATCH_BYTES_MAX,
        });
        self.read_batch(stream, &request).await
    }

    async fn read_batch(&self, stream: &str, request: &serde_json::Value) -> Result<Batch, Error> {
        again::when_disconnected(|| self.read_batch_until_answered(stream, request)).await
    }

    async fn read_batch_until_answered(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<Batch, Error> {
        self.connected().await?;
        let read = || self.read_batch_unbounded(stream, request);
        // Both may be cancelled: a read changes nothing.
        tokio::select! {
            batch = again::when_unanswered(again::LARGE, read) => batch,
            () = self.disconnected() => Err(Error::Disconnected),
        }
    }

    async fn read_batch_unbounded(&self, stream: &str, request: &serde_json::Value) -> Result<Batch, Error> {
        let inbox = self.client.new_inbox();
        let refused = |what: &str| Error::Refused(format!("could not {what}"));
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|_| refused("subscribe"))?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let asked = self.client.publish_with_reply(subject, inbox, request.to_string().into()).await;
        asked.map_err(|_| refused("publish"))?;
        let mut records = Vec::new();
        loop {
            // A read that loses one of its answers (a connection that breaks, a full queue) is asked again, or ends by the time-out.
            let message = answers.next().await.ok_or(Error::Disconnected)?;
            match answer(message)? {
                Answer::Record(record) => records.push(record),
                Answer::End { pending, upto } => return Ok(Batch { records, more: pending > 0, upto }),
                Answer::Nothing => return Ok(Batch { records, more: false, upto: 0 }),
            }
        }
    }

    /// What a stream is now.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::NobodyThere`] when there is no such stream.
    pub async fn stream(&self, stream: &str) -> Result<StreamInfo, Error> {
        StreamInfo::of(&self.api(&format!("STREAM.INFO.{stream}"), &json!({})).await?)
    }
}

/// A message as the JetStream API (not Direct Get) gives it: JSON with base64 inside.
fn record_of_api(message: &serde_json::Value) -> Result<Record, Error> {
    let data = message["data"].as_str().unwrap_or_default();
    let payload =
        data_encoding::BASE64.decode(data.as_bytes()).map_err(|_| Error::Malformed("payload"))?.into();
    Ok(Record {
        subject: message["subject"].as_str().ok_or(Error::Malformed("subject"))?.to_owned(),
        seq: message["seq"].as_u64().ok_or(Error::Malformed("sequence"))?,
        at: message["time"]
            .as_str()
            .and_then(|text| Timestamp::parse(text).ok())
            .ok_or(Error::Malformed("time"))?,
        payload,
        // Nothing that is asked of the leader is followed.
        trace: None,
    })
}
