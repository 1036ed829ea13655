//! Edits, deletions and reactions: events of the room's log like any other.

use protocol::MessageId;
use protocol::frame::{EventFrame, MessageFrame, Refusal};
use tests::backchat::shared;
use tests::json_socket::JsonSocket;
use tests::person::Person;

/// Two members of a room, the first of them its owner, each with a socket that is caught up.
async fn two(name: &str) -> (Person, Person, String, JsonSocket, JsonSocket) {
    let address = shared().await;
    let alice = Person::arrives(&address, name).await;
    let bob = Person::arrives(&address, "Bob").await;
    let room = alice.creates("Changes").await;
    bob.joins(&room).await;
    let (mut hers, mut his) = (alice.connects(&room).await, bob.connects(&room).await);
    hers.caught_up().await;
    his.caught_up().await;
    (alice, bob, room, hers, his)
}

async fn said(socket: &mut JsonSocket, body: &str) -> MessageId {
    let id = socket.send(body).await;
    socket.acknowledged(id).await;
    id
}

async fn edited(socket: &mut JsonSocket, target: MessageId, body: &str) -> u64 {
    let id = socket.edit(target, body).await;
    socket.acknowledged(id).await.0
}

async fn deleted(socket: &mut JsonSocket, target: MessageId) -> u64 {
    let id = socket.delete(target).await;
    socket.acknowledged(id).await.0
}

/// The row of a message in the room's newest page.
async fn row(socket: &mut JsonSocket, id: MessageId) -> Option<MessageFrame> {
    let (rows, _) = socket.rows(i64::MAX as u64, 100).await;
    rows.into_iter().find_map(|row| match row {
        EventFrame::Message(message) if message.head.id == id => Some(message),
        _ => None,
    })
}

async fn refusal(socket: &mut JsonSocket, id: MessageId) -> Refusal {
    let refused = socket.refused().await;
    assert_eq!(refused.id, Some(id), "the answer names the request");
    refused.code
}

#[tokio::test]
async fn an_edit_reaches_those_who_are_there_and_those_who_come_later() {
    let (_, bob, room, mut hers, mut his) = two("Alice").await;
    let id = said(&mut hers, "v1").await;
    assert_eq!(his.message().await, "v1");
    let seq = edited(&mut hers, id, "v2").await;
    match his.frame().await {
        EventFrame::Edited { head, target, body } => {
            assert_eq!((head.seq, target, body.as_str()), (seq, id, "v2"));
        }
        other => panic!("not an edit: {other:?}"),
    }
    let page = bob.opens(&room).await;
    assert_eq!(page.messages(), ["v2"], "a page shows what is written now");
    let mut later = bob.connects(&room).await;
    let now = row(&mut later, id).await.unwrap();
    assert_eq!(now.body, "v2");
    assert!(now.edited_at.is_some());
}

#[tokio::test]
async fn whoever_was_away_gets_the_edits() {
    let (_, bob, room, mut hers, _) = two("Alice").await;
    let id = said(&mut hers, "v1").await;
    let cursor = bob.opens(&room).await.cursor;
    edited(&mut hers, id, "v2").await;
    edited(&mut hers, id, "v3").await;
    let mut back = bob.connects_after(&room, &cursor).await;
    let mut texts = Vec::new();
    for _ in 0..2 {
        match back.frame().await {
            EventFrame::Edited { target, body, .. } if target == id => texts.push(body),
            other => panic!("not an edit: {other:?}"),
        }
    }
    assert_eq!(texts, ["v2", "v3"]);
}

#[tokio::test]
async fn only_its_author_edits_a_message() {
    let (_, _, _, mut hers, mut his) = two("Alice").await;
    let id = said(&mut his, "mine").await;
    let edit = hers.edit(id, "yours").await;
    assert_eq!(refusal(&mut hers, edit).await, Refusal::NotAllowed, "not even the room's owner");
    assert_eq!(row(&mut his, id).await.unwrap().body, "mine");
}

#[tokio::test]
async fn its_author_and_the_rooms_owner_delete_a_message() {
    let (_, _, _, mut hers, mut his) = two("Alice").await;
    let (owners, members) = (said(&mut hers, "the owner's").await, said(&mut his, "the member's").await);
    let deletion = his.delete(owners).await;
    assert_eq!(refusal(&mut his, deletion).await, Refusal::NotAllowed);
    deleted(&mut hers, members).await;
    deleted(&mut hers, owners).await;
    assert_eq!(row(&mut his, members).await, None);
    assert_eq!(row(&mut his, owners).await, None);
}

#[tokio::test]
async fn a_deleted_text_is_gone_from_all_that_a_client_can_fetch() {
    let (alice, bob, room, mut hers, mut his) = two("Alice").await;
    let cursor = bob.opens(&room).await.cursor;
    let id = said(&mut hers, "needle-one").await;
    edited(&mut hers, id, "needle-two").await;
    said(&mut hers, "after").await;
    assert_eq!(his.message().await, "needle-one");
    deleted(&mut hers, id).await;
    loop {
        if let EventFrame::Deleted { target, .. } = his.frame().await {
            assert_eq!(target, id);
            break;
        }
    }
    for person in [&alice, &bob] {
        let html = person.opens(&room).await.html;
        assert!(!html.contains("needle"), "the page still has the text");
        assert!(html.contains("after"));
    }
    // From the cursor before it, by either format, and by pages.
    let mut back = bob.connects_after(&room, &cursor).await;
    let mut seen = Vec::new();
    while !seen.iter().any(|frame| matches!(frame, EventFrame::Deleted { .. })) {
        seen.push(back.frame().await);
    }
    assert!(!format!("{seen:?}").contains("needle"), "{seen:?}");
    assert!(!format!("{:?}", back.rows(i64::MAX as u64, 100).await).contains("needle"));
    let mut fragments = bob.connects_as_page(&room, &cursor).await;
    let heard = fragments.until(|html| html.contains("data-cursor").then(|| html.to_owned())).await;
    assert!(!heard.contains("needle"));
    // What is gone can't be changed.
    let edit = hers.edit(id, "back?").await;
    assert_eq!(refusal(&mut hers, edit).await, Refusal::NoSuchMessage);
    let again = hers.delete(id).await;
    assert_eq!(refusal(&mut hers, again).await, Refusal::NoSuchMessage);
}

#[tokio::test]
async fn a_change_that_is_sent_again_is_stored_once() {
    let (_, _, _, mut hers, mut his) = two("Alice").await;
    let id = said(&mut hers, "v1").await;
    let edit = serde_json::json!({"type": "edit", "id": MessageId::new(), "target": id, "body": "v2"});
    let deletion = serde_json::json!({"type": "delete", "id": MessageId::new(), "target": id});
    let mut places = Vec::new();
    for frame in [&edit, &edit, &deletion, &deletion] {
        hers.ask(frame.clone()).await;
        let of: MessageId = serde_json::from_value(frame["id"].clone()).unwrap();
        places.push(hers.acknowledged(of).await);
    }
    assert_eq!(places[1], (places[0].0, true));
    assert_eq!(places[3], (places[2].0, true));
    said(&mut hers, "end").await;
    let mut kinds = Vec::new();
    loop {
        match his.frame().await {
            EventFrame::Message(message) if message.body == "end" => break,
            // The deletion may take the text of the edit away before it was told.
            EventFrame::Edited { head, .. } | EventFrame::Erased(head)
                if serde_json::json!(head.id) == edit["id"] =>
            {
                kinds.push("edited");
            }
            EventFrame::Deleted { .. } => kinds.push("deleted"),
            _ => {}
        }
    }
    assert_eq!(kinds, ["edited", "deleted"]);
}

#[tokio::test]
async fn of_two_changes_at_once_both_are_in_the_log_in_one_order() {
    let (_, bob, room, mut hers, mut his) = two("Alice").await;
    let id = said(&mut his, "v0").await;
    let mut second = bob.connects(&room).await;
    second.caught_up().await;
    let (one, two) = (his.edit(id, "from one socket").await, second.edit(id, "from the other").await);
    let (first, last) = (his.acknowledged(one).await.0, second.acknowledged(two).await.0);
    let expected = if first > last { "from one socket" } else { "from the other" };
    assert_eq!(row(&mut hers, id).await.unwrap().body, expected);
}

#[tokio::test]
async fn reactions_count_people_and_can_be_taken_back() {
    let (alice, bob, _, mut hers, mut his) = two("Alice").await;
    let id = said(&mut hers, "well?").await;
    for socket in [&mut hers, &mut his] {
        let reaction = socket.react(id, "👍", true).await;
        socket.acknowledged(reaction).await;
    }
    let given = row(&mut his, id).await.unwrap().reactions;
    assert_eq!(given.len(), 1);
    let names: Vec<_> = given[0].by.iter().map(|person| person.name.as_str()).collect();
    assert_eq!((given[0].count, names), (2, vec![alice.name.as_str(), bob.name.as_str()]));
    let back = hers.react(id, "👍", false).await;
    hers.acknowledged(back).await;
    let given = row(&mut his, id).await.unwrap().reactions;
    assert_eq!((given[0].count, given[0].by[0].name.as_str()), (1, bob.name.as_str()));
    hers.ask(serde_json::json!({"type": "react", "target": id, "reaction": "no"})).await;
    assert_eq!(hers.refused().await.code, Refusal::BadField);
    let nothing = hers.react(MessageId::new(), "👍", true).await;
    assert_eq!(refusal(&mut hers, nothing).await, Refusal::NoSuchMessage);
}

#[tokio::test]
async fn a_message_of_another_room_is_out_of_reach() {
    let (alice, _, _, mut hers, _) = two("Alice").await;
    let elsewhere = alice.creates("Elsewhere").await;
    let mut other = alice.connects(&elsewhere).await;
    other.caught_up().await;
    let id = other.send("in the other room").await;
    let (seq, _) = other.acknowledged(id).await;
    let edit = MessageId::new();
    let frame = serde_json::json!({"type": "edit", "id": edit, "target": id, "target_seq": seq, "body": "x"});
    hers.ask(frame).await;
    assert_eq!(refusal(&mut hers, edit).await, Refusal::NoSuchMessage);
}

#[tokio::test]
async fn an_old_id_is_looked_for_beyond_the_brokers_window() {
    let (_, _, _, mut hers, mut his) = two("Alice").await;
    // Made ten minutes ago, as by a page that was offline: the broker's window would not know it any more.
    let old = uuid::Timestamp::from_unix(uuid::NoContext, now_s() - 600, 0);
    let id = MessageId(uuid::Uuid::new_v7(old));
    hers.send_as(id, "written offline").await;
    let (seq, duplicate) = hers.acknowledged(id).await;
    assert!(!duplicate);
    hers.send_as(id, "written offline").await;
    assert_eq!(hers.acknowledged(id).await, (seq, true));
    hers.send_as(id, "another text").await;
    assert_eq!(refusal(&mut hers, id).await, Refusal::IdReused);
    said(&mut hers, "end").await;
    assert_eq!(his.messages(2).await, ["written offline", "end"]);
}

fn now_s() -> u64 {
    u64::try_from(protocol::Timestamp::now().as_millis() / 1_000).unwrap()
}
