//! What an operator sees of a gateway: each method writes the log line and moves the counter.

use protocol::{RoomSlug, event::Unreadable, frame::Close, keys::Holder};
use service::{
    health::{DependencyHandle, Health, Need},
    metrics::{Counter, CounterBy, Gauge, Histogram, Registry},
};
use std::time::Duration;

pub struct Signals {
    broker: DependencyHandle,
    sessions: DependencyHandle,
    history: DependencyHandle,
    search: DependencyHandle,
    sockets: Gauge,
    closed: CounterBy,
    shed: Counter,
    pub sent_per_second: Gauge,
    published: CounterBy,
    publish_seconds: Histogram,
    delivered: Counter,
    typing_dropped: Counter,
    gateways_died: Counter,
    holes: Counter,
    repaired: Counter,
    from_log: Counter,
    unreadable: Counter,
    pub unopened: Counter,
    erased: Counter,
    refused: CounterBy,
    handshakes: CounterBy,
    requests: CounterBy,
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        Self {
            broker: health.dependency("broker", Need::Required),
            sessions: health.dependency("session keys and revocations", Need::Required),
            history: health.dependency("history worker", Need::Useful),
            search: health.dependency("search worker", Need::Useful),
            sockets: registry.gauge("sockets", "Open WebSockets"),
            closed: registry.counter_by("sockets_closed", "WebSockets closed by this gateway", "why"),
            shed: registry
                .counter("sockets_shed", "WebSockets sent to other gateways, because they have fewer"),
            sent_per_second: registry.gauge(
                "sent_bytes_per_second",
                "Bytes a second sent to people over the last 15 seconds, for autoscalers that can't work out a rate",
            ),
            published: registry.counter_by("published", "Messages given to the broker", "outcome"),
            publish_seconds: registry
                .seconds("publish_seconds", "From a message's frame to the broker's acknowledgement"),
            delivered: registry.counter("delivered", "Events written to sockets"),
            typing_dropped: registry
                .counter("typing_dropped", "Notices that somebody writes, above what a room is shown"),
            gateways_died: registry
                .counter("gateways_died", "Other gateways that stopped, or said nothing any more"),
            holes: registry.counter("holes", "Holes seen in a room's sequence chain"),
            repaired: registry.counter("repaired", "Events read from the log to repair a hole"),
            from_log: registry.counter("caught_up", "Events read from the log for sockets behind the ring"),
            unreadable: registry.counter("unreadable", "Events of the log that this program can't read"),
            unopened: registry.counter(
                "unopened",
                "Texts that could not be opened: altered, moved, or without their keys. Each is an alarm",
            ),
            erased: registry
                .counter("erased", "People and rooms that were erased while this gateway ran, and before"),
            refused: registry.counter_by("refused", "Frames refused", "code"),
            handshakes: registry.counter_by("handshakes", "WebSocket handshakes", "outcome"),
            requests: registry.counter_by("requests", "HTTP requests", "status"),
        }
    }

    pub fn broker_ok(&self) {
        self.broker.ok();
    }
    pub fn broker_failed(&self, why: &str) {
        self.broker.failed(why);
    }
    pub fn sessions_ok(&self) {
        self.sessions.ok();
    }
    pub fn sessions_failed(&self, why: &str) {
        self.sessions.failed(why);
    }
    pub fn history_ok(&self) {
        self.history.ok();
    }
    pub fn history_failed(&self, why: &str) {
        self.history.failed(why);
    }

    pub fn search_ok(&self) {
        self.search.ok();
    }
    pub fn search_failed(&self, why: &str) {
        self.search.failed(why);
    }

    pub fn socket_opened(&self) {
        self.sockets.inc();
    }
    /// A socket ended; `None`: the peer went away by itself.
    pub fn socket_ended(&self, close: Option<Close>) {
        self.sockets.dec();
        self.closed.inc(match close {
            None => "peer",
            Some(Close::Done) => "done",
            Some(Close::Abuse) => "abuse",
            Some(Close::TooBig) => "too_big",
            Some(Close::Draining) => "draining",
            Some(Close::SessionEnded) => "session_ended",
            Some(Close::NotAMember) => "not_a_member",
            Some(Close::TooSlow) => "too_slow",
            Some(Close::TooMany) => "too_many",
        });
    }

    /// Sockets were sent to other gateways, which have fewer.
    pub fn shed(&self, sockets: usize) {
        self.shed.inc_by(sockets as u64);
    }

    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes.inc(outcome);
    }
    pub fn refused(&self, code: &'static str) {
        self.refused.inc(code);
    }
    pub fn delivered(&self, events: usize) {
        self.delivered.inc_by(events as u64);
    }

    pub fn published(&self, outcome: &'static str, took: Duration) {
        self.published.inc(outcome);
        self.publish_seconds.observe(took.as_secs_f64());
    }

    /// Somebody's writing was not shown, because enough people of the room are shown to write.
    pub fn typing_dropped(&self) {
        self.typing_dropped.inc();
    }
    /// Other gateways have gone, and with them the people who were there.
    pub fn gateways_died(&self, count: usize) {
        self.gateways_died.inc_by(count as u64);
    }

    pub fn hole(&self) {
        self.holes.inc();
    }
    pub fn repaired(&self, events: usize) {
        self.repaired.inc_by(events as u64);
    }
    pub fn caught_up_from_log(&self, events: usize) {
        self.from_log.inc_by(events as u64);
    }
    pub fn unreadable(&self, room: &RoomSlug, seq: u64, why: Unreadable) {
        self.unreadable.inc();
        tracing::warn!(%room, seq, %why, "an event of the log can't be read");
    }

    /// Everything of a person or room was erased.
    pub fn erased(&self, holder: &Holder) {
        self.erased.inc();
        tracing::info!(%holder, "everything of it is forgotten here");
    }

    /// One line for each request, without its query, which may hold a person's text.
    pub fn request(&self, method: &str, path: &str, status: u16, took: Duration) {
        self.requests.inc(match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        });
        tracing::debug!(method, path, status, ms = took.as_millis() as u64, "request");
    }
}
