//! Messages, in both formats.

use protocol::MessageId;
use protocol::frame::Refusal;
use tests::backchat::shared;
use tests::html;
use tests::json_socket::JsonSocket;
use tests::person::Person;

/// Somebody with a room of their own, and a socket that is caught up.
async fn alone(name: &str) -> (Person, String, JsonSocket) {
    let person = Person::arrives(&shared().await, name).await;
    let room = person.creates("Messages").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    (person, room, socket)
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let (person, room, mut program) = alone("Both").await;
    let cursor = person.opens(&room).await.cursor;
    let mut page = person.connects_as_page(&room, &cursor).await;
    assert_eq!(page.caught_up().await, cursor);
    let from_program = program.send("from the program").await;
    let (seq, duplicate) = program.acknowledged(from_program).await;
    assert!(!duplicate);
    let (event, row) = (program.event().await, page.row().await);
    assert_eq!((event.id, event.seq), (from_program, seq));
    assert_eq!((row.id, row.seq, row.prev), (from_program.to_string(), seq, event.prev));
    assert_eq!(row.text, "from the program");
    assert!(html::text(&row.html).contains(&person.name), "a message shows its author");
    let from_page = page.send("from the page").await;
    let seq = page.acknowledged(from_page).await;
    let (event, row) = (program.event().await, page.row().await);
    assert_eq!((event.id, event.seq, event.body.as_deref()), (from_page, seq, Some("from the page")));
    assert_eq!(event.prev, row.prev, "each event names the one before it");
}

#[tokio::test]
async fn a_form_without_an_id_gets_one() {
    let (person, room, mut program) = alone("Plain").await;
    let cursor = person.opens(&room).await.cursor;
    let mut page = person.connects_as_page(&room, &cursor).await;
    page.send_plain_form("the same").await;
    page.send_plain_form("the same").await;
    assert_eq!(program.messages(2).await, ["the same", "the same"], "two forms are two messages");
}

#[tokio::test]
async fn messages_of_one_socket_keep_their_order() {
    let (person, room, mut socket) = alone("Order").await;
    let bodies: Vec<String> = (0..60).map(|n| format!("number {n}")).collect();
    let sequences = socket.say_all(bodies.clone()).await;
    assert!(sequences.is_sorted());
    assert_eq!(socket.messages(60).await, bodies);
    let shown = person.opens(&room).await.messages();
    assert_eq!(shown, bodies[10..], "a page has the last fifty");
}

#[tokio::test]
async fn the_same_id_with_the_same_text_is_stored_once() {
    let (person, room, mut socket) = alone("Retry").await;
    let id = MessageId::new();
    socket.send_as(id, "once").await;
    let (seq, duplicate) = socket.acknowledged(id).await;
    assert!(!duplicate);
    for _ in 0..3 {
        socket.send_as(id, "once").await;
        assert_eq!(socket.acknowledged(id).await, (seq, true));
    }
    let mut elsewhere = person.connects(&room).await;
    elsewhere.send_as(id, "once").await;
    assert_eq!(elsewhere.acknowledged(id).await, (seq, true));
    socket.say("end").await;
    assert_eq!(socket.messages(2).await, ["once", "end"]);
    assert_eq!(person.opens(&room).await.messages(), ["once", "end"]);
}

#[tokio::test]
async fn the_same_id_with_another_text_is_refused() {
    let (person, room, mut socket) = alone("Reuse").await;
    let id = MessageId::new();
    socket.send_as(id, "first").await;
    socket.acknowledged(id).await;
    socket.send_as(id, "second").await;
    let refused = socket.refused().await;
    assert_eq!((refused.id, refused.code), (Some(id), Refusal::IdReused));
    assert_eq!(person.opens(&room).await.messages(), ["first"]);
}

#[tokio::test]
async fn one_id_of_two_people_is_two_messages() {
    let (person, room, mut socket) = alone("First").await;
    let other = Person::arrives(&person.address, "Second").await;
    other.joins(&room).await;
    let id = MessageId::new();
    socket.send_as(id, "mine").await;
    socket.acknowledged(id).await;
    let mut theirs = other.connects(&room).await;
    theirs.send_as(id, "theirs").await;
    assert!(!theirs.acknowledged(id).await.1, "nobody can take another's place by guessing an id");
}

#[tokio::test]
async fn line_breaks_are_kept_and_are_of_one_kind() {
    let (person, room, mut socket) = alone("Lines").await;
    let cursor = person.opens(&room).await.cursor;
    let mut page = person.connects_as_page(&room, &cursor).await;
    let cases = [
        ("one\n\ntwo\n\nthree", "one\n\ntwo\n\nthree"),
        ("a\r\nb\r\nc", "a\nb\nc"),
        ("x\n    y", "x\n    y"),
        ("p\nq", "p\nq"),
        ("tab\there", "tab\there"),
        ("  indented first line", "  indented first line"),
    ];
    for (sent, read) in cases {
        socket.say(sent).await;
        assert_eq!(socket.message().await, read);
        assert_eq!(page.row().await.text, read);
    }
    let read: Vec<_> = cases.iter().map(|case| case.1).collect();
    assert_eq!(person.opens(&room).await.messages(), read);
    let (events, _) = socket.page(u64::from(u32::MAX), 50).await;
    assert_eq!(tests::heard::bodies(&events), read);
}

#[tokio::test]
async fn pages_lead_back_to_the_first_event_without_holes_or_repeats() {
    let (person, room, mut socket) = alone("Pager").await;
    socket.say_all((0..130).map(|n| format!("m-{n}"))).await;
    let all = socket.whole_history(50).await;
    assert_eq!(all.len(), 131, "the room's making, and 130 messages");
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[1].prev == pair[0].seq), "one chain");
    assert_eq!(all[0].prev, 0);
    assert_eq!(socket.whole_history(1).await.len(), 131);
    assert_eq!(socket.whole_history(100).await, all);
    let cursor = person.opens(&room).await.cursor;
    let mut page = person.connects_as_page(&room, &cursor).await;
    let (rows, more) = page.page(all[100].seq, 100).await;
    assert!(!more);
    assert_eq!(
        rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
        all[..100].iter().map(|e| e.seq).collect::<Vec<_>>()
    );
    let (rows, more) = page.page(all[101].seq, 100).await;
    assert!(more && rows.len() == 100 && rows[0].seq == all[1].seq);
}

#[tokio::test]
async fn the_pages_own_older_rows_meet_without_a_seam() {
    let (person, room, mut socket) = alone("Scroller").await;
    socket.say_all((0..120).map(|n| format!("m-{n}"))).await;
    let view = person.opens(&room).await;
    let mut rows = view.rows.clone();
    loop {
        let before = rows[0].seq;
        let older = person.get(&format!("/room/{room}/history/?before={before}")).await;
        assert_eq!(older.status, 200, "{}", older.body);
        let mut page = html::rows(&older.body);
        let more = html::attribute(&older.body, "data-more").unwrap();
        assert!(!page.is_empty() || more == "false");
        page.append(&mut rows);
        rows = page;
        if more == "false" {
            break;
        }
    }
    assert_eq!(rows.len(), 121);
    assert!(rows.windows(2).all(|pair| pair[1].prev == pair[0].seq), "one chain");
}

#[tokio::test]
async fn older_pages_stay_right_while_others_write() {
    let (person, room, mut socket) = alone("Reader").await;
    let writer = Person::arrives(&person.address, "Writer").await;
    writer.joins(&room).await;
    socket.say_all((0..300).map(|n| format!("m-{n}"))).await;
    let writing = async {
        let mut socket = writer.connects(&room).await;
        for n in 0..60 {
            socket.say(&format!("live-{n}")).await;
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    };
    let mut reader = person.connects(&room).await;
    let reading = async {
        let mut histories = Vec::new();
        for _ in 0..4 {
            histories.push(reader.whole_history(50).await);
        }
        histories
    };
    let ((), histories) = tokio::join!(writing, reading);
    let whole = reader.whole_history(100).await;
    assert_eq!(whole.len(), 302 + 60);
    for history in histories {
        assert_eq!(history, whole[..history.len()], "a page read meanwhile differs from what is stored");
    }
}
