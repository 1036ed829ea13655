//! What must survive: kills, and connections that only take up room.

use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::eventually::eventually;
use tests::kill_test::{Plan, run};
use tests::person::Person;
use tests::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

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

/// A connection that sends a byte now and then, or nothing. Gives how long it was let live.
async fn slow(address: String, start: &'static [u8]) -> Option<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(start).await.ok()?;
    let mut buffer = [0; 512];
    let trickle = async {
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                () = sleep(Duration::from_secs(2)), if !start.is_empty() => {}
            }
            if !start.is_empty() && stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(45), trickle).await.ok()?;
    Some(began.elapsed())
}

#[tokio::test]
async fn connections_that_never_finish_their_request_are_closed_and_disturb_nobody() {
    let backchat = Backchat::start().await;
    let person = Person::arrives(&backchat.address(), "Undisturbed").await;
    let room = person.creates("Slow headers").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    let handles = || std::fs::read_dir(format!("/proc/{}/fd", backchat.id())).unwrap().count();
    let before = handles();
    let attackers: Vec<_> = (0..300)
        .map(|n| {
            let start: &'static [u8] = if n % 2 == 0 { b"GET /chat/x/ HTTP/1.1\r\n" } else { b"" };
            tokio::spawn(slow(backchat.address(), start))
        })
        .collect();
    for n in 0..10 {
        let began = Instant::now();
        socket.say(&format!("m-{n}")).await;
        assert!(began.elapsed() < Duration::from_secs(3), "a message took {:?}", began.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
    Person::arrives(&backchat.address(), "Newcomer").await;
    for attacker in attackers {
        let lived = attacker.await.unwrap();
        assert!(lived.is_some_and(|lived| lived < Duration::from_secs(30)), "{lived:?}");
    }
    eventually("file handles return to where they were", Duration::from_secs(20), || async {
        (handles() <= before + 10).then_some(())
    })
    .await;
    socket.is_alive().await;
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
