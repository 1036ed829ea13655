//! A server that says back what it hears, over the handshake, the connection and the frames of a room's socket: how these keep
//! to RFC 6455, by raw bytes and by the suite of the Autobahn project (`make autobahn`).

use super::{
    frame,
    outlet::{Heard, Outlet},
    upgrade::Upgrade,
    wire::Format,
};
use crate::config::{SocketLimits, Targets};
use axum::{Router, routing::get};
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
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the suite is not asked: binary messages, which the product refuses by name without keeping what they carry; messages of
/// up to 16 MiB, of which it takes 32 KiB; compression, which it does not offer.
const EXCLUDED: [&str; 4] = ["1.2.*", "9.*", "12.*", "13.*"];

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
        targets: Targets::NONE,
        shed_per_second: 1,
        per_user: 1_000,
        per_address: 1_000,
        messages: NO_LIMIT,
        frames: NO_LIMIT,
        ping_every: Duration::from_secs(15),
        write_stall: Duration::from_secs(10),
    };
    let open = move |upgrade: Upgrade| async move {
        let (answer, opening) = upgrade.accept(None);
        tokio::spawn(async move {
            if let Some(duplex) = opening.connection().await {
                serve(Outlet::that_takes(duplex, Format::Json, &sockets, message_bytes_max)).await;
            }
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

    /// Sends a frame, masked with zeros.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&frame_of(first, payload)).await.unwrap();
    }

    /// The next frame; its payload is shorter than 64 KiB.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let (first, short) = (self.0.read_u8().await?, self.0.read_u8().await?);
            let length = if short == 126 { self.0.read_u16().await? } else { short.into() };
            let mut payload = vec![0; length.into()];
            self.0.read_exact(&mut payload).await?;
            std::io::Result::Ok((first, payload))
        };
        timeout(PATIENCE, read).await.expect("a frame comes").unwrap()
    }

    /// All that comes until the server closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        read.expect("the server closes the connection").unwrap();
        bytes
    }

    /// The code of the close frame, which comes next and last.
    async fn closed_with(&mut self) -> u16 {
        let bytes = self.rest().await;
        assert_eq!(bytes.first(), Some(&CLOSE), "{bytes:?}");
        u16::from_be_bytes([bytes[2], bytes[3]])
    }
}

fn frame_of(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    [&frame[..], &[0; 4], payload].concat()
}

/// What these frames are closed with, on a connection of their own.
async fn closed_for(frames: &[(u8, &[u8])]) -> u16 {
    let mut client = Raw::connect().await;
    let bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame_of(*first, payload)).collect();
    client.0.write_all(&bytes).await.unwrap();
    client.closed_with().await
}

/// First bytes of frames: whole, or the first, a middle and the last part of a message.
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;
const FIRST: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(closed_for(&[(CLOSE, &code.to_be_bytes())]).await, code);
    }
    let mut client = Raw::connect().await;
    client.send(CLOSE, b"").await;
    assert_eq!(client.rest().await, [CLOSE, 0]);
}

#[tokio::test]
async fn a_close_that_none_may_send_breaks_the_protocol() {
    for code in [0_u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(closed_for(&[(CLOSE, &code.to_be_bytes())]).await, 1002, "{code}");
    }
    assert_eq!(closed_for(&[(CLOSE, b"x")]).await, 1002);
    assert_eq!(closed_for(&[(CLOSE, b"\x03\xe8\xff")]).await, 1007);
}

#[tokio::test]
async fn a_ping_is_answered_between_the_parts_of_a_message() {
    let mut client = Raw::connect().await;
    for (first, payload) in
        [(FIRST, &b"t"[..]), (PING, &[7; 125]), (MIDDLE, b"e"), (MIDDLE, b""), (LAST, b"a")]
    {
        client.send(first, payload).await;
    }
    assert_eq!(client.next().await, (PONG, vec![7; 125]));
    assert_eq!(client.next().await, (TEXT, b"tea".to_vec()));
}

#[tokio::test]
async fn what_is_no_frame_of_a_client_breaks_the_protocol() {
    for opcode in (3..8).chain(11..16) {
        assert_eq!(closed_for(&[(0x80 | opcode, b"x")]).await, 1002, "opcode {opcode}");
    }
    for reserved in [0x10, 0x20, 0x40, 0x70] {
        for first in [TEXT, PING, PONG, CLOSE, FIRST] {
            assert_eq!(closed_for(&[(first | reserved, b"")]).await, 1002, "{first:x} with {reserved:x}");
        }
    }
    for control in [PING, PONG, CLOSE] {
        assert_eq!(closed_for(&[(control, &[b'x'; 126])]).await, 1002, "a long control frame");
        assert_eq!(closed_for(&[(control & 0x0f, b"")]).await, 1002, "a control frame in parts");
    }
    for orphan in [MIDDLE, LAST] {
        assert_eq!(closed_for(&[(orphan, b"x")]).await, 1002);
        assert_eq!(closed_for(&[(FIRST, b"x"), (TEXT, b"x"), (orphan, b"x")]).await, 1002);
    }
    let mut client = Raw::connect().await;
    client.0.write_all(&[TEXT, 1, b'x']).await.unwrap();
    assert_eq!(client.closed_with().await, 1002, "a frame without a mask");
}

/// Sends a text in parts of one byte, and one empty.
async fn in_bytes(text: &[u8]) -> Raw {
    let mut client = Raw::connect().await;
    let parts = text.iter().flat_map(|byte| frame_of(MIDDLE, &[*byte]));
    let bytes: Vec<u8> = frame_of(FIRST, b"").into_iter().chain(parts).chain(frame_of(LAST, b"")).collect();
    client.0.write_all(&bytes).await.unwrap();
    client
}

#[tokio::test]
async fn a_text_is_utf_8_wherever_it_is_cut() {
    for text in ["κόσμε", "\u{7ff}\u{800}\u{ffff}", "\u{10000}\u{10ffff}", "\0", ""] {
        assert_eq!(in_bytes(text.as_bytes()).await.next().await, (TEXT, text.into()), "{text:?}");
    }
    let not_utf_8: [&[u8]; 8] = [
        b"\x80",
        b"a\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1\xbd",
    ];
    for text in not_utf_8 {
        assert_eq!(in_bytes(text).await.closed_with().await, 1007, "{text:?}");
        assert_eq!(closed_for(&[(TEXT, text)]).await, 1007, "{text:?}");
    }
}

#[tokio::test]
async fn a_message_may_be_as_long_as_its_limit_whole_or_in_parts() {
    let longest = [b'x'; limits::FRAME_BYTES_MAX];
    let half = &longest[..longest.len() / 2];
    let mut client = Raw::connect().await;
    for frames in [&[(TEXT, &longest[..])][..], &[(FIRST, half), (LAST, half)]] {
        for (first, payload) in frames {
            client.send(*first, payload).await;
        }
        assert_eq!(client.next().await, (TEXT, longest.to_vec()));
    }
    assert_eq!(closed_for(&[(TEXT, &[b'x'; limits::FRAME_BYTES_MAX + 1])]).await, 1009);
    assert_eq!(closed_for(&[(FIRST, half), (MIDDLE, half), (LAST, b"x")]).await, 1009);
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
