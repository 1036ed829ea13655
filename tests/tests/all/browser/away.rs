//! Away for a while: in a hidden tab, and without a network, at the same time.

use std::time::Duration;
use tests::backchat::shared;
use tests::browser::{PAGE, turn};
use tests::eventually::eventually;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::proxy::Proxy;
use tests::room_page::RoomPage;
use tokio::time::{Instant, sleep_until};

const HIDDEN: Duration = Duration::from_secs(120);
const OFFLINE: Duration = Duration::from_secs(60);
const MESSAGES: usize = 30;

/// The titles of the browser's tabs, those that nobody looks at too.
async fn titles(page: &RoomPage) -> Vec<String> {
    let targets = page.browser.cdp("Target.getTargets", serde_json::json!({})).await;
    let targets = targets["targetInfos"].as_array().cloned().unwrap_or_default();
    targets.iter().filter_map(|target| target["title"].as_str().map(str::to_owned)).collect()
}

/// Says as much as fills the time, and changes what was said before.
async fn talk(other: &mut JsonSocket, until: Instant) -> Vec<String> {
    let from = Instant::now();
    let mut said = Vec::new();
    for n in 0..MESSAGES {
        let step = (until - from) / MESSAGES as u32 * n as u32;
        sleep_until(from + step).await;
        let text = format!("m-{n}");
        let id = other.send(&text).await;
        other.acknowledged(id).await;
        match n % 10 {
            3 => {
                let edit = other.edit(id, &format!("{text} edited")).await;
                other.acknowledged(edit).await;
                said.push(format!("{text} edited"));
            }
            6 => {
                let deletion = other.delete(id).await;
                other.acknowledged(deletion).await;
            }
            9 => {
                let reaction = other.react(id, "🎉", true).await;
                other.acknowledged(reaction).await;
                said.push(text);
            }
            _ => said.push(text),
        }
    }
    said
}

#[tokio::test]
async fn a_minute_without_a_network_and_two_in_a_hidden_tab_lose_nothing() {
    let _turn = turn().await;
    let address = shared().await;
    let (ann, ben) = (Person::arrives(&address, "Ann").await, Person::arrives(&address, "Ben").await);
    let room = ann.creates("Away").await;
    ben.joins(&room).await;
    let proxy = Proxy::to(&address).await;
    let through = ben.elsewhere().await.through(proxy.address());
    let (hidden, cut) = tokio::join!(RoomPage::open(&ben, &room), RoomPage::open(&through, &room));
    let driver = hidden.browser.driver();
    let window = driver.window().await.unwrap();
    let other_tab = driver.new_tab().await.unwrap();
    driver.switch_to_window(other_tab).await.unwrap();
    let from = Instant::now();
    proxy.cut_off();
    let mut other = ann.connects(&room).await;
    let said = talk(&mut other, from + OFFLINE).await;
    // A socket that nobody reads answers no pings, and would be closed before the minute that follows is over.
    drop(other);
    sleep_until(from + OFFLINE).await;
    assert!(cut.messages().await.is_empty(), "nothing reaches the page that is cut off");
    proxy.mend();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    cut.shows(&said).await;
    assert_eq!(cut.browser.count(".body[data-edited-at]").await, 3);
    assert_eq!(cut.browser.count(".pill").await, 3);
    assert_eq!(cut.browser.count(".row[data-kind=erased]").await, 3);

    sleep_until(from + HIDDEN).await;
    ann.connects(&room).await.say("the last").await;
    let wanted = format!("({}) Away", MESSAGES + 1);
    eventually("the hidden tab's title counts", PAGE, || async {
        titles(&hidden).await.iter().any(|title| title.starts_with(&wanted)).then_some(())
    })
    .await;
    driver.switch_to_window(window).await.unwrap();
    let said: Vec<&str> = said.into_iter().chain(["the last"]).collect();
    hidden.shows(&said).await;
    cut.shows(&said).await;
    assert_eq!(hidden.rows().await, cut.rows().await);
    hidden.browser.cdp("Page.bringToFront", serde_json::json!({})).await;
    eventually("seen, it counts no more", PAGE, || async {
        hidden.browser.title().await.starts_with("Away").then_some(())
    })
    .await;
    hidden.close().await;
    cut.close().await;
}
