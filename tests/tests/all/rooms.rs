//! Making, finding, joining and leaving rooms.

use std::time::Duration;
use tests::backchat::shared;
use tests::heard::Heard;
use tests::html;
use tests::http::Ask;
use tests::person::{Person, code};
use tokio::time::timeout;

#[tokio::test]
async fn a_room_of_any_script_gets_a_readable_address_and_works() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Maker").await;
    let guest = Person::arrives(&address, "Guest").await;
    let names = [
        ("Résumé", "resume_"),
        ("общий чат", "obshchii_chat_"),
        ("会議室", "hui_yi_shi_"),
        ("غرفة", ""),
        ("🙂🙂", "room_"),
        ("Ünïcödé Straße", "unicode_strasse_"),
        ("été", "ete_"),
        ("R2-D2 & friends", "r2_d2_friends_"),
    ];
    for (name, stem) in names {
        let room = maker.creates(name).await;
        let (letters, suffix) = room.rsplit_once('_').unwrap();
        assert!(
            suffix.len() == 4 && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
            "{room}"
        );
        assert!(!letters.is_empty() && (stem.is_empty() || room.starts_with(stem)), "{name} became {room}");
        let view = maker.opens(&room).await;
        assert!(html::title(&view.html).starts_with(name), "{}", html::title(&view.html));
        assert!(html::text(&view.html).contains(name));
        guest.joins(&room).await;
        let mut live = guest.connects(&room).await;
        live.caught_up().await;
        maker.connects(&room).await.say("hello there").await;
        assert_eq!(live.message().await, "hello there", "in {name}");
    }
}

#[tokio::test]
async fn a_name_that_makes_no_room_is_a_form_error() {
    let person = Person::arrives(&shared().await, "Maker").await;
    let long = "x".repeat(61);
    for name in ["", "   ", "---", "!?!", "\u{200B}\u{200B}", &long, "a\u{202E}b", "a\u{7}b"] {
        let answer = person.post("/create/", &[("name", name)]).await;
        assert_eq!(answer.status, 422, "{name:?}: {}", answer.body);
        assert!(answer.body.contains("id=\"name-error\""), "{name:?}: {}", answer.body);
        assert_eq!(html::field(&answer.body, "name").as_deref(), Some(name), "what was typed is kept");
    }
    assert_eq!(person.post("/create/", &[("name", &"é".repeat(60))]).await.status, 303);
}

#[tokio::test]
async fn what_is_refused_before_a_page_sees_it_is_explained_too() {
    let address = shared().await;
    let person = Person::arrives(&address, "Maker").await;
    let huge = "x".repeat(70_000);
    let answer = person.post("/create/", &[("name", &huge)]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("<html"), "{}", answer.body);
    let foreign = || Ask::post("/create/", &[("name", "x")]).header("origin", "http://evil.example");
    let page = person.send(foreign(), "/create/").await;
    assert!(page.status == 403 && page.body.contains("<html"), "{}", page.body);
    let program = person.send(foreign().header("accept", "application/json"), "/create/").await;
    assert_eq!((program.status, program.json()["code"].as_str()), (403, Some("foreign_origin")));
}

#[tokio::test]
async fn two_rooms_of_one_name_have_two_addresses() {
    let person = Person::arrives(&shared().await, "Maker").await;
    assert_ne!(person.creates("Twins").await, person.creates("Twins").await);
}

#[tokio::test]
async fn a_room_is_joined_by_its_code() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Maker").await;
    let guest = Person::arrives(&address, "Guest").await;
    let room = maker.creates("By code").await;
    let joined = guest.post("/join/", &[("code", &format!("  {} ", room.to_uppercase()))]).await;
    assert_eq!(joined.status, 303, "a code is taken as people type it: {}", joined.body);
    assert_eq!(code(joined.location()), room);
    guest.opens(&room).await;
    guest.joins(&room).await;
    let view = guest.opens(&room).await;
    let joins = view.rows.iter().filter(|row| row.kind == "joined").count();
    assert_eq!(joins, 1, "joining twice is joining once");
}

#[tokio::test]
async fn a_code_of_no_room_is_a_form_error() {
    let person = Person::arrives(&shared().await, "Guest").await;
    for code in ["", "none_x7qa", "../../etc", "A B", "<script>", &"x".repeat(100)] {
        let answer = person.post("/join/", &[("code", code)]).await;
        assert_eq!(answer.status, 422, "{code:?}: {}", answer.body);
        assert!(answer.body.contains("id=\"code-error\""), "{code:?}: {}", answer.body);
        assert_eq!(html::field(&answer.body, "code").as_deref(), Some(code), "what was typed is kept");
    }
}

#[tokio::test]
async fn an_address_of_no_room_is_not_found() {
    let person = Person::arrives(&shared().await, "Lost").await;
    for path in ["/room/none_x7qa/", "/room/%3Cscript%3E/", "/room/A.B/", "/nowhere/"] {
        let answer = person.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(!answer.body.contains("<script>A"), "{path}");
    }
    assert_eq!(person.post("/room/none_x7qa/join/", &[]).await.status, 404);
    let history = person.get("/room/none_x7qa/history/?before=5").await;
    assert!([403, 404].contains(&history.status), "{} {}", history.status, history.body);
}

#[tokio::test]
async fn an_invitation_is_taken_in_one_click() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Host").await;
    let guest = Person::arrives(&address, "Guest").await;
    let room = maker.creates("Tea at five").await;
    maker.connects(&room).await.say("a secret until you join").await;
    let path = format!("/room/{room}/");
    let invitation = guest.get(&path).await;
    assert_eq!(invitation.status, 200);
    assert!(html::text(&invitation.body).contains("Tea at five"));
    assert!(!invitation.body.contains("a secret until you join"));
    assert!(invitation.body.contains(&format!("action=\"/room/{room}/join/\"")), "{}", invitation.body);
    let joined = guest.post(&format!("/room/{room}/join/"), &[]).await;
    assert_eq!((joined.status, joined.location()), (303, path.as_str()));
    assert_eq!(guest.opens(&room).await.messages(), ["a secret until you join"]);
}

#[tokio::test]
async fn comings_and_goings_are_seen_by_the_others() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Host").await;
    let guest = Person::arrives(&address, "Guest").await;
    let room = maker.creates("Doors").await;
    let mut socket = maker.connects(&room).await;
    let (first, _) = socket.caught_up().await;
    assert_eq!(first.len(), 1, "the room's making is its first event: {first:?}");
    let cursor = maker.opens(&room).await.cursor;
    let mut page = maker.connects_as_page(&room, &cursor).await;
    page.caught_up().await;
    guest.joins(&room).await;
    assert_eq!(page.row().await.kind, "joined");
    guest.leaves(&room).await;
    let row = page.row().await;
    assert_eq!(row.kind, "left");
    assert!(row.text.contains(&guest.name), "{}", row.text);
    for kind in ["joined", "left"] {
        let heard = socket.until(|heard| matches!(heard, Heard::Event(_)).then(|| heard.clone())).await;
        let name = format!("{heard:?}").to_lowercase();
        assert!(name.contains(kind) && name.contains(&guest.name.to_lowercase()), "{heard:?}");
    }
}

#[tokio::test]
async fn who_leaves_reads_and_writes_no_more() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Host").await;
    let guest = Person::arrives(&address, "Leaver").await;
    let room = maker.creates("Exit").await;
    guest.joins(&room).await;
    let cursor = guest.opens(&room).await.cursor;
    let mut tab = guest.connects_as_page(&room, &cursor).await;
    let mut bot = guest.connects(&room).await;
    bot.caught_up().await;
    tab.caught_up().await;
    guest.leaves(&room).await;
    let mut host = maker.connects(&room).await;
    host.say("after-1").await;
    let closes =
        timeout(Duration::from_secs(5), async { (tab.closed().await.code, bot.closed().await.code) }).await;
    assert_eq!(closes, Ok((4403, 4403)));
    assert_eq!(guest.tries_to_connect(&room).await.closed().await, 4403);
    let page = guest.get(&format!("/room/{room}/")).await;
    assert!(page.body.contains("/join/") && !page.body.contains("after-1"), "it is an invitation again");
    let history = guest.get(&format!("/room/{room}/history/?before=1000000")).await;
    assert!([403, 404].contains(&history.status), "{} {}", history.status, history.body);
    let written = guest.post(&format!("/room/{room}/"), &[("message", "i am still here")]).await;
    assert!([303, 403, 404].contains(&written.status), "{}", written.status);
    assert!(!maker.opens(&room).await.messages().contains(&"i am still here".to_owned()));
    assert!(!html::text(&guest.get("/").await.body).contains("Exit"), "the room is gone from the list");
}

#[tokio::test]
async fn my_rooms_are_listed_with_their_last_message_newest_first() {
    let address = shared().await;
    let person = Person::arrives(&address, "Lister").await;
    let (first, second) = (person.creates("Alpha room").await, person.creates("Beta room").await);
    person.connects(&second).await.say("older word").await;
    person.connects(&first).await.say("newest word").await;
    tests::eventually::eventually("the list shows the last messages", Duration::from_secs(10), || async {
        let home = person.get("/").await;
        let text = html::text(&home.body);
        let place = |needle: &str| text.find(needle);
        let (alpha, beta) = (place("Alpha room")?, place("Beta room")?);
        let last = text.contains("newest word") && text.contains("older word");
        (alpha < beta && last && home.body.contains("<time")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_can_be_sent_by_the_form_alone() {
    let address = shared().await;
    let person = Person::arrives(&address, "No script").await;
    let room = person.creates("Plain").await;
    let path = format!("/room/{room}/");
    let view = person.opens(&room).await;
    let id = html::field(&view.html, "id").unwrap();
    let fields = [("message", "by form"), ("id", id.as_str())];
    for _ in 0..2 {
        let sent = person.post(&path, &fields).await;
        assert_eq!(sent.status, 303, "{}", sent.body);
        assert!(sent.location().starts_with(&path));
    }
    assert_eq!(person.opens(&room).await.messages(), ["by form"], "sending the same form again adds nothing");
}
