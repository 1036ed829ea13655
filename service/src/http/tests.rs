use std::time::Instant;

use axum::extract::Extension;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    signals: HttpSignals,
}

async fn server(limits: HttpLimits) -> Server {
    let router = Router::new()
        .route("/", get(|Extension(peer): Extension<PeerAddr>| async move { peer.0.ip().to_string() }))
        .route("/large", get(|| async { vec![b'x'; 64 * 1024 * 1024] }))
        .route("/count", post(|body: bytes::Bytes| async move { body.len().to_string() }))
        .route("/socket", get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(until_closed) }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "late"
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let signals = limits.signals.clone();
    let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
    Server { address, shutdown, task, signals }
}

async fn until_closed(mut socket: WebSocket) {
    while socket.recv().await.is_some() {}
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_request_is_answered_and_knows_its_peer() {
    let server = server(HttpLimits::default()).await;
    let answer = crate::probe::get(server.address, "/", Duration::from_secs(5)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "127.0.0.1"));
}

#[tokio::test]
async fn headers_that_trickle_in_are_not_waited_for() {
    let header_read_timeout = Duration::from_millis(300);
    let server = server(HttpLimits { header_read_timeout, ..HttpLimits::default() }).await;
    let mut stream = server.connect().await;
    let started = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut closed = Vec::new();
    let trickle = async {
        while writing.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = reading.read_to_end(&mut closed) => {}
        () = trickle => {}
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("the connection is still open"),
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let header_read_timeout = Duration::from_millis(200);
    let server = server(HttpLimits { header_read_timeout, ..HttpLimits::default() }).await;
    let mut silent = server.connect().await;
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_no_second_request_comes() {
    let header_read_timeout = Duration::from_millis(200);
    let server = server(HttpLimits { header_read_timeout, ..HttpLimits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let server = server(HttpLimits { connections_per_address_max: 2, ..HttpLimits::default() }).await;
    let (first, mut second) = (server.connect().await, server.connect().await);
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    second.read_exact(&mut byte).await.unwrap();
    let mut third = server.connect().await;
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(server.signals.refused_per_address(), 1);
    drop(first);
    let get = || crate::probe::get(server.address, "/", Duration::from_secs(1));
    let deadline = Instant::now() + Duration::from_secs(10);
    while get().await.is_err() {
        assert!(Instant::now() < deadline, "the place of a closed connection is free again");
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_let_go() {
    let write_stall_max = Duration::from_millis(300);
    let server = server(HttpLimits { write_stall_max, ..HttpLimits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let taken = rest(&mut stream).await.len();
    assert!(taken < 2 * 1024 * 1024, "{taken} bytes waited in the kernel for a peer that takes nothing");
}

#[tokio::test]
async fn a_peer_that_sends_fast_is_read_at_its_rate_and_loses_nothing() {
    let server = server(HttpLimits { read_bytes_per_second: 100_000, ..HttpLimits::default() }).await;
    let mut stream = server.connect().await;
    let started = Instant::now();
    let head = "POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 300_000]).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("300000"));
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1_500), "300,000 bytes were read in {took:?}");
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_server_does() {
    let server = server(HttpLimits::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    assert!(rest(&mut stream).await.ends_with("late"));
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let server = server(HttpLimits { drain: Duration::from_millis(50), ..HttpLimits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("the server ends").unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

const HANDSHAKE: &[u8] = b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn upgraded(server: &Server) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(HANDSHAKE).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

#[tokio::test]
async fn a_websocket_keeps_its_place_until_it_is_closed() {
    let header_read_timeout = Duration::from_millis(100);
    let limits = HttpLimits { connections_per_address_max: 1, header_read_timeout, ..HttpLimits::default() };
    let server = server(limits).await;
    let socket = upgraded(&server).await;
    let get = || crate::probe::get(server.address, "/", Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(get().await.is_err());
    drop(socket);
    let deadline = Instant::now() + Duration::from_secs(10);
    while get().await.is_err() {
        assert!(Instant::now() < deadline, "the place of a closed socket is free again");
    }
}

#[tokio::test]
async fn an_open_websocket_does_not_hold_the_server_up() {
    let server = server(HttpLimits::default()).await;
    let _socket = upgraded(&server).await;
    server.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(3), server.task).await.expect("the server ends").unwrap();
}
