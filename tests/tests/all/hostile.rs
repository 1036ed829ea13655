//! Clients that wish no good, or are broken: each costs bounded memory, its own connection, and nobody else anything.

use std::time::Duration;
use tests::backchat::Backchat;
use tests::calm::{Calm, Noticed, Talk};
use tests::eventually::eventually;
use tests::http::Ask;
use tests::person::Person;
use tests::rude::{BINARY, End, PING, PONG, Rude, TEXT, TEXT_BEGINS, TEXT_ENDS, TEXT_GOES_ON, frame, head};
use tests::services::Services;
use tests::socket::{Dial, Dialled};
use tests::usage::Usage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// As people have it: the limits of the product.
const USUAL: [(&str, &str); 2] =
    [("BACKCHAT_GATEWAY_MESSAGE_BURST", "30"), ("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "10")];
/// Five messages a second.
const CHAT: Talk = Talk { every: Duration::from_millis(200), bytes: 20 };
/// How late a message may be on a machine that is busy with other tests.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A gateway of its own, members who chat there, and somebody who is up to no good.
struct Scene {
    services: Services,
    rude: Person,
    room: String,
    calm: Calm,
    usage: Usage,
    handles: usize,
    sockets: f64,
}

impl Scene {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = USUAL.iter().chain(settings).copied().collect();
        let services = Services::with(1, &settings).await;
        let address = services.address(0);
        let (people, rude) = (Person::arrives(&address, "Calm").await, Person::arrives(&address, "Rude").await);
        let room = people.creates("Hostile").await;
        rude.joins(&room).await;
        let calm = Calm::in_room(&people, &room, (5, CHAT)).await;
        let usage = services.gateways[0].usage();
        let sockets = usage.metric("backchat_gateway_sockets").await;
        Self { handles: usage.handles(), services, rude, room, calm, usage, sockets }
    }

    async fn enters(&self) -> Rude {
        Rude::enters(&self.rude, &self.room).await
    }

    /// That nobody noticed, and that nothing of all that is left.
    async fn is_left_as_it_was(self) {
        let Self { calm, usage, handles, sockets, .. } = self;
        eventually("handles and gauges return to where they were", Duration::from_secs(20), || async {
            let open = usage.metric("backchat_gateway_sockets").await;
            (usage.handles() <= handles + 5 && open <= sockets).then_some(())
        })
        .await;
        let noticed = calm.end().await;
        assert!(noticed.worst < LATE_MAX && noticed.messages > 0, "{noticed:?}");
        drop(self.services);
    }

    /// How many sockets the gateway closed for this reason.
    async fn closed(&self, why: &str) -> f64 {
        self.usage.metric(&format!("backchat_gateway_sockets_closed_total{{why=\"{why}\"}}")).await
    }
}

/// What a flood consists of, and how the gateway calls it.
#[tokio::test]
async fn who_sends_more_frames_than_anybody_needs_is_closed_with_1008() {
    let scene = Scene::set(&[]).await;
    let page = br#"{"type":"page","before":9,"limit":100}"#;
    let floods = [
        ("pings", frame(PING, b"")),
        ("long pings", frame(PING, &[7; 125])),
        ("pongs", frame(PONG, b"")),
        ("messages too fast", frame(TEXT, br#"{"type":"send","body":"x"}"#)),
        ("no frames", frame(TEXT, b"{")),
        ("empty texts", frame(TEXT, b"")),
        ("binary", frame(BINARY, b"x")),
        ("pages", frame(TEXT, page)),
        ("whole messages in two parts", [frame(TEXT_BEGINS, b"{"), frame(TEXT_ENDS, b"")].concat()),
    ];
    let before = scene.usage.resident_bytes();
    for (name, piece) in &floods {
        let end = scene.enters().await.ended_under(&piece.repeat(50), Duration::from_secs(20)).await;
        assert_eq!(end.code, 1008, "a flood of {name}");
    }
    assert!(scene.closed("abuse").await >= floods.len() as f64);
    let grown = scene.usage.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    scene.is_left_as_it_was().await;
}

#[tokio::test]
async fn a_flood_whose_answers_are_not_read_ends_too() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_WRITE_STALL_MS", "2000")]).await;
    let before = scene.usage.resident_bytes();
    let mut sockets = Vec::new();
    for n in 0..30 {
        let mut rude = scene.enters().await;
        let piece = if n % 2 == 0 { frame(PING, &[7; 125]) } else { frame(TEXT, b"{") };
        sockets.push(tokio::spawn(async move { while rude.writes(&piece.repeat(50)).await {} }));
    }
    for socket in sockets {
        timeout(Duration::from_secs(30), socket).await.expect("the server closes the connection").unwrap();
    }
    let grown = scene.usage.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    scene.is_left_as_it_was().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_socket_by_name() {
    let scene = Scene::set(&[]).await;
    let one_byte_parts = [frame(TEXT_BEGINS, b"x"), frame(TEXT_GOES_ON, b"x").repeat(32 * 1024)].concat();
    let cases = [
        ("no mask", vec![0x81, 0x05, b'h', b'e', b'l', b'l', b'o'], 1002),
        ("a reserved bit", frame(0xC1, b"x"), 1002),
        ("a reserved kind", frame(0x83, b"x"), 1002),
        ("a reserved control", frame(0x8B, b""), 1002),
        ("a ping in parts", frame(0x09, b""), 1002),
        ("a ping of 126 bytes", frame(PING, &[0; 126]), 1002),
        ("a part of nothing", frame(TEXT_ENDS, b"x"), 1002),
        ("a beginning within a message", frame(TEXT_BEGINS, b"x").repeat(2), 1002),
        ("a length of 32 KiB and a byte", head(TEXT, 32 * 1024 + 1), 1009),
        ("a length of a terabyte", head(TEXT, 1 << 40), 1009),
        ("the greatest length", head(TEXT, u64::MAX), 1009),
        ("33 KiB in parts of one byte", one_byte_parts, 1009),
        ("half a letter", frame(TEXT, &[0xC3]), 1007),
    ];
    let before = scene.usage.resident_bytes();
    for (name, bytes, code) in &cases {
        let mut rude = scene.enters().await;
        rude.writes(bytes).await;
        assert_eq!(rude.ended(Duration::from_secs(20)).await.code, *code, "{name}");
    }
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let plain = Rude::enters_with(&scene.rude, &scene.room, offer).await;
    assert!(!plain.answer.to_lowercase().contains("extensions"), "{}", plain.answer);
    drop(plain);
    let grown = scene.usage.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    scene.is_left_as_it_was().await;
}

#[tokio::test]
async fn a_message_may_come_in_parts_of_one_byte_with_pings_between() {
    let scene = Scene::set(&[]).await;
    let mut listener = scene.rude.connects(&scene.room).await;
    listener.caught_up().await;
    let mut rude = scene.enters().await;
    let text = br#"{"type":"send","body":"piece by piece"}"#;
    let mut parts = frame(TEXT_BEGINS, b"");
    for byte in text {
        parts.extend([frame(TEXT_GOES_ON, &[*byte]), frame(PING, b"?")].concat());
    }
    parts.extend(frame(TEXT_ENDS, b""));
    rude.writes(&parts).await;
    while listener.message().await != "piece by piece" {}
    drop((rude, listener));
    scene.is_left_as_it_was().await;
}

/// Parts of a message are joined where this server does not see them, so they are bounded by how fast a connection is read.
#[tokio::test]
async fn a_message_of_empty_parts_without_end_costs_little_and_is_no_sign_of_life() {
    let settings =
        [("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "1500"), ("BACKCHAT_GATEWAY_HTTP_READ_BYTES_PER_SECOND", "65536")];
    let scene = Scene::set(&settings).await;
    let (memory, processor) = (scene.usage.resident_bytes(), scene.usage.processor());
    let began = Instant::now();
    let mut endless = Vec::new();
    for _ in 0..10 {
        let mut rude = scene.enters().await;
        rude.writes(&frame(TEXT_BEGINS, b"")).await;
        let piece = frame(TEXT_GOES_ON, b"").repeat(1_000);
        endless.push(tokio::spawn(async move { rude.ended_under(&piece, Duration::from_secs(40)).await }));
    }
    for socket in endless {
        let End { code, after } = socket.await.unwrap();
        assert_eq!(code, 4408, "after {after:?}");
        assert!((6..12).contains(&after.as_secs()), "{after:?}");
    }
    let share = (scene.usage.processor() - processor).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "ten such sockets took {share} of a processor");
    let grown = scene.usage.resident_bytes().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
    scene.is_left_as_it_was().await;
}

#[tokio::test]
async fn who_gives_no_sign_of_life_is_let_go_and_who_answers_pings_stays() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "1000")]).await;
    let mut quiet = scene.rude.connects(&scene.room).await;
    quiet.caught_up().await;
    // It takes everything and answers nothing, not even a ping.
    let end = scene.enters().await.ended(Duration::from_secs(20)).await;
    assert_eq!(end.code, 4408);
    assert!((3..9).contains(&end.after.as_secs()), "{:?}", end.after);
    // The other had nothing to say in all that time, but reads, and so answers.
    let until = Instant::now() + Duration::from_secs(7);
    while let Some(came) = quiet.socket.next_before(until).await {
        assert!(matches!(came, tests::socket::Came::Text(_)), "{came:?}");
    }
    quiet.is_alive().await;
    drop(quiet);
    scene.is_left_as_it_was().await;
}
