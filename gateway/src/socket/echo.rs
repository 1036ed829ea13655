//! A server that says back what it hears, over the handshake, the connection and the frames of a room's socket: how these keep
//! to RFC 6455, by raw bytes and by the suite of the Autobahn project (`make autobahn`).

use super::{
    frame,
    outlet::{Heard, Outlet},
    upgrade::Upgrade,
    wire::Format,
};
use crate::config::SocketLimits;
use axum::{Router, response::Response, routing::get};
use protocol::{frame::Close, limits};
use service::{
    bucket::Rate,
    http::{self, HttpLimits},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const NO_LIMIT: Rate = Rate { burst: 10_000_000, per_second: 10_000_000 };
/// The suite's longest message without its cases of megabytes is of 64 KiB.
const SUITE_MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// What the suite is not asked, and why.
const EXCLUDED: [&str; 4] = [
    // Binary messages: the product refuses them by name and does not keep what they carry.
    "1.2.*", // Messages of up to 16 MiB, for speed: the product takes 32 KiB.
    "9.*",   // Compression, which is not offered.
    "12.*", "13.*",
];

/// An echo that closes as a seat does.
async fn serve(mut outlet: Outlet) {
    let close = loop {
        match outlet.hear().await {
            Heard::Text(text) if outlet.show([frame::text(&text)]).await.is_ok() => {}
            Heard::Binary | Heard::Alive => {}
            Heard::Text(_) | Heard::Stalled(_) => break Some(Close::TooSlow),
            Heard::Closed => break None,
            Heard::Broken(Some(close), _) => break Some(close),
            Heard::Broken(None, code) => return outlet.close_with(code, "the frame is not valid").await,
        }
    };
    if let Some(close) = close {
        outlet.close(close).await;
    }
}

/// Starts an echo that takes messages of so many bytes.
async fn echo(message_bytes_max: usize) -> SocketAddr {
    let sockets = SocketLimits {
        all: 1_000,
        per_user: 1_000,
        per_address: 1_000,
        messages: NO_LIMIT,
        frames: NO_LIMIT,
        ping_every: Duration::from_secs(15),
        write_stall: Duration::from_secs(10),
    };
    let open = move |upgrade: Upgrade| async move {
        let answer: Response = upgrade.accept(None, move |duplex| {
            serve(Outlet::that_takes(duplex, Format::Json, &sockets, message_bytes_max))
        });
        answer
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = HttpLimits { read_bytes_per_second: 100_000_000, ..HttpLimits::default() };
    let router = Router::new().route("/", get(open));
    tokio::spawn(http::serve(listener, router, http, CancellationToken::new()));
    address
}

/// A client of bytes.
struct Raw(TcpStream);

impl Raw {
    async fn connect() -> Self {
        let mut stream = TcpStream::connect(echo(limits::FRAME_BYTES_MAX).await).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        Self(stream)
    }

    /// Sends a frame, masked with zeros; the payload is shorter than 126 bytes.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        let frame = [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// All that comes until the server closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(Duration::from_secs(1), self.0.read_to_end(&mut bytes)).await;
        read.expect("the server closes the connection").unwrap();
        bytes
    }

    /// The code of the close frame that comes last.
    async fn closed_with(&mut self) -> u16 {
        let bytes = self.rest().await;
        assert_eq!(bytes.first(), Some(&0x88), "{bytes:?}");
        u16::from_be_bytes([bytes[2], bytes[3]])
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
        let mut client = Raw::connect().await;
        client.send(0x88, &code.to_be_bytes()).await;
        assert_eq!(client.closed_with().await, code);
    }
    let mut client = Raw::connect().await;
    client.send(0x88, b"").await;
    assert_eq!(client.rest().await, [0x88, 0]);
}

#[tokio::test]
async fn a_broken_frame_is_told_however_much_follows_it() {
    let too_big = [0x81, 0xff, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0];
    let [reserved, not_utf8] = [[0xf1, 0x81, 0, 0, 0, 0, b'x'], [0x81, 0x81, 0, 0, 0, 0, 0xff]];
    for (frame, code) in [(&too_big[..], 1009), (&reserved[..], 1002), (&not_utf8[..], 1007)] {
        let mut client = Raw::connect().await;
        client.0.write_all(&[frame, &[b'x'; 200_000]].concat()).await.unwrap();
        assert_eq!(client.closed_with().await, code);
    }
}

/// Runs the suite, whose program is named by `WSTEST`, and leaves its report in the folder `REPORTS`.
#[tokio::test]
#[ignore = "make autobahn runs it"]
async fn the_suite_finds_nothing() {
    let (wstest, reports) = (std::env::var("WSTEST").unwrap(), std::env::var("REPORTS").unwrap());
    let address = echo(SUITE_MESSAGE_BYTES_MAX).await;
    let spec = serde_json::json!({
        "outdir": reports,
        "servers": [{"agent": "gateway", "url": format!("ws://{address}/")}],
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {},
    });
    let file = format!("{reports}/spec.json");
    std::fs::write(&file, spec.to_string()).unwrap();
    let mut suite = tokio::process::Command::new(wstest);
    let suite = suite.args(["--mode", "fuzzingclient", "--spec", &file]).current_dir(&reports);
    assert!(suite.status().await.unwrap().success());
    let index = std::fs::read(format!("{reports}/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let cases = index["gateway"].as_object().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    let mut failed = Vec::new();
    for (case, found) in cases {
        let found = [&found["behavior"], &found["behaviorClose"]].map(|found| found.as_str().unwrap());
        *counts.entry(found[0]).or_insert(0) += 1;
        if !found.iter().all(|found| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(found)) {
            failed.push(format!("{case}: {}, its close {}", found[0], found[1]));
        }
    }
    println!("{} cases: {counts:?}; not asked: {EXCLUDED:?}", cases.len());
    assert!(failed.is_empty() && cases.len() > 200, "{failed:#?}\nThe report: {reports}/index.html");
}
