use broker::Credentials;
use service::config::{Settings, Source};
use service::http::HttpLimits;
use service::origin::PublicOrigin;
use std::{net::SocketAddr, time::Duration};

/// The gateway's settings. Each field's meaning is in [`Settings::read`], which also writes the reference.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub operations: SocketAddr,
    pub broker: Credentials,
    pub public_origins: Vec<PublicOrigin>,
    pub auth_upstream: Option<SocketAddr>,
    pub trusted_proxies: Vec<std::net::IpAddr>,
    pub http: HttpLimits,
    pub sockets: SocketLimits,
    pub ring: RingLimits,
    pub head_check: Duration,
    pub history_patience: Duration,
    pub publish_deadline: Duration,
    pub drain: Duration,
}

/// What one socket, and one person through all of theirs, may take.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// Messages a person may send at once.
    pub burst: u32,
    /// Messages a second a person may send for long.
    pub per_second: u32,
    pub ping_every: Duration,
    /// How long a socket may take nothing before it is closed as too slow.
    pub write_stall: Duration,
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
        let ms = |s: &mut Source, name, default: u64, range, doc| {
            Duration::from_millis(s.ranged(name, default, range, doc))
        };
        Self {
            listen: s.value("listen", "127.0.0.1:8080", "Address of pages and sockets"),
            operations: s.value("operations", "127.0.0.1:9080", "Address of /livez, /readyz and /metrics"),
            broker: Credentials::read(s, Self::SERVICE),
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
                "Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
            ),
            http: HttpLimits::read(s),
            sockets: SocketLimits {
                burst: s.ranged("message_burst", 30, 1..=10_000, "Messages that a person may send at once"),
                per_second: s.ranged(
                    "messages_per_second",
                    10,
                    1..=10_000,
                    "Messages a second that a person may send for long",
                ),
                ping_every: ms(
                    s,
                    "ping_interval_ms",
                    15_000,
                    100..=20_000,
                    "How often a quiet socket says something, in milliseconds",
                ),
                write_stall: ms(
                    s,
                    "write_stall_ms",
                    10_000,
                    100..=120_000,
                    "How long a socket may take nothing before it is closed with 4408, in milliseconds",
                ),
            },
            ring: RingLimits {
                events: s.ranged("ring_events", 512, 16..=65_536, "Events of an open room kept in memory"),
                bytes: s.ranged(
                    "ring_bytes",
                    1 << 20,
                    1 << 16..=1 << 28,
                    "Bytes of an open room's events kept in memory",
                ),
            },
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
        }
    }
}
