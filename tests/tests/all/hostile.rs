//! Clients that wish no good, or are broken: each costs bounded memory, its own connection, and nobody else anything.

use futures_util::future::join_all;
use std::time::Duration;
use tests::calm::{Calm, Talk};
use tests::eventually::{SOON, becomes};
use tests::http::Ask;
use tests::person::Person;
use tests::rude::{BINARY, End, PING, PONG, Rude, TEXT, TEXT_BEGINS, TEXT_ENDS, TEXT_GOES_ON, frame, head};
use tests::services::Services;
use tests::socket::{Came, Dial, Dialled};
use tests::usage::Usage;
use tokio::time::{Instant, timeout};

/// As people have it: the limits of the product.
const USUAL: [(&str, &str); 2] =
    [("BACKCHAT_GATEWAY_MESSAGE_BURST", "30"), ("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "10")];
/// Members who chat, five messages a second.
const CHAT: Talk = Talk { listeners: 5, speakers: 1, every: Duration::from_millis(200), bytes: 20 };
/// Their sockets.
const CALM: f64 = 6.0;

/// A gateway of its own, members who chat there, and somebody who is up to no good.
struct Scene {
    services: Services,
    rude: Person,
    room: String,
    calm: Calm,
    usage: Usage,
    handles: usize,
}

impl Scene {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = USUAL.iter().chain(settings).copied().collect();
        let services = Services::with(1, &settings).await;
        let address = services.address(0);
        let (people, rude) =
            (Person::arrives(&address, "Calm").await, Person::arrives(&address, "Rude").await);
        let room = people.creates("Hostile").await;
        rude.joins(&room).await;
        let calm = Calm::in_room(&people, &room, CHAT).await;
        let usage = services.gateways[0].usage();
        becomes("all are in", SOON, CALM, || sockets(&usage)).await;
        Self { handles: usage.handles(), services, rude, room, calm, usage }
    }

    async fn enters(&self) -> Rude {
        Rude::enters(&self.rude, &self.room).await
    }

    /// That nobody noticed, and that nothing of all that is left.
    async fn ends_as_it_began(self) {
        let Self { calm, usage, handles, .. } = self;
        let now = || async { (usage.handles().saturating_sub(handles + 5), sockets(&usage).await) };
        becomes("handles and sockets return to where they were", SOON, (0, CALM), now).await;
        calm.end().await.is_nothing();
        drop(self.services);
    }

    /// How many sockets the gateway closed for this reason.
    async fn closed(&self, why: &str) -> f64 {
        self.usage.metric(&format!("backchat_gateway_sockets_closed_total{{why=\"{why}\"}}")).await
    }
}

async fn sockets(usage: &Usage) -> f64 {
    usage.metric("backchat_gateway_sockets").await
}

#[tokio::test(flavor = "multi_thread")]
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
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_whose_answers_are_not_read_ends_too() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_WRITE_STALL_MS", "2000")]).await;
    let before = scene.usage.resident_bytes();
    let mut sockets = Vec::new();
    for n in 0..10 {
        let mut rude = scene.enters().await;
        let piece = if n % 2 == 0 { frame(PING, &[7; 125]) } else { frame(TEXT, b"{") };
        sockets.push(tokio::spawn(async move { while rude.writes(&piece.repeat(50)).await {} }));
    }
    for socket in sockets {
        timeout(Duration::from_secs(30), socket).await.expect("the server closes the connection").unwrap();
    }
    let grown = scene.usage.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
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
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
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
    scene.ends_as_it_began().await;
}

/// Parts of a message are joined where this server does not see them, so they are bounded by how fast a connection is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_empty_parts_without_end_costs_little_and_is_no_sign_of_life() {
    let settings = [
        ("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "1500"),
        ("BACKCHAT_GATEWAY_HTTP_READ_BYTES_PER_SECOND", "65536"),
    ];
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
        assert!((5..25).contains(&after.as_secs()), "{after:?}");
    }
    let share = (scene.usage.processor() - processor).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "ten such sockets took {share} of a processor");
    let grown = scene.usage.resident_bytes().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_no_sign_of_life_is_let_go_and_who_answers_pings_stays() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "1000")]).await;
    let mut answering = scene.rude.connects(&scene.room).await;
    answering.caught_up().await;
    // The one takes everything and answers nothing, not even a ping; the other has nothing to say either, but answers.
    let mut mute = scene.enters().await;
    let until = Instant::now() + Duration::from_secs(9);
    let stays = async {
        while let Some(came) = answering.socket.next_before(until).await {
            assert!(matches!(came, Came::Text(_)), "{came:?}");
        }
    };
    let (end, ()) = tokio::join!(mute.ended(Duration::from_secs(20)), stays);
    assert_eq!(end.code, 4408);
    assert!((3..9).contains(&end.after.as_secs()), "{:?}", end.after);
    answering.is_alive().await;
    drop((answering, mute));
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_above_a_persons_limit_are_told_so() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_SOCKETS_PER_USER", "8")]).await;
    let dial = scene.rude.dial(&scene.room);
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(scene.rude.connects(&scene.room).await);
    }
    for dial in [dial.clone(), dial.clone().as_json()] {
        assert_eq!(dial.dial().await.closed().await, 4429);
    }
    assert_eq!(scene.closed("too_many").await, 2.0);
    for socket in &mut open {
        socket.is_alive().await;
    }
    // A place that was given back can be taken again, as soon as the gateway has seen that.
    drop(open.pop());
    becomes("a place is free", SOON, true, || async {
        let Dialled::Open(mut socket) = dial.clone().as_json().dial().await else { return false };
        matches!(socket.next().await, Came::Text(_))
    })
    .await;
    drop(open);
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_above_an_addresss_limit_are_told_so_and_far_above_refused() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_SOCKETS_PER_ADDRESS", "10")]).await;
    // The test's own address is a trusted proxy's: it says who is behind it.
    let dial = scene.rude.dial(&scene.room).as_json();
    let behind = |address: &str| dial.clone().header("x-forwarded-for", address);
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(behind("2001:db8::1").connect().await);
    }
    assert_eq!(
        behind("2001:db8::2").dial().await.closed().await,
        4429,
        "one network, however many addresses"
    );
    assert!(matches!(behind("2001:db8:0:1::2").dial().await, Dialled::Open(_)));
    // A peer that does not answer its close keeps a place for a moment, so of many at once some find none.
    let mut refused = 0;
    while refused == 0 {
        let dial = behind("2001:db8::3");
        for dialled in join_all((0..150).map(|_| dial.dial())).await {
            match dialled {
                Dialled::Open(socket) => open.push(*socket),
                Dialled::Refused { status, body } => {
                    assert!(status == 429 && body.contains("too_many_of_address"), "{status} {body}");
                    refused += 1;
                }
                Dialled::Failed(why) => panic!("{why}"),
            }
        }
        assert!(open.len() < 5_000, "nobody is refused");
    }
    assert!(open.len() >= 110, "{} were let in or told", open.len());
    drop(open);
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_gateway_refuses_handshakes_and_serves_pages() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_SOCKETS_MAX", "9")]).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(scene.rude.connects(&scene.room).await);
    }
    let path = format!("/chat/{}/", scene.room);
    let shake_hands = Ask::get(&path)
        .header("authorization", &format!("Bearer {}", scene.rude.token()))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let refused = shake_hands.send(&scene.rude.address).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "30"), "{}", refused.body);
    assert_eq!(refused.json()["code"], "full");
    assert_eq!(scene.usage.metric("backchat_gateway_handshakes_total{outcome=\"full\"}").await, 1.0);
    scene.rude.opens(&scene.room).await;
    drop(open);
    scene.ends_as_it_began().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_from_one_address_leaves_nothing_behind() {
    let scene = Scene::set(&[("BACKCHAT_GATEWAY_SOCKETS_PER_ADDRESS", "60")]).await;
    let memory = scene.usage.resident_bytes();
    let nobody = Dial::to(&scene.rude.address, &scene.room).header("x-forwarded-for", "203.0.113.9");
    let known = scene.rude.dial(&scene.room).header("x-forwarded-for", "203.0.113.9");
    let elsewhere = scene.rude.dial("none_x7qa").header("x-forwarded-for", "203.0.113.9");
    let until = Instant::now() + Duration::from_secs(5);
    let mut flood = Vec::new();
    for n in 0..40 {
        let dial = [&nobody, &known, &elsewhere][n % 3].clone();
        flood.push(tokio::spawn(async move {
            let mut tries = 0;
            while Instant::now() < until {
                // Dropped without a word, whatever it is.
                drop(dial.dial().await);
                tries += 1;
            }
            tries
        }));
    }
    let mut tries = 0;
    for one in flood {
        tries += one.await.unwrap();
    }
    let grown = scene.usage.resident_bytes().saturating_sub(memory);
    assert!(tries > 300 && grown < 48 << 20, "{tries} handshakes left {grown} bytes");
    scene.ends_as_it_began().await;
}
