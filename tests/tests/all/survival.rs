//! What must survive: kills, and requests that make no sense.

use std::time::Duration;
use tests::backchat::shared;
use tests::kill_test::{Plan, run};
use tests::person::Person;
use tests::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn two_thousand_messages_survive_ten_kills() {
    let plan = Plan { seed: Random::any_seed(), messages: 2_000, kills: 5 };
    let outcome = Box::pin(run(plan, |line| println!("{line}"))).await;
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.verdict.acknowledged > 1_000, "{outcome}");
    assert!(
        outcome.opened.iter().all(|opened| *opened > plan.kills),
        "each kill broke both sockets: {outcome}"
    );
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_the_server_goes_on() {
    let address = shared().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
        b"POST /create/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /static/../../Cargo.toml HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(40), stream.read_to_end(&mut answer)).await;
        let _ = ended.expect("the server closes the connection");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains("root:") && !answer.contains("[workspace]"), "{answer}");
        assert!(answer.is_empty() || !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    let person = Person::arrives(&address, "After").await;
    let huge = "x".repeat(2 << 20);
    let answer = person.post("/create/", &[("name", &huge)]).await;
    assert_eq!(answer.status, 413);
}
