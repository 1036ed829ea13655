use broker::Credentials;
use sealing::RootSource;
use service::bucket::Rate;
use service::config::{Settings, Source};
use service::http::HttpLimits;
use service::origin::PublicOrigin;
use service::proxies::Network;
use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

/// The gateway's settings. Each field's meaning is in [`Settings::read`], which also writes the reference.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub operations: SocketAddr,
    pub broker: Credentials,
    pub roots: RootSource,
    pub public_origins: Vec<PublicOrigin>,
    pub auth_upstream: Option<SocketAddr>,
    pub trusted_proxies: Vec<Network>,
    pub http: HttpLimits,
    pub sockets: SocketLimits,
    pub ring: RingLimits,
    pub head_check: Duration,
    pub fan_out: Duration,
    pub history_patience: Duration,
    pub publish_deadline: Duration,
    /// What a person may search.
    pub searches: Rate,
    pub drain: Duration,
    pub traces: traces::Config,
}

/// How many sockets there may be, and what one of them, and one person through all of theirs, may take.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// Open sockets in all.
    pub all: u32,
    pub targets: Targets,
    /// So many a second, at most.
    pub shed_per_second: u32,
    pub per_user: usize,
    /// From one IPv4 address or IPv6 /64.
    pub per_address: usize,
    /// What a person may send.
    pub messages: Rate,
    /// Frames of any kind (messages, pages, pings, refused ones) that are heard from one socket.
    pub frames: Rate,
    pub ping_every: Duration,
    /// Within which time a socket must take what is written to it at once, or be closed as too slow.
    pub write_stall: Duration,
}

/// Above which a gateway sends sockets to others that have less to do. 0: there is no such target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    pub sockets: u32,
    /// To people, in pages and over sockets.
    pub sent_bytes_per_second: u64,
}

impl Targets {
    pub const NONE: Self = Self { sockets: 0, sent_bytes_per_second: 0 };

    fn read(s: &mut Source) -> Self {
        Self {
            sockets: s.ranged(
                "sockets_target",
                0,
                0..=1_000_000,
                "Open sockets above which a gateway sends some to others that have less to do: set it where gateways are added under load. 0: it sends none for that; so behind a balancer that sends people back to where they were",
            ),
            sent_bytes_per_second: s.ranged(
                "sent_bytes_per_second_target",
                0,
                0..=100_000_000_000,
                "The same for bytes a second that are sent to people. 0: it sends none for that",
            ),
        }
    }
}

impl SocketLimits {
    fn read(s: &mut Source) -> Self {
        let messages = Rate {
            burst: s.ranged("message_burst", 30, 1..=10_000, "Messages that a person may send at once"),
            per_second: s.ranged(
                "messages_per_second",
                10,
                1..=10_000,
                "Messages a second that a person may send for long",
            ),
        };
        let frames = Rate {
            burst: s.ranged(
                "frame_burst",
                500,
                10..=1_000_000,
                "Frames of any kind, pings and refused ones among them, that one socket may send at once (never less than twice message_burst)",
            ),
            per_second: s.ranged(
                "frames_per_second",
                100,
                10..=1_000_000,
                "Frames of any kind a second that one socket may send for long; more close it with 1008 (never less than twice messages_per_second)",
            ),
        };
        Self {
            all: s.ranged(
                "sockets_max",
                18_000,
                1..=1_000_000,
                "Open sockets in all; a handshake above is answered 503. Less than http_connections_max leaves room for pages",
            ),
            targets: Targets::read(s),
            shed_per_second: s.ranged(
                "shed_per_second",
                10,
                1..=10_000,
                "Sockets a second that a gateway above a target sends elsewhere, at most",
            ),
            per_user: s.ranged(
                "sockets_per_user",
                50,
                1..=1_000_000,
                "Open sockets of one person; one more is closed with 4429",
            ),
            per_address: s.ranged(
                "sockets_per_address",
                5_000,
                1..=1_000_000,
                "Open sockets from one IPv4 address or IPv6 /64, as the trusted proxies name it; one more is closed with 4429",
            ),
            messages,
            // Whoever may send so many messages must be able to be told that some are refused.
            frames: Rate {
                burst: frames.burst.max(2 * messages.burst),
                per_second: frames.per_second.max(2 * messages.per_second),
            },
            ping_every: ms(
                s,
                "ping_interval_ms",
                15_000,
                100..=20_000,
                "How often a quiet socket says something, in milliseconds; one that gives no sign of life for five such times is closed",
            ),
            write_stall: ms(
                s,
                "write_stall_ms",
                10_000,
                100..=120_000,
                "Within which time a socket must take what is written to it at once (64 KiB of events, or one page), or be closed with 4408, in milliseconds",
            ),
        }
    }
}

fn ms(
    s: &mut Source,
    name: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
    doc: &'static str,
) -> Duration {
    Duration::from_millis(s.ranged(name, default, range, doc))
}

/// How much of a room's end a gateway keeps in memory.
#[derive(Debug, Clone, Copy)]
pub struct RingLimits {
    pub events: usize,
    pub bytes: usize,
}

impl Settings for Config {
    const SERVICE: &'static str = "gateway";

    fn read(s: &mut Source) -> Self {
        Self {
            listen: s.value("listen", "127.0.0.1:8080", "Address of pages and sockets"),
            operations: s.value("operations", "127.0.0.1:9080", "Address of /livez, /readyz and /metrics"),
            broker: Credentials::read(s, Self::SERVICE),
            roots: sealing::read_root_source(s),
            public_origins: s.list(
                "public_origins",
                "",
                "The addresses under which browsers reach the chat, such as https://chat.example. Empty: the Host header must match",
            ),
            auth_upstream: s.optional(
                "auth_upstream",
                "Address of an auth service to which requests under /auth/ are passed on. Unset: something before the gateway does that",
            ),
            trusted_proxies: s.list(
                "trusted_proxies",
                "127.0.0.1,::1",
                "Addresses and networks of the proxies in front, whose word (X-Forwarded-For, X-Forwarded-Proto) is believed",
            ),
            http: HttpLimits::read(s),
            sockets: SocketLimits::read(s),
            ring: RingLimits {
                events: s.ranged("ring_events", 512, 16..=65_536, "Events of an open room kept in memory"),
                bytes: s.ranged(
                    "ring_bytes",
                    1 << 20,
                    1 << 16..=1 << 28,
                    "Bytes of an open room's events kept in memory",
                ),
            },
            fan_out: ms(
                s,
                "fan_out_interval_ms",
                25,
                0..=1_000,
                "In a busy room, how long what comes is gathered before it goes to the members in one write; a quiet room's goes at once",
            ),
            head_check: ms(
                s,
                "head_check_interval_ms",
                3_000,
                100..=60_000,
                "How often open rooms are compared with the log: the longest time for which a lost live message stays unseen",
            ),
            history_patience: ms(
                s,
                "history_patience_ms",
                2_000,
                100..=30_000,
                "How long the history worker is waited for before the log is read instead",
            ),
            searches: Rate {
                burst: s.ranged("search_burst", 20, 1..=10_000, "Searches that a person may ask for at once"),
                per_second: s.ranged(
                    "searches_per_second",
                    2,
                    1..=10_000,
                    "Searches a second that a person may ask for for long",
                ),
            },
            publish_deadline: ms(
                s,
                "publish_deadline_ms",
                15_000,
                1_000..=60_000,
                "How long the broker's acknowledgement of a message is waited and tried for",
            ),
            drain: ms(
                s,
                "drain_ms",
                5_000,
                0..=600_000,
                "Over which time sockets are closed when the gateway stops",
            ),
            traces: traces::Config::read_with_ratio(s),
        }
    }
}
