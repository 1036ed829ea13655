//! Every limit has a named outcome, and the socket lives where the protocol allows it.

use protocol::frame::Refusal;
use std::path::Path;
use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::eventually::{SOON, eventually};
use tests::heard::bodies;
use tests::html_socket::HtmlSocket;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::ports;
use tests::process::{Launch, Program, built};

const BLANK: [&str; 9] =
    ["", " ", "\n\n\n", "\u{200B}", "\u{A0}\u{A0}", "\u{2800}", "\u{AD}", "\u{3164}", " \t\u{FEFF}\n"];

struct Both {
    person: Person,
    room: String,
    program: JsonSocket,
    page: HtmlSocket,
}

async fn both(name: &str) -> Both {
    let person = Person::arrives(&shared().await, name).await;
    let room = person.creates("Limits").await;
    let cursor = person.opens(&room).await.cursor;
    let mut program = person.connects(&room).await;
    program.caught_up().await;
    let mut page = person.connects_as_page(&room, &cursor).await;
    page.caught_up().await;
    Both { person, room, program, page }
}

#[tokio::test]
async fn what_looks_empty_is_refused_and_the_socket_lives() {
    let Both { person, room, mut program, mut page } = both("Blank").await;
    for blank in BLANK {
        let id = program.send(blank).await;
        let refused = program.refused().await;
        assert_eq!((refused.id, refused.code), (Some(id), Refusal::Empty), "{blank:?}");
        let id = page.send(blank).await;
        let refused = page.refused().await;
        assert_eq!((refused.id, refused.code.as_str()), (id.to_string(), "empty"), "{blank:?}");
    }
    program.say("seen").await;
    assert_eq!(page.row().await.text, "seen");
    assert_eq!(person.opens(&room).await.messages(), ["seen"], "nothing else is stored");
}

#[tokio::test]
async fn a_text_up_to_the_limit_is_stored_whole() {
    let Both { person, room, mut program, mut page } = both("Long").await;
    let texts = [
        "x".repeat(385),
        "x".repeat(400),
        "x".repeat(4_000),
        "é".repeat(4_000),
        "漢".repeat(4_000),
        "🙂".repeat(4_000),
        format!("a\n{}", "\"\\".repeat(1_999)),
    ];
    for text in &texts {
        program.say(text).await;
        assert_eq!(&program.message().await, text);
        assert_eq!(&page.row().await.text, text);
    }
    assert_eq!(person.opens(&room).await.messages(), texts);
}

#[tokio::test]
async fn a_page_of_the_longest_messages_is_cut_and_the_whole_history_still_comes() {
    // Of its own: a history that goes on meanwhile, for whatever room, gives shorter pages.
    let backchat = Backchat::without_rate_limit().await;
    let person = Person::arrives(&backchat.address(), "Longest").await;
    let room = person.creates("Longest").await;
    let mut program = person.connects(&room).await;
    program.caught_up().await;
    let texts: Vec<_> = (0..60).map(|n| format!("{n:02}{}", "🙂".repeat(3_998))).collect();
    program.say_all(texts.clone()).await;
    let (page, more) = program.page(i64::MAX as u64, 100).await;
    assert!(more && page.last().is_some_and(|last| last.body.as_ref() == texts.last()));
    let history = program.whole_history(100).await;
    assert_eq!(bodies(&history), texts);
    let (newest, _) = person.connects(&room).await.caught_up().await;
    assert_eq!(bodies(&newest), texts[10..], "the last 50 of a room come whole, piece by piece");
}

#[tokio::test]
async fn a_longer_text_is_refused_with_the_limit_and_the_socket_lives() {
    let Both { person, room, mut program, mut page } = both("Longer").await;
    for text in ["x".repeat(4_001), "é".repeat(4_001), "x".repeat(20_000)] {
        let id = program.send(&text).await;
        let refused = program.refused().await;
        assert_eq!((refused.id, refused.code), (Some(id), Refusal::TooLong));
        assert!(refused.message.replace(',', "").contains("4000"), "{}", refused.message);
        page.send(&text).await;
        let refused = page.refused().await;
        assert_eq!(refused.code, "too_long");
        assert!(refused.text.replace(',', "").contains("4000"), "{}", refused.text);
    }
    program.is_alive().await;
    assert!(person.opens(&room).await.messages().is_empty());
}

#[tokio::test]
async fn a_frame_over_32_kib_closes_the_socket_with_1009() {
    for bytes in [32 * 1024 + 1, 65_537, 1_048_577] {
        let Both { person, room, mut program, mut page } = both("Frame").await;
        program.send(&"x".repeat(bytes)).await;
        assert_eq!(program.closed().await.code, 1009, "{bytes} bytes");
        page.send(&"x".repeat(bytes)).await;
        assert_eq!(page.closed().await.code, 1009, "{bytes} bytes");
        assert!(person.opens(&room).await.messages().is_empty());
    }
}

#[tokio::test]
async fn what_is_no_frame_is_refused_by_name_and_the_socket_lives() {
    let Both { mut program, mut page, .. } = both("Nonsense").await;
    let cases = [
        ("{", Refusal::NotJson),
        ("", Refusal::NotJson),
        ("[]", Refusal::NotJson),
        ("\"send\"", Refusal::NotJson),
        (r#"{"type":"poll"}"#, Refusal::UnknownType),
        (r#"{"type":7}"#, Refusal::BadField),
        (r#"{"type":"send"}"#, Refusal::BadField),
        (r#"{"type":"send","body":7}"#, Refusal::BadField),
        (r#"{"type":"send","id":"seven","body":"x"}"#, Refusal::BadField),
        (r#"{"type":"page"}"#, Refusal::BadField),
        (r#"{"type":"page","before":-1}"#, Refusal::BadField),
        (r#"{"type":"page","before":5,"limit":0}"#, Refusal::BadField),
        (r#"{"type":"page","before":5,"limit":101}"#, Refusal::BadField),
        (r#"{"type":"send","body":"a\u0000b"}"#, Refusal::ControlCharacter),
        (r#"{"type":"send","body":"bell \u0007"}"#, Refusal::ControlCharacter),
    ];
    for (frame, code) in cases {
        program.socket.send_text(frame).await;
        assert_eq!(program.refused().await.code, code, "{frame}");
        page.socket.send_text(frame).await;
        assert_eq!(page.refused().await.code, code.code(), "{frame}");
    }
    program.socket.send_binary(vec![1, 2, 3]).await;
    assert_eq!(program.refused().await.code, Refusal::Binary);
    page.socket.send_binary(vec![]).await;
    assert_eq!(page.refused().await.code, "binary");
    program.say("and still").await;
    assert_eq!(page.row().await.text, "and still");
}

#[tokio::test]
async fn a_text_frame_that_is_no_utf_8_closes_the_socket_with_1007() {
    let Both { mut program, mut page, .. } = both("Bytes").await;
    program.socket.send_raw_text(b"{\"type\":\"send\",\"body\":\"\xff\xfe\"}".to_vec()).await;
    assert_eq!(program.closed().await.code, 1007);
    page.socket.send_raw_text(vec![0xC3]).await;
    assert_eq!(page.closed().await.code, 1007);
}

#[tokio::test]
async fn deep_json_and_unknown_fields_do_no_harm() {
    let Both { mut program, .. } = both("Deep").await;
    program.socket.send_text(format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))).await;
    assert_eq!(program.refused().await.code, Refusal::NotJson);
    program
        .socket
        .send_text(r#"{"type":"send","body":"later","HEADERS":{"HX-Request":"true"},"x":[1]}"#)
        .await;
    assert_eq!(program.message().await, "later");
}

#[tokio::test]
async fn who_sends_too_fast_is_told_how_long_to_wait() {
    let backchat = Backchat::start().await;
    let person = Person::arrives(&backchat.address(), "Hasty").await;
    let other = Person::arrives(&backchat.address(), "Calm").await;
    let room = person.creates("Rates").await;
    other.joins(&room).await;
    let mut first = person.connects(&room).await;
    let mut second = person.connects(&room).await;
    first.caught_up().await;
    for n in 0..50 {
        first.send(&format!("first {n}")).await;
    }
    let refused = first.refused().await;
    assert_eq!(refused.code, Refusal::TooFast);
    second.send("by another socket").await;
    assert_eq!(second.refused().await.code, Refusal::TooFast, "the limit is a person's, not a socket's");
    let wait_ms = refused.retry_after_ms.expect("a time to wait");
    assert!((1..=60_000).contains(&wait_ms), "{wait_ms}");
    other.connects(&room).await.say("I may").await;
    tokio::time::sleep(Duration::from_millis(wait_ms + 4_000)).await;
    first.send_as(refused.id.unwrap(), "again").await;
    first.acknowledged(refused.id.unwrap()).await;
    let stored = person.opens(&room).await.messages().len();
    assert!((30..50).contains(&stored), "{stored} of 50 messages at once were taken");
}

#[tokio::test]
async fn a_service_may_open_as_many_files_as_the_system_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let address = |setting: &str| (setting.to_owned(), format!("127.0.0.1:{}", ports::free()));
    // Many systems begin with a low limit that a process may raise.
    let mut launch = Launch::new(Path::new("/bin/sh"), folder.path())
        .argument("-c")
        .argument("ulimit -Sn 200; exec \"$0\"")
        .argument(built("gateway").to_string_lossy())
        .set("BACKCHAT_GATEWAY_ROOTS", tests::keys::folder());
    for (setting, address) in [address("BACKCHAT_GATEWAY_LISTEN"), address("BACKCHAT_GATEWAY_OPERATIONS")] {
        launch = launch.set(&setting, address);
    }
    let gateway = Program::start(launch);
    let limits = format!("/proc/{}/limits", gateway.id());
    eventually("the limit is raised", SOON, || async {
        let limits = std::fs::read_to_string(&limits).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        (words[3] != "200" && words[3] == words[4]).then_some(())
    })
    .await;
}
