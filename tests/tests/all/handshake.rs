//! Who may open a socket.

use protocol::token::{Claims, sign};
use protocol::{SessionId, UserId};
use tests::backchat::{Backchat, shared};
use tests::http::Ask;
use tests::person::Person;
use tests::socket::Dial;

/// A room, and a handshake of its member.
async fn member(name: &str) -> (Person, String) {
    let person = Person::arrives(&shared().await, name).await;
    let room = person.creates("Handshake").await;
    (person, room)
}

fn in_both_formats(dial: &Dial) -> [Dial; 2] {
    [dial.clone(), dial.clone().as_json()]
}

#[tokio::test]
async fn a_foreign_origin_is_refused_outright() {
    let (person, room) = member("Origin").await;
    for origin in ["http://evil.example", "https://127.0.0.1", "null", "http://127.0.0.1.evil.example"] {
        for dial in in_both_formats(&person.dial(&room).origin(origin)) {
            assert_eq!(dial.dial().await.refused(), 403, "{origin}");
        }
    }
}

#[tokio::test]
async fn the_pages_own_origin_and_programs_without_one_are_let_in() {
    let (person, room) = member("Own").await;
    let own = format!("http://{}", person.address);
    for dial in in_both_formats(&person.dial(&room))
        .into_iter()
        .chain(in_both_formats(&person.dial(&room).origin(&own)))
    {
        dial.connect().await;
    }
}

#[tokio::test]
async fn configured_origins_are_let_in_whatever_the_host_header_says() {
    let origins = "https://chat.test:8443/,https://other.test";
    let backchat = Backchat::with(&[
        ("BACKCHAT_GATEWAY_PUBLIC_ORIGINS", origins),
        ("BACKCHAT_AUTH_SERVICE_SECURE_COOKIES", "false"),
    ])
    .await;
    let person = Person::arrives(&backchat.address(), "Proxied").await;
    let room = person.creates("Behind a proxy").await;
    for host in ["chat.test:8443", "chat.test", "10.0.0.7:8080"] {
        for origin in ["https://chat.test:8443", "https://other.test"] {
            person.dial(&room).header("host", host).origin(origin).as_json().connect().await;
        }
        let foreign =
            person.dial(&room).header("host", host).origin("https://evil.test").as_json().dial().await;
        assert_eq!(foreign.refused(), 403, "{host}");
    }
}

#[tokio::test]
async fn a_refused_origin_is_told_which_setting_it_is_about() {
    let (person, room) = member("Setting").await;
    let dialled = person.dial(&room).origin("https://chat.test").as_json().dial().await;
    let tests::socket::Dialled::Refused { status: 403, body } = dialled else { panic!("it was not refused") };
    assert!(body.to_lowercase().contains("public_origins"), "{body}");
}

#[tokio::test]
async fn without_a_valid_token_a_socket_is_closed_with_4401() {
    let (person, room) = member("Token").await;
    let claims =
        |exp| Claims { user: UserId::new(), session: SessionId::new(), issued_at_s: 0, expires_at_s: exp };
    let strange_key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let real = person.token();
    let key_id = key_id_of(&real);
    let (head, signature) = real.rsplit_once('.').unwrap();
    let (_, claims_of_other) = sign(&claims(i64::MAX), &key_id, &strange_key)
        .rsplit_once('.')
        .map(|(head, _)| head.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
        .unwrap();
    let forged = [
        String::new(),
        "x".into(),
        sign(&claims(i64::MAX), "unknown", &strange_key),
        sign(&claims(i64::MAX), &key_id, &strange_key),
        format!("{}.{claims_of_other}.{signature}", head.split('.').next().unwrap()),
        format!("{head}."),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
    ];
    let nobody = Dial::to(&person.address, &room);
    for dial in in_both_formats(&nobody) {
        assert_eq!(dial.dial().await.closed().await, 4401, "no token at all");
    }
    for token in forged {
        for dial in in_both_formats(&nobody.clone().cookie(&format!("backchat_token={token}"))) {
            assert_eq!(dial.dial().await.closed().await, 4401, "{token}");
        }
        let bearer = nobody.clone().bearer(&token).as_json();
        assert_eq!(bearer.dial().await.closed().await, 4401, "{token}");
    }
    person.dial(&room).bearer(&real).as_json().connect().await;
}

fn key_id_of(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header = data_encoding::BASE64URL_NOPAD.decode(header.as_bytes()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_is_no_member_and_who_asks_for_no_room_are_closed_with_4403() {
    let (_, room) = member("Host").await;
    let stranger = Person::arrives(&shared().await, "Stranger").await;
    for room in [room.as_str(), "none_x7qa", "NOT-A-ROOM"] {
        for dial in in_both_formats(&stranger.dial(room)) {
            assert_eq!(dial.dial().await.closed().await, 4403, "{room}");
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let (person, room) = member("Cursor").await;
    for cursor in ["x", "1.x", "-", "1.2.3", "1.-1"] {
        assert_eq!(person.dial(&room).after(cursor).as_json().dial().await.refused(), 400, "{cursor}");
    }
}

#[tokio::test]
async fn a_plain_request_for_a_socket_is_the_callers_fault() {
    let (person, room) = member("Curl").await;
    let answer = person.send(Ask::get(&format!("/chat/{room}/")), "/chat/").await;
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.body);
}
