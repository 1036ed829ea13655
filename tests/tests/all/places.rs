//! Pages after and around a spot of a room: by message, sequence and time, with the history worker and without.

use protocol::Timestamp;
use protocol::frame::Refusal;
use protocol::subject::Shard;
use serde_json::json;
use tests::backchat::shared;
use tests::eventually::{SOON, eventually};
use tests::heard::{Heard, Seen};
use tests::html;
use tests::http::Ask;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::services::Services;
use tests::stored;

fn sequences(rows: &[Seen]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

/// All of a room, page by page from its first row on.
async fn forwards(socket: &mut JsonSocket, limit: usize) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row.seq);
        let (page, more) = socket.page_at("after", json!(after), limit).await;
        if page.is_empty() {
            return all;
        }
        assert_eq!(more, !all.is_empty(), "only the first page has nothing before it");
        all.extend(page);
    }
}

#[tokio::test]
async fn pages_forwards_and_around_are_right_with_the_history_worker_and_without() {
    let mut services = Services::start(1).await;
    let person = Person::arrives(&services.address(0), "Walker").await;
    let room = person.creates("Walked").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    let early = socket.say_all((0..130).map(|n| format!("early-{n}"))).await;
    let broker = services.nats.connect().await;
    let last = broker.get(&Shard(0).stream(), *early.last().unwrap()).await.unwrap().unwrap();
    let noon = eventually("the clock has gone on", SOON, || async {
        let now = Timestamp::now();
        (now > last.at).then_some(now)
    })
    .await;
    socket.say_all((0..130).map(|n| format!("late-{n}"))).await;
    // Changes are events without a row: the last of the log, and some between.
    let all = socket.whole_history(100).await;
    let changed = all[70].id;
    socket.edit(all[200].id, "late and edited").await;
    let reaction = socket.react(changed, "👍", true).await;
    socket.acknowledged(reaction).await;
    stored::worker_history(&broker, &room).await;
    for is_worker_there in [true, false] {
        if !is_worker_there {
            services.worker.kill();
        }
        let all = socket.whole_history(100).await;
        assert_eq!(all.len(), 261);
        for limit in [1, 50, 100] {
            // One row at a time is slow to walk, and says no more after some.
            if limit == 1 {
                let (page, _) = socket.page_at("after", json!(all[100].seq), 1).await;
                assert_eq!(page, all[101..102]);
                continue;
            }
            assert_eq!(forwards(&mut socket, limit).await, all, "{limit}, {is_worker_there}");
        }
        let (around, more) = socket.page_at("around", json!(all[130].id), 50).await;
        assert_eq!(sequences(&around), sequences(&all[105..155]), "25 before it, itself and 24 behind it");
        assert!(more);
        let (same, _) = socket.page_at("around", json!(all[130].seq), 50).await;
        assert_eq!(same, around);
        let (since_noon, _) = socket.page_at("around", json!(noon.to_string()), 50).await;
        assert_eq!(since_noon[25].body.as_deref(), Some("late-0"));
        let (first, more) = socket.page_at("around", json!(all[0].seq), 50).await;
        assert_eq!((&first[..], more), (&all[..25], false), "nothing is before the first");
        let (last, _) = socket.page_at("around", json!(all[260].id), 50).await;
        assert_eq!(last, all[211..], "at the end a page is filled with what is before");
        let (newest, _) = socket.page_at("around", json!("2999-01-01"), 50).await;
        assert_eq!(newest, all[211..], "nothing is so new");
    }
    // What the worker, which is away, has not seen.
    let new = socket.say("new").await;
    let (page, _) = socket.page_at("after", json!(all[259].seq), 50).await;
    assert_eq!(page.iter().map(|row| row.seq).collect::<Vec<_>>(), [all[260].seq, new]);
}

#[tokio::test]
async fn a_place_that_makes_no_sense_is_named() {
    let person = Person::arrives(&shared().await, "Nowhere").await;
    let room = person.creates("Nowhere").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    for (frame, field) in [
        (json!({"type": "page"}), "before, after or around"),
        (json!({"type": "page", "before": 5, "after": 3}), "before, after or around"),
        (json!({"type": "page", "after": "x"}), "after"),
        (json!({"type": "page", "around": "yesterday"}), "around"),
        (json!({"type": "page", "around": -1}), "around"),
    ] {
        socket.ask(frame.clone()).await;
        let refused = socket.refused().await;
        assert_eq!(refused.code, Refusal::BadField, "{frame}");
        assert!(refused.message.contains(field), "{frame}: {}", refused.message);
    }
    assert_eq!(socket.kept_of(|heard| matches!(heard, Heard::Page { .. })), 0);
}

#[tokio::test]
async fn an_address_opens_a_room_at_a_message_or_says_that_it_is_not_there() {
    let person = Person::arrives(&shared().await, "Linker").await;
    let room = person.creates("Linked").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..120).map(|n| format!("m-{n}"))).await;
    let all = socket.whole_history(100).await;
    let meant = &all[40];
    let at = |spot: &str| format!("/room/{room}/?at={spot}");
    for spot in [meant.id.to_string(), meant.seq.to_string()] {
        let page = person.get(&at(&spot)).await;
        assert_eq!(page.status, 200);
        let rows: Vec<u64> = html::rows(&page.body).iter().map(|row| row.seq).collect();
        assert_eq!(rows, sequences(&all[15..65]));
        assert_eq!(html::attribute(&page.body, "data-spot"), Some(meant.id.to_string()));
        let last = all[120].seq.to_string();
        assert_eq!(html::attribute(&page.body, "data-tail"), Some(last.clone()), "more is below");
        assert_eq!(html::attribute(&page.body, "data-head"), Some(last), "its socket goes on from the end");
        assert!(page.body.contains(&format!("?after={}", all[64].seq)), "a way on without a script");
        assert!(page.body.contains(&format!("href=\"?at={}\"", meant.id)), "a message's time is its link");
    }
    let newer = person.get(&format!("/room/{room}/?after={}", all[64].seq)).await;
    let rows: Vec<u64> = html::rows(&newer.body).iter().map(|row| row.seq).collect();
    assert_eq!(rows, sequences(&all[65..115]));
    let behind = format!("/room/{room}/?after={}", all[120].seq);
    let all_before = format!("/room/{room}/?before=1");
    let missing = ["0197b6f0-7d1c-7a54-9c0e-2f3a6f1d9e10", "yesterday", "2999-01-01", "%3Cb%3E"].map(at);
    for address in missing.into_iter().chain([behind, all_before]) {
        let page = person.get(&address).await;
        assert_eq!(page.status, 200, "{address}");
        assert!(page.body.contains("not in this room"), "{address}");
        let rows: Vec<u64> = html::rows(&page.body).iter().map(|row| row.seq).collect();
        assert_eq!(rows, sequences(&all[71..]), "{address}: the newest are shown");
    }
    let other = Person::arrives(&person.address, "Stranger").await;
    let page = other.get(&at(&meant.id.to_string())).await;
    assert!(html::rows(&page.body).is_empty(), "who is no member sees an invitation");
    let fragment = other.get(&format!("/room/{room}/history/?after=0")).await;
    assert!([403, 404].contains(&fragment.status), "{}", fragment.status);
    let nobody = Ask::get(&at(&meant.id.to_string())).send(&person.address).await;
    let login = nobody.location();
    assert!(login.contains("next=") && login.contains("at%3D"), "a link survives the login: {login}");
}
