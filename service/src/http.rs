//! The HTTP accept loop. It is our own because a server on the open network needs limits: on the time to send a request's
//! headers, on connections in all and per address, on how fast a peer is read, on how long it may take nothing of what is sent
//! to it, and on how much of that waits for it in the kernel.
//!
//! The size of bodies and the time for a whole request are the business of the router that is served.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::bucket::Rate;
use crate::config::Source;
use crate::connection::{Connection, Full, Place, Places};
use crate::metrics::{Counter, CounterBy, Gauge, Label, Registry};

/// The peer's address, as an extension of each request. Behind a proxy it is the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// After an accept failed for want of file handles, nothing is accepted for this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that wait in the kernel for a peer to take them (Linux takes the double, for its own records beside them). Its own
/// choice grows to 4 MiB: memory of the machine that no measure of this process shows, and minutes of messages before anybody
/// notices that a peer does not read. This much still gives a peer 500 KiB a second over a round trip of a quarter of a second.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// The limits of one listener.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Open connections in all, upgraded ones (WebSockets) included.
    pub connections_max: usize,
    /// Open connections from one IPv4 address or IPv6 /64.
    pub connections_per_address_max: usize,
    /// Time for a request's headers, counted from the connection's start or the previous answer; so also how long an idle
    /// connection is kept.
    pub header_read_timeout: Duration,
    /// Bytes a second that are read from one connection for long, and at once after a quiet second. What comes faster waits in
    /// the network.
    pub read_bytes_per_second: u32,
    /// How long a peer may take nothing of what is written to it.
    pub write_stall_max: Duration,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
    /// What is counted.
    pub signals: HttpSignals,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 5_000,
            header_read_timeout: Duration::from_secs(10),
            read_bytes_per_second: 1024 * 1024,
            write_stall_max: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            signals: HttpSignals::default(),
        }
    }
}

impl HttpLimits {
    /// Reads the limits that an operator may change.
    pub fn read(source: &mut Source) -> Self {
        const MS: RangeInclusive<u64> = 100..=600_000;
        let usual = Self::default();
        let connections = 1..=1_000_000;
        Self {
            connections_max: source.ranged(
                "http_connections_max",
                usual.connections_max,
                connections.clone(),
                "Open connections in all, WebSockets included",
            ),
            connections_per_address_max: source.ranged(
                "http_connections_per_address_max",
                usual.connections_per_address_max,
                connections,
                "Open connections from one IPv4 address or IPv6 /64; raise it behind a proxy, which is one address",
            ),
            header_read_timeout: Duration::from_millis(source.ranged(
                "http_header_read_timeout_ms",
                10_000,
                MS,
                "Time for a request's headers, and how long an idle connection is kept, in milliseconds",
            )),
            read_bytes_per_second: source.ranged(
                "http_read_bytes_per_second",
                usual.read_bytes_per_second,
                65_536..=1_000_000_000,
                "Bytes a second that are read from one connection for long, each read counting 256 more; what comes faster waits",
            ),
            ..usual
        }
    }

    /// The same limits, counting in `registry`.
    #[must_use]
    pub fn counted_in(mut self, registry: &Registry) -> Self {
        self.signals = HttpSignals::new(registry);
        self
    }
}

/// What an accept loop counts: open connections, those closed at once for want of a place, and what is sent.
#[derive(Debug, Clone)]
pub struct HttpSignals {
    /// Bytes that peers were sent.
    pub sent: Counter,
    open: Gauge,
    refused: CounterBy,
}

impl Default for HttpSignals {
    fn default() -> Self {
        Self::new(&Registry::new("unwatched"))
    }
}

impl HttpSignals {
    fn new(registry: &Registry) -> Self {
        Self {
            sent: registry.counter(
                "sent_bytes",
                "Bytes sent to people: pages and frames of WebSockets, without what TLS and TCP add",
            ),
            open: registry
                .gauge("http_connections", "Open connections that speak HTTP, WebSockets not included"),
            refused: registry.counter_by(
                "http_refused",
                "Connections closed at once for want of a place",
                Label::of("limit", &["connections", "connections_per_address"]),
            ),
        }
    }

    fn refused(&self, full: Full, peer: SocketAddr) {
        let limit = match full {
            Full::Total => "connections",
            Full::Address => "connections_per_address",
        };
        self.refused.inc(limit);
        tracing::debug!(%peer, limit, "connection refused");
    }

    /// How many connections were refused because their address had too many.
    #[must_use]
    pub fn refused_per_address(&self) -> u64 {
        self.refused.get("connections_per_address")
    }
}

/// Serves `router` on `listener` until `shutdown`: then nothing is accepted any more, requests in flight have
/// `limits.drain` to end, and the rest is cut. Upgraded connections belong to whoever upgraded them.
pub async fn serve(listener: TcpListener, router: Router, limits: HttpLimits, shutdown: CancellationToken) {
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        // All three are cancel-safe: an accept that is dropped leaves its connection in the listener's queue.
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        match places.take(peer.ip(), limits.connections_max, limits.connections_per_address_max) {
            Ok(place) => {
                let connection = accept(stream, place, &limits);
                let serving =
                    serve_connection(connection, peer, router.clone(), limits.clone(), shutdown.clone());
                connections.spawn(serving);
            }
            Err(full) => limits.signals.refused(full, peer),
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(limits.drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::info!(connections = connections.len(), "cut connections that did not end in time");
    }
}

/// A peer that went away while it waited is nothing; running out of file handles needs a pause and a person.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "can't accept connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn accept(stream: TcpStream, place: Place, limits: &HttpLimits) -> Connection {
    // Frames are small and each is wanted at once; where the option can't be set they are merely later.
    let _ = stream.set_nodelay(true);
    // Where it can't be set, a slow peer is merely noticed later.
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
    let read_rate = Rate { burst: limits.read_bytes_per_second, per_second: limits.read_bytes_per_second };
    Connection::new(stream, place, read_rate, limits.write_stall_max, limits.signals.sent.clone())
}

async fn serve_connection(
    connection: Connection,
    peer: SocketAddr,
    router: Router,
    limits: HttpLimits,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        answer(router.clone(), request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    tokio::pin!(serving);
    limits.signals.open.inc();
    // The connection is polled again after the shutdown was seen, so that nothing it has begun is lost.
    let served = tokio::select! {
        served = &mut serving => served,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    limits.signals.open.dec();
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
) -> Result<Response<axum::body::Body>, std::convert::Infallible> {
    router.oneshot(request).await
}

#[cfg(test)]
mod tests;
