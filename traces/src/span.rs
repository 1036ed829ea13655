//! One step of one message: when it began and ended, and what is known of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::{Open, Step, Traceparent};

/// A step under way; of a message that is not followed it is nothing, and every call on it does nothing.
///
/// [`Span::end`] says that it went well. One that is dropped before has failed, on whatever path.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Begun>>);

#[derive(Debug)]
struct Begun {
    open: Arc<Open>,
    since: Moment,
    has_children: bool,
    ended: Ended,
}

/// What is told of a span.
#[derive(Debug)]
pub(crate) struct Ended {
    pub step: Step,
    pub place: Traceparent,
    pub parent: Option<[u8; 8]>,
    pub from_ns: u64,
    pub to_ns: u64,
    pub has_failed: bool,
    pub notes: Vec<(&'static str, Value)>,
}

/// What a span may say: a number, or a word of the program. There is nothing else on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    /// A number that is a name.
    Id(u64),
    Word(&'static str),
}

/// A moment by the wall clock, from which times are measured by one that never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at_ns: u64,
    mark: Instant,
}

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "a span is in nanoseconds, protocol::Timestamp is not")]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { at_ns: ns(since), mark: Instant::now() }
    }

    pub const fn ms(self) -> i64 {
        (self.at_ns / 1_000_000) as i64
    }

    fn now_ns(self) -> u64 {
        self.at_ns.saturating_add(ns(self.mark.elapsed()))
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Span {
    /// That of a message that is not followed.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn begin(open: Arc<Open>, step: Step, (parent, since): (Option<Traceparent>, Moment)) -> Self {
        // Without randomness of the system there is no trace.
        let Some(place) = Traceparent::below(parent) else { return Self::none() };
        let ended = Ended {
            step,
            place,
            parent: parent.map(|parent| parent.span),
            from_ns: since.at_ns,
            to_ns: since.at_ns,
            has_failed: true,
            notes: Vec::new(),
        };
        Self(Some(Box::new(Begun { open, since, has_children: false, ended })))
    }

    /// A step that is part of this one and begins now.
    #[must_use]
    pub fn child(&mut self, step: Step) -> Self {
        let Some(begun) = &mut self.0 else { return Self::none() };
        begun.has_children = true;
        Self::begin(Arc::clone(&begun.open), step, (Some(begun.ended.place), Moment::now()))
    }

    /// Whether steps were taken within this one.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.0.as_ref().is_some_and(|begun| begun.has_children)
    }

    /// Whether the message is followed.
    #[must_use]
    pub const fn is_followed(&self) -> bool {
        self.0.is_some()
    }

    /// What the message is to carry, so that others add to its trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.0.as_ref().map(|begun| begun.ended.place)
    }

    /// Says something of the step.
    pub fn note(&mut self, key: &'static str, value: Value) {
        if let Some(begun) = &mut self.0 {
            begun.ended.notes.push((key, value));
        }
    }

    /// Which event of the log it is about.
    pub fn note_event(&mut self, shard: u16, seq: u64) {
        self.note("messaging.destination.partition.id", Value::Id(shard.into()));
        self.note("backchat.sequence", Value::Number(seq));
    }

    /// The step went well, until now.
    pub fn end(mut self) {
        if let Some(begun) = &mut self.0 {
            begun.ended.has_failed = false;
        }
    }

    /// The step went well, and this event of the log came of it.
    pub fn end_at(mut self, shard: u16, seq: u64) {
        self.note_event(shard, seq);
        self.end();
    }

    /// Nobody is told of it, for want of room.
    pub(crate) fn lose(mut self) {
        if let Some(begun) = self.0.take() {
            begun.open.signals.dropped(1);
        }
    }

    /// Nobody is told of it.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(begun) = self.0.take() else { return };
        let Begun { open, since, mut ended, .. } = *begun;
        ended.to_ns = since.now_ns();
        if open.ended.try_send(ended).is_err() {
            open.signals.dropped(1);
        }
    }
}
