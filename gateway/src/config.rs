use broker::Credentials;
use service::config::{Secret, Settings, Source};
use service::http::HttpLimits;
use std::{net::SocketAddr, time::Duration};

/// The gateway's settings. Each field's meaning is in [`Settings::read`], which also writes the reference.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub operations: SocketAddr,
    pub nats_url: String,
    pub nats_user: Option<String>,
    pub nats_password: Secret,
    pub public_origins: Vec<Origin>,
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

/// An origin as browsers write it: `https://chat.example`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl std::str::FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match host {
            Some(host) if !host.is_empty() && !host.contains('/') => {
                Ok(Self(without_default_port(&text).to_owned()))
            }
            _ => Err("an origin looks like https://chat.example or http://localhost:8080"),
        }
    }
}

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Browsers leave a scheme's own port out of an origin.
fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https://") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

impl Config {
    pub fn broker(&self) -> Credentials {
        Credentials {
            url: self.nats_url.clone(),
            user: self.nats_user.clone(),
            password: (!self.nats_password.is_empty()).then(|| self.nats_password.expose().to_owned()),
            name: "gateway".into(),
        }
    }
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
            nats_url: s.value(
                "nats_url",
                "nats://127.0.0.1:4222",
                "The NATS servers, with commas between several",
            ),
            nats_user: s.optional("nats_user", "User at the NATS server"),
            nats_password: s.secret("nats_password", "Password at the NATS server"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        let origin = |text: &str| text.parse::<Origin>().map(|o| o.0);
        assert_eq!(origin("https://Chat.test:8443/"), Ok("https://chat.test:8443".into()));
        assert_eq!(origin("https://chat.test:443"), Ok("https://chat.test".into()));
        assert_eq!(origin("http://chat.test:80"), Ok("http://chat.test".into()));
        assert!(origin("chat.test").is_err());
        assert!(origin("https://chat.test/room").is_err());
    }
}
