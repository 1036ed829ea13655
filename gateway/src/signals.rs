//! What an operator sees of a gateway: each method writes the log line and moves the counter.

use crate::socket::Slow;
use keyring::Alarms;
use protocol::{
    RoomSlug, Timestamp,
    event::Unreadable,
    frame::{Close, Refusal},
    keys::Holder,
};
use service::{
    health::{DependencyHandle, Health, Need},
    metrics::{Counter, CounterBy, Gauge, Histogram, Label, Registry, SecondsBy},
};
use std::time::Duration;

const CLOSED: [&str; 9] =
    ["peer", "done", "abuse", "too_big", "draining", "session_ended", "not_a_member", "too_slow", "too_many"];
const PUBLISHED: [&str; 9] = [
    "stored",
    "duplicate",
    "id_reused",
    "no_such_message",
    "not_allowed",
    "too_many_edits",
    "storage_full",
    "unavailable",
    "not_confirmed",
];
const HANDSHAKES: [&str; 11] = [
    "accepted",
    "logged_out",
    "no_room",
    "not_a_member",
    "broker",
    "unknown_shard",
    "full",
    "too_many_of_user",
    "too_many_of_address",
    "bad_cursor",
    "foreign_origin",
];
const PAGES: [&str; 7] = ["home", "room", "history", "search", "auth", "static", "other"];

/// Open files of a gateway beside its sockets, some to spare.
const OTHER_FILES: u64 = 256;

pub struct Signals {
    broker: DependencyHandle,
    sessions: DependencyHandle,
    history: DependencyHandle,
    search: DependencyHandle,
    sockets: SocketSignals,
    news: NewsSignals,
    pages: PageSignals,
    gateways_died: Counter,
    pub alarms: Alarms,
    pub traces: traces::Signals,
    erased: Counter,
}

/// WebSockets, from their handshake to their end.
struct SocketSignals {
    open: Gauge,
    max: Gauge,
    closed: CounterBy,
    shed: Counter,
    sent_per_second: Gauge,
    slow: CounterBy,
    connect_seconds: Histogram,
    handshakes: CounterBy,
    refused: CounterBy,
}

/// Events on their way to the log, and from it to the members.
struct NewsSignals {
    published: CounterBy,
    publish_seconds: Histogram,
    seen_seconds: Histogram,
    delivered: Counter,
    typing_dropped: Counter,
    holes: Counter,
    repaired: Counter,
    heads_behind: Counter,
    heads_checked_at: Gauge,
    from_log: Counter,
    unreadable: Counter,
}

/// What is answered over HTTP, and what a page is made of.
struct PageSignals {
    requests: CounterBy,
    request_seconds: SecondsBy,
    pages: CounterBy,
    searches: CounterBy,
}

/// From where a page of history came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFrom {
    /// Memory of this gateway.
    Ring,
    Worker,
    /// The worker did not answer, or lags too far.
    Log,
}

impl SocketSignals {
    fn new(registry: &Registry) -> Self {
        Self {
            open: registry.gauge("sockets", "Open WebSockets"),
            max: registry.gauge("sockets_max", "Open WebSockets that this gateway takes, by its settings"),
            closed: registry.counter_by(
                "sockets_closed",
                "WebSockets that ended: of themselves (peer), or closed by this gateway",
                Label::of("why", &CLOSED),
            ),
            shed: registry
                .counter("sockets_shed", "WebSockets sent to other gateways, because they have less to do"),
            sent_per_second: registry.gauge(
                "sent_bytes_per_second",
                "Bytes a second sent to people over the last 15 seconds, for autoscalers that can't work out a rate",
            ),
            slow: registry.counter_by(
                "sockets_slow",
                "WebSockets closed as too slow: too much waited for them (full), they took nothing in time (stalled), or gave no sign \
                 of life (silent)",
                Label::of("why", &Slow::CODES),
            ),
            connect_seconds: registry.seconds(
                "connect_seconds",
                "From a room's WebSocket handshake to the word that everything was shown (caught_up)",
            ),
            handshakes: registry.counter_by(
                "handshakes",
                "WebSocket handshakes; unknown_shard: for a room that may be in a shard which was added since this gateway started",
                Label::of("outcome", &HANDSHAKES),
            ),
            refused: registry.counter_by("refused", "Frames refused", Label::of("code", &Refusal::CODES)),
        }
    }
}

impl NewsSignals {
    fn new(registry: &Registry) -> Self {
        Self {
            published: registry.counter_by(
                "published",
                "Messages and changes given to the broker",
                Label::of("outcome", &PUBLISHED),
            ),
            publish_seconds: registry
                .seconds("publish_seconds", "From a message's frame to the broker's acknowledgement"),
            seen_seconds: registry.seconds(
                "seen_seconds",
                "From the broker's store of an event to its writing to all who follow the room here, of the oldest in each piece that is \
                 written at once. It compares the broker's clock with this machine's: when they differ, it is wrong by as much",
            ),
            delivered: registry.counter("delivered", "Events written to sockets"),
            typing_dropped: registry
                .counter("typing_dropped", "Notices that somebody writes, above what a room is shown"),
            holes: registry.counter("holes", "Holes seen in a room's sequence chain"),
            repaired: registry.counter("repaired", "Events read from the log to repair a hole"),
            heads_behind: registry.counter(
                "heads_behind",
                "Times that an open room had to be read from the log, since it ended behind what had been heard live",
            ),
            heads_checked_at: registry.gauge(
                "heads_checked_timestamp_seconds",
                "Up to when all open rooms have been compared with the log and have come to its end: nothing that was stored before is unseen. \
                 At first, when the gateway started",
            ),
            from_log: registry.counter("caught_up", "Events read from the log for sockets behind the ring"),
            unreadable: registry.counter("unreadable", "Events of the log that this program can't read"),
        }
    }
}

impl PageSignals {
    fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.counter_by(
                "requests",
                "HTTP requests",
                Label::of("status", &["1xx", "2xx", "3xx", "4xx", "5xx"]),
            ),
            request_seconds: registry.seconds_by(
                "request_seconds",
                "Time to answer an HTTP request, WebSocket handshakes not included",
                Label::of("page", &PAGES),
            ),
            pages: registry.counter_by(
                "pages",
                "Pages of history that were read, by where they came from; failed: from nowhere",
                Label::of("from", &["ring", "worker", "log", "failed"]),
            ),
            searches: registry.counter_by(
                "searches",
                "Searches that people asked for",
                Label::of("outcome", &["found", "refused", "too_fast", "unavailable", "failed"]),
            ),
        }
    }
}

impl Signals {
    pub fn new(health: &Health, registry: &Registry) -> Self {
        let signals = Self {
            broker: health.dependency("broker", Need::Required),
            sessions: health.dependency("session keys and revocations", Need::Required),
            history: health.dependency("history worker", Need::Useful),
            search: health.dependency("search worker", Need::Useful),
            sockets: SocketSignals::new(registry),
            news: NewsSignals::new(registry),
            pages: PageSignals::new(registry),
            gateways_died: registry
                .counter("gateways_died", "Other gateways that stopped, or said nothing any more"),
            alarms: Alarms::new(registry),
            traces: traces::Signals::new(registry),
            erased: registry
                .counter("erased", "People and rooms that were erased while this gateway ran, and before"),
        };
        // A gateway that can't look at a shard from its start on is to be noticed too; it opened no room before.
        signals.heads_checked(Timestamp::now());
        signals
    }

    pub fn broker_ok(&self) {
        self.broker.ok();
    }
    pub fn broker_failed(&self, why: &str) {
        self.broker.failed(why);
    }
    pub fn broker_lacks(&self, what: &str) {
        self.broker.warning(what);
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

    /// So many sockets are taken, and so many files may be open, each socket among them.
    pub fn sockets_max(&self, max: u32, open_files: Option<u64>) {
        self.sockets.max.set(max.into());
        if let Some(open_files) = open_files.filter(|files| *files < u64::from(max) + OTHER_FILES) {
            tracing::warn!(
                open_files,
                sockets_max = max,
                "fewer files may be open than sockets are taken: connections above are not accepted. Raise the hard limit of open files"
            );
        }
    }
    pub fn socket_opened(&self) {
        self.sockets.open.inc();
    }
    /// A room's socket has been shown everything, so long after it was asked for.
    pub fn connected(&self, took: Duration) {
        self.sockets.connect_seconds.observe(took.as_secs_f64());
    }
    /// A socket ended; `None`: the peer went away by itself. `slow` is why it counted as too slow, if it did.
    pub fn socket_ended(&self, close: Option<Close>, slow: Option<Slow>) {
        self.sockets.open.dec();
        if let (Some(Close::TooSlow), Some(slow)) = (close, slow) {
            self.sockets.slow.inc(slow.code());
        }
        self.sockets.closed.inc(match close {
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

    /// Sockets were sent to other gateways, which have less to do.
    pub fn shed(&self, sockets: usize) {
        self.sockets.shed.inc_by(sockets as u64);
    }
    /// So many bytes a second were sent of late.
    pub fn sent_per_second(&self, bytes: i64) {
        self.sockets.sent_per_second.set(bytes);
    }

    pub fn handshake(&self, outcome: &'static str) {
        self.sockets.handshakes.inc(outcome);
    }
    pub fn refused(&self, code: &'static str) {
        self.sockets.refused.inc(code);
    }
    pub fn delivered(&self, events: usize) {
        self.news.delivered.inc_by(events as u64);
    }

    /// A piece was written to all who follow its room here; its oldest event was stored then.
    pub fn seen(&self, stored_at: Timestamp) {
        let ms = Timestamp::now().as_millis().saturating_sub(stored_at.as_millis());
        let took = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        self.news.seen_seconds.observe(took.as_secs_f64());
    }

    pub fn published(&self, outcome: &'static str, took: Duration) {
        self.news.published.inc(outcome);
        self.news.publish_seconds.observe(took.as_secs_f64());
    }

    /// Somebody's writing was not shown, because enough people of the room are shown to write.
    pub fn typing_dropped(&self) {
        self.news.typing_dropped.inc();
    }
    /// Other gateways have gone, and with them the people who were there.
    pub fn gateways_died(&self, count: usize) {
        self.gateways_died.inc_by(count as u64);
    }

    pub fn hole(&self) {
        self.news.holes.inc();
    }
    pub fn repaired(&self, events: usize) {
        self.news.repaired.inc_by(events as u64);
    }
    /// The log of an open room went on behind what was heard of it live.
    pub fn head_behind(&self) {
        self.news.heads_behind.inc();
    }
    /// All open rooms have come to what the log had at this time.
    pub fn heads_checked(&self, at: Timestamp) {
        self.news.heads_checked_at.set(at.as_millis() / 1_000);
    }
    /// A page of history was read, or could not be.
    pub fn page(&self, from: Option<PageFrom>) {
        self.pages.pages.inc(match from {
            Some(PageFrom::Ring) => "ring",
            Some(PageFrom::Worker) => "worker",
            Some(PageFrom::Log) => "log",
            None => "failed",
        });
    }
    pub fn searched(&self, outcome: &'static str) {
        self.pages.searches.inc(outcome);
    }
    pub fn caught_up_from_log(&self, events: usize) {
        self.news.from_log.inc_by(events as u64);
    }
    pub fn unreadable(&self, room: &RoomSlug, seq: u64, why: Unreadable) {
        self.news.unreadable.inc();
        tracing::warn!(%room, seq, %why, "an event of the log can't be read");
    }

    /// Everything of a person or room was erased.
    pub fn erased(&self, holder: &Holder) {
        self.erased.inc();
        tracing::info!(%holder, "everything of it is forgotten here");
    }

    /// One line for each request, without its query, which may hold a person's text. `route` is the pattern that its path fits.
    pub fn request(&self, (method, path): (&str, &str), route: Option<&str>, status: u16, took: Duration) {
        self.pages.requests.inc(match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        });
        if let Some(page) = page_of(route.unwrap_or_default()) {
            self.pages.request_seconds.observe(page, took.as_secs_f64());
        }
        tracing::debug!(method, path, status, ms = took.as_millis() as u64, "request");
    }
}

/// What kind of page a route is of; `None` for those of sockets.
fn page_of(route: &str) -> Option<&'static str> {
    match route {
        "/" => Some("home"),
        "/room/{slug}/" => Some("room"),
        "/room/{slug}/history/" => Some("history"),
        "/search/" => Some("search"),
        _ if route.starts_with("/auth/") => Some("auth"),
        _ if route.starts_with("/static/") => Some("static"),
        _ if route.starts_with("/chat/") => None,
        _ => Some("other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> (Signals, Registry) {
        let registry = Registry::new("gateway");
        (Signals::new(&Health::new(), &registry), registry)
    }

    #[test]
    fn every_socket_that_was_too_slow_says_why() {
        let (signals, registry) = counting();
        signals.socket_ended(Some(Close::TooSlow), Some(Slow::Silent));
        signals.socket_ended(Some(Close::Draining), None);
        let text = registry.text();
        assert!(text.contains("backchat_gateway_sockets_slow_total{why=\"silent\"} 1"), "{text}");
        assert!(text.contains("backchat_gateway_sockets_closed_total{why=\"draining\"} 1"), "{text}");
    }

    #[test]
    fn a_broker_whose_clock_is_ahead_is_seen_at_once_and_not_before() {
        let (signals, registry) = counting();
        signals.seen(Timestamp::now().plus_seconds(60));
        let text = registry.text();
        assert!(text.contains("backchat_gateway_seen_seconds_sum 0.0\n"), "{text}");
        signals.seen(Timestamp::now().plus_seconds(-2));
        let text = registry.text();
        assert!(text.contains("backchat_gateway_seen_seconds_bucket{le=\"2.5\"} 2"), "{text}");
        assert!(text.contains("backchat_gateway_seen_seconds_bucket{le=\"1.0\"} 1"), "{text}");
    }

    #[test]
    fn requests_are_timed_by_kind_of_page_and_sockets_are_not() {
        let (signals, registry) = counting();
        let took = Duration::from_millis(3);
        signals.request(("GET", "/room/tea_x7qa/"), Some("/room/{slug}/"), 200, took);
        signals.request(("GET", "/chat/tea_x7qa/"), Some("/chat/{slug}/"), 101, took);
        signals.request(("GET", "/nowhere"), None, 404, took);
        let text = registry.text();
        for (page, count) in [("room", 1), ("other", 1), ("home", 0)] {
            let line = format!("backchat_gateway_request_seconds_count{{page=\"{page}\"}} {count}\n");
            assert!(text.contains(&line), "{line} {text}");
        }
    }
}
