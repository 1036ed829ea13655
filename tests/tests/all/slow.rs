//! Clients that are slow, on purpose or not: to ask, to take what they are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tests::backchat::Backchat;
use tests::calm::{Calm, Talk, is_said};
use tests::eventually::{SOON, becomes, eventually};
use tests::heard::{Heard, Seen};
use tests::heavy;
use tests::json_socket::parse;
use tests::person::Person;
use tests::rude::Rude;
use tests::services::Services;
use tests::usage::Usage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A connection that sends a byte now and then, or nothing. Gives how long it was let live, from its beginning to be served on.
async fn trickle(address: String, start: String) -> Result<Duration, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| format!("not connected: {error}"))?;
    let began = Instant::now();
    stream.write_all(start.as_bytes()).await.map_err(|error| format!("nothing sent: {error}"))?;
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
    timeout(Duration::from_secs(45), trickle)
        .await
        .map_err(|_| format!("still alive after 45 s: {start:?}"))?;
    Ok(began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_never_finished_are_closed_and_disturb_nobody() {
    let _turn = heavy::turn().await;
    let backchat = Backchat::start().await;
    let person = Person::arrives(&backchat.address(), "Undisturbed").await;
    let room = person.creates("Slow requests").await;
    let talk = Talk { listeners: 20, speakers: 1, every: Duration::from_millis(200), bytes: 20 };
    let calm = Calm::in_room(&person, &room, talk).await;
    let usage = backchat.usage();
    let before = usage.handles();
    let body = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n",
            person.token()
        )
    };
    let starts = ["GET /chat/x/ HTTP/1.1\r\n".into(), String::new(), body("/create/"), body("/auth/login/")];
    let slow: Vec<_> = (0..1_000)
        .map(|n| {
            // Bodies are fewer: each was asked for by somebody whom the server knows.
            let start = if n % 20 < 18 { &starts[n % 2] } else { &starts[n % 2 + 2] };
            tokio::spawn(trickle(backchat.address(), start.clone()))
        })
        .collect();
    Person::arrives(&backchat.address(), "Newcomer").await;
    for slow in slow {
        let lived = slow.await.unwrap();
        assert!(lived.as_ref().is_ok_and(|lived| *lived < Duration::from_secs(30)), "{lived:?}");
    }
    becomes("handles return to where they were", SOON, 0, || async {
        usage.handles().saturating_sub(before + 10)
    })
    .await;
    calm.end().await.is_nothing();
}

/// What one socket can have waiting, as the gateway's socket says (`WRITE_BUFFER_BYTES_MAX`).
const QUEUE_BYTES_MAX: u64 = 512 * 1024;
/// Twenty members, and 200 messages of a KiB a second.
const FAST: Talk = Talk { listeners: 16, speakers: 4, every: Duration::from_millis(20), bytes: 1024 };
const READ_NOTHING: usize = 60;
const SIP: usize = 10;

/// The most that a process had in memory since this was called, looked at several times a second.
fn watch_memory(usage: Usage) -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let watching = tokio::spawn(async move {
        loop {
            seen.fetch_max(usage.resident_bytes(), Ordering::SeqCst);
            sleep(Duration::from_millis(200)).await;
        }
    });
    (most, watching)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_is_let_go_costs_little_and_comes_back_to_everything() {
    let _turn = heavy::turn().await;
    let settings =
        [("BACKCHAT_GATEWAY_WRITE_STALL_MS", "2000"), ("BACKCHAT_GATEWAY_SOCKETS_PER_USER", "200")];
    let services = Services::with(1, &settings).await;
    let address = services.address(0);
    let (calm, slow) = (Person::arrives(&address, "Calm").await, Person::arrives(&address, "Slow").await);
    let room = calm.creates("Slow members").await;
    slow.joins(&room).await;
    let view = slow.opens(&room).await;
    let usage = services.gateways[0].usage();
    let (most, watching) = watch_memory(usage.clone());
    let mut unread = Vec::new();
    for _ in 0..READ_NOTHING {
        unread.push(Rude::enters(&slow, &room).await);
    }
    let mut sipping = Vec::new();
    for _ in 0..SIP {
        let mut rude = Rude::enters(&slow, &room).await;
        sipping.push(tokio::spawn(async move {
            rude.sips(Duration::from_millis(50), Duration::from_secs(10)).await;
            rude
        }));
    }
    let calm = Calm::in_room(&calm, &room, FAST).await;
    eventually("all of them are let go", Duration::from_secs(30), || async {
        let let_go = usage.metric("backchat_gateway_sockets_closed_total{why=\"too_slow\"}").await;
        (let_go >= (READ_NOTHING + SIP) as f64).then_some(())
    })
    .await;
    let why = usage.metric("backchat_gateway_sockets_slow_total{why=\"stalled\"}").await;
    assert!(why >= (READ_NOTHING + SIP) as f64, "{why} of them took nothing in time");
    sleep(Duration::from_secs(5)).await;
    let noticed = calm.end().await;
    noticed.is_nothing();
    for sip in sipping {
        unread.push(sip.await.unwrap());
    }
    let back: Vec<_> = unread
        .into_iter()
        .map(|rude| tokio::spawn(comes_back(slow.clone(), room.clone(), (view.stream.clone(), rude))))
        .collect();
    for one in back {
        assert_eq!(one.await.unwrap(), noticed.messages);
    }
    watching.abort();
    let most = most.load(Ordering::SeqCst);
    let bound = (READ_NOTHING + SIP) as u64 * QUEUE_BYTES_MAX + (100 << 20);
    assert!(most < bound, "{most} bytes, more than {bound}");
}

/// Reads what had come before the socket ended, continues from there, and gives how many messages that makes, without a hole.
async fn comes_back(person: Person, room: String, (stream, rude): (String, Rude)) -> usize {
    let mut seen: Vec<Seen> = Vec::new();
    for text in rude.texts().await {
        if let Heard::Event(event) = parse(&text) {
            seen.push(event.into());
        }
    }
    let cursor = format!("{stream}.{}", seen.last().expect("something had come").seq);
    let mut socket = person.connects_after(&room, &cursor).await;
    seen.extend(socket.caught_up().await.0);
    assert!(seen.windows(2).all(|pair| pair[1].prev == pair[0].seq), "there is no hole");
    // The last word of each speaker is not among those that were counted.
    seen.iter().filter(|event| event.body.as_deref().is_some_and(is_said)).count() - FAST.speakers
}
