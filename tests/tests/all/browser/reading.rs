//! Reading: old messages, new ones, and the place where one was.

use std::collections::BTreeSet;
use std::time::Duration;
use tests::backchat::shared;
use tests::browser::{Key, PAGE, turn};
use tests::eventually::eventually;
use tests::person::Person;
use tests::room_page::RoomPage;
use tokio::time::{Instant, sleep};

/// A room with so many messages `m-1` …, and its page.
async fn room_with(name: &str, messages: usize) -> (Person, String, RoomPage) {
    let person = Person::arrives(&shared().await, name).await;
    let room = person.creates("Reading").await;
    person.connects(&room).await.say_all((1..=messages).map(|n| format!("m-{n}"))).await;
    let page = RoomPage::open(&person, &room).await;
    (person, room, page)
}

#[tokio::test]
async fn two_thousand_messages_are_scrolled_back_to_the_first() {
    const MESSAGES: usize = 2_000;
    let _turn = turn().await;
    let (_, _, page) = room_with("Scroller", MESSAGES).await;
    let all: BTreeSet<String> = (1..=MESSAGES).map(|n| format!("m-{n}")).collect();
    let mut seen = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while seen.len() < all.len() {
        assert!(Instant::now() < deadline, "{} of {MESSAGES} were shown", seen.len());
        let rows = page.rows().await;
        let sequences: Vec<u64> = rows.iter().map(|row| row.seq).filter(|seq| *seq > 0).collect();
        let is_whole = sequences.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] < 4);
        assert!(is_whole, "in order, none repeated, no hole within what is shown: {sequences:?}");
        assert!(rows.len() < 500, "the page keeps {} rows", rows.len());
        seen.extend(rows.into_iter().filter(|row| row.kind == "message").map(|row| row.text));
        page.scrolls_to_top().await;
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen, all);
    // The page of the first message need not be the first page.
    eventually("the beginning of the room is shown", PAGE, || async {
        page.scrolls_to_top().await;
        page.browser.is_visible("#intro").await.then_some(())
    })
    .await;
    page.browser.screenshot("beginning").await;
    assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
    page.close().await;
}

#[tokio::test]
async fn a_page_of_older_messages_moves_nothing_that_is_seen() {
    let _turn = turn().await;
    let (_, _, page) = room_with("Steady", 300).await;
    for _ in 0..3 {
        let rows = page.messages().await;
        let top = rows[10].clone();
        let count = rows.len();
        page.scrolls_to(&top).await;
        let before = page.offset(&top).await.unwrap();
        eventually("older messages are loaded", PAGE, || async {
            (page.messages().await.len() > count).then_some(())
        })
        .await;
        sleep(Duration::from_millis(300)).await;
        let after = page.offset(&top).await.unwrap();
        assert!((before - after).abs() <= 2.0, "{top} moved from {before} to {after}");
    }
    page.close().await;
}

#[tokio::test]
async fn who_reads_old_messages_is_not_thrown_to_the_end() {
    let _turn = turn().await;
    let (person, room, page) = room_with("Reader", 300).await;
    page.scrolls_to("m-265").await;
    sleep(Duration::from_millis(600)).await;
    page.scrolls_to("m-265").await;
    let before = page.offset("m-265").await.unwrap();
    let friend = Person::arrives(&person.address, "Friend").await;
    friend.joins(&room).await;
    let mut other = friend.connects(&room).await;
    for n in 0..20 {
        other.say(&format!("new-{n}")).await;
    }
    eventually("something says that there is news below", PAGE, || async {
        page.browser.is_visible("#to-end").await.then_some(())
    })
    .await;
    let after = page.offset("m-265").await.unwrap();
    assert!((before - after).abs() <= 2.0, "it moved from {before} to {after}");
    page.browser.screenshot("news-below").await;
    page.browser.click("#to-end").await;
    eventually("the page is at its end", PAGE, || async {
        (page.distance_to_end().await <= 10.0).then_some(())
    })
    .await;
    for n in 20..25 {
        other.say(&format!("new-{n}")).await;
    }
    page.shows_one("new-24").await;
    eventually("it follows", PAGE, || async { (page.distance_to_end().await <= 10.0).then_some(()) }).await;
    page.close().await;
}

#[tokio::test]
async fn a_reload_returns_to_the_message_that_was_read() {
    let _turn = turn().await;
    let (_, _, page) = room_with("Returner", 200).await;
    page.scrolls_to("m-160").await;
    sleep(Duration::from_millis(800)).await;
    page.scrolls_to("m-160").await;
    sleep(Duration::from_millis(500)).await;
    let before = page.offset("m-160").await.unwrap();
    page.browser.reload().await;
    eventually("the same message is at the same place", PAGE, || async {
        let after = page.offset("m-160").await?;
        ((before - after).abs() <= 4.0).then_some(())
    })
    .await;
    page.close().await;
}

#[tokio::test]
async fn back_from_another_page_everything_is_there_once() {
    let _turn = turn().await;
    let (person, room, page) = room_with("Goer", 3).await;
    page.types("half a text").await;
    page.browser.goto("/create/").await;
    let mut other = person.connects(&room).await;
    for n in 0..5 {
        other.say(&format!("new-{n}")).await;
    }
    page.browser.back().await;
    let wanted = ["m-1", "m-2", "m-3", "new-0", "new-1", "new-2", "new-3", "new-4"];
    page.shows(&wanted).await;
    assert_eq!(page.field().await, "half a text");
    page.browser.press(Key::End).await;
    page.types(", back-1").await;
    page.browser.press(Key::Enter).await;
    other.say("live").await;
    page.shows_one("live").await;
    let messages = page.messages().await;
    assert_eq!(messages.iter().filter(|text| text.contains("back-1")).count(), 1, "{messages:?}");
    assert_eq!(messages.len(), 10, "{messages:?}");
    page.close().await;
}

#[tokio::test]
async fn a_hidden_tab_misses_nothing() {
    let _turn = turn().await;
    let (person, room, page) = room_with("Hider", 1).await;
    let driver = page.browser.driver();
    let shown = driver.window().await.unwrap();
    let other_tab = driver.new_tab().await.unwrap();
    driver.switch_to_window(other_tab).await.unwrap();
    let mut other = person.connects(&room).await;
    for n in 0..30 {
        other.say(&format!("hidden-{n}")).await;
    }
    sleep(Duration::from_secs(3)).await;
    driver.switch_to_window(shown).await.unwrap();
    let wanted: Vec<String> =
        std::iter::once("m-1".into()).chain((0..30).map(|n| format!("hidden-{n}"))).collect();
    page.shows(&wanted.iter().map(String::as_str).collect::<Vec<_>>()).await;
    page.close().await;
}

#[tokio::test]
async fn a_message_says_who_wrote_it_and_when_to_those_who_listen() {
    let _turn = turn().await;
    let (person, _, page) = room_with("Listener", 2).await;
    let labels: Vec<String> = page
        .browser
        .script(
            "return [...document.querySelectorAll('#messages article.row')].map(row => row.getAttribute('aria-labelledby')
                .split(' ').map(id => document.getElementById(id).textContent).join(' '));",
            vec![],
        )
        .await;
    assert_eq!(labels.len(), 3);
    assert!(labels.iter().all(|label| label.contains(&person.name) && label.contains(':')), "{labels:?}");
    let role: String =
        page.browser.script("return document.querySelector('#messages').getAttribute('role');", vec![]).await;
    assert_eq!(role, "log");
    page.close().await;
}
