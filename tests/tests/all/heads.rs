//! The list of rooms moves by itself: news of rooms that a person has and has not open.

use protocol::frame::EventFrame;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::browser::{Browser, Screen, turn};
use tests::eventually::eventually;
use tests::heard::Heard;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::services::Services;
use tokio::time::{Instant, timeout};

/// The next room with news, and what was said last in it.
async fn news(list: &mut JsonSocket) -> (String, String) {
    list.until(|heard| match heard {
        Heard::Head { room, last } => match &**last {
            EventFrame::Message(message) => Some((room.clone(), message.body.clone())),
            _ => Some((room.clone(), String::new())),
        },
        _ => None,
    })
    .await
}

async fn becomes(list: &mut JsonSocket, expected: &[(&str, &str)]) {
    let mut last = BTreeMap::new();
    let is_there = |last: &BTreeMap<String, String>| {
        expected.iter().all(|(room, text)| last.get(*room).is_some_and(|said| said == text))
    };
    while !is_there(&last) {
        let next = timeout(Duration::from_secs(15), news(list)).await;
        let (room, text) = next.unwrap_or_else(|_| panic!("waited for {expected:?}, but heard {last:?}"));
        last.insert(room, text);
    }
}

#[tokio::test]
async fn a_list_hears_of_all_its_rooms_from_every_gateway_and_of_no_other() {
    let services = Services::start(2).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let (tea, chai, secret) =
        (ann.creates("Tea").await, ann.creates("Chai").await, ann.creates("Secret").await);
    ben.joins(&tea).await;
    ben.joins(&chai).await;
    let elsewhere = ann.through(&services.address(1));
    let mut socket = elsewhere.connects(&tea).await;
    socket.say("before").await;
    let mut list = ben.watches_rooms().await;
    becomes(&mut list, &[(&tea, "before")]).await;
    // What is said at another gateway, in a room that is open nowhere at this one.
    socket.say("now").await;
    elsewhere.connects(&chai).await.say("and here").await;
    elsewhere.connects(&secret).await.say("not for Ben").await;
    becomes(&mut list, &[(&tea, "now"), (&chai, "and here")]).await;
    // Many messages are one piece of news in a second.
    let (began, mut heard) = (Instant::now(), 0);
    socket.say_all((0..60).map(|n| format!("m-{n}"))).await;
    loop {
        heard += 1;
        if news(&mut list).await == (tea.clone(), "m-59".to_owned()) {
            break;
        }
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(heard <= seconds + 2, "{heard} pieces of news in {seconds} s");
    // Whoever has left hears no more of it.
    ben.leaves(&tea).await;
    socket.say("after he left").await;
    elsewhere.connects(&chai).await.say("still here").await;
    loop {
        let (room, text) = news(&mut list).await;
        assert!(room != tea || text != "after he left", "he has left this room");
        assert_ne!(room, secret);
        if (room, text) == (chai.clone(), "still here".to_owned()) {
            break;
        }
    }
}

#[tokio::test]
async fn the_page_of_rooms_moves_by_itself_and_comes_back_after_its_gateway_was_gone() {
    let mut services = Services::start(2).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let (tea, chai) = (ann.creates("Tea").await, ann.creates("Chai").await);
    let _turn = turn().await;
    let browser = Browser::of(&ann, Screen::DESK).await;
    browser.goto("/").await;
    let first = async || browser.text(".room-list li:first-child").await;
    assert!(first().await.contains("Chai"), "the newest room stands first");
    let elsewhere = ann.through(&services.address(1));
    let mut socket = elsewhere.connects(&tea).await;
    socket.say("the kettle sings").await;
    eventually("tea has moved up", Duration::from_secs(10), || async {
        first().await.contains("the kettle sings").then_some(())
    })
    .await;
    assert_eq!(browser.count(".room-list li").await, 2, "an entry takes the place of the old one");
    services.gateways[0].kill();
    elsewhere.connects(&chai).await.say("while nobody listened").await;
    services.gateways[0].start().await;
    eventually("what was missed is there", Duration::from_secs(40), || async {
        first().await.contains("while nobody listened").then_some(())
    })
    .await;
    assert_eq!(browser.console_errors().await.iter().filter(|line| !line.contains("WebSocket")).count(), 0);
    browser.close().await;
}
