//! Sending from the page: at once, in order, once.

use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::browser::{Key, PAGE, turn};
use tests::eventually::{becomes, eventually};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::room_page::RoomPage;
use tokio::time::sleep;

#[tokio::test]
async fn an_impatient_person_on_a_slow_line_sends_once() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Impatient").await;
    let room = person.creates("Slow line").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    proxy.slow(Duration::from_secs(3));
    page.types("hello once").await;
    for _ in 0..10 {
        page.browser.press(Key::Enter).await;
    }
    assert_eq!(page.field().await, "", "the field is empty at once");
    let rows = page.rows().await;
    assert!(
        rows.iter().any(|row| row.text.contains("hello once") && row.pending),
        "a pending row shows at once: {rows:?}"
    );
    page.shows(&["hello once"]).await;
    page.types("clicked once").await;
    for _ in 0..10 {
        page.browser
            .script::<serde_json::Value>("document.querySelector('#composer .send').click();", vec![])
            .await;
    }
    page.shows(&["hello once", "clicked once"]).await;
    assert_eq!(person.opens(&room).await.messages(), ["hello once", "clicked once"]);
    page.close().await;
}

#[tokio::test]
async fn what_is_written_offline_goes_out_in_order() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Offline").await;
    let room = person.creates("Tunnel").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    let mut other = person.connects(&room).await;
    other.caught_up().await;
    proxy.cut_off();
    page.browser.offline(true).await;
    for text in ["a", "b", "c", "d"] {
        page.says(text).await;
    }
    page.says_of_connection("Reconnecting", Duration::from_secs(10)).await;
    page.browser.screenshot("reconnecting").await;
    page.says_of_connection("Offline", Duration::from_secs(20)).await;
    assert!(page.rows().await.iter().filter(|row| row.pending).count() == 4);
    page.browser.screenshot("offline-pending").await;
    proxy.mend();
    page.browser.offline(false).await;
    page.shows(&["a", "b", "c", "d"]).await;
    page.says_nothing_of_connection(PAGE).await;
    assert_eq!(other.messages(4).await, ["a", "b", "c", "d"]);
    page.browser.reload().await;
    page.shows(&["a", "b", "c", "d"]).await;
    page.close().await;
}

#[tokio::test]
async fn what_is_written_offline_survives_the_page_itself() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Reloader").await;
    let room = person.creates("Reload").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    page.says("before").await;
    page.shows(&["before"]).await;
    proxy.cut_off();
    for text in ["a", "b", "c", "d"] {
        page.says(text).await;
    }
    // The tab goes elsewhere before the network is back.
    page.browser.driver().goto("about:blank").await.unwrap();
    proxy.mend();
    page.browser.goto(&format!("/room/{room}/")).await;
    page.shows(&["before", "a", "b", "c", "d"]).await;
    assert_eq!(person.opens(&room).await.messages(), ["before", "a", "b", "c", "d"]);
    page.close().await;
}

#[tokio::test]
async fn cuts_of_the_network_leave_one_socket_and_one_copy_of_each_message() {
    let _turn = turn().await;
    let backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let ben = Person::arrives(&backchat.address(), "Ben").await;
    let room = ann.creates("Cuts").await;
    ben.joins(&room).await;
    let proxy = Proxy::to(&backchat.address()).await;
    let page = RoomPage::open(&ben.through(proxy.address()), &room).await;
    for n in 0..5 {
        proxy.cut();
        sleep(Duration::from_millis(300)).await;
        let text = format!("round {n}");
        ann.connects(&room).await.say(&text).await;
        page.shows_one(&text).await;
    }
    ann.connects(&room).await.say("once-1").await;
    page.shows_one("once-1").await;
    page.says("once-2").await;
    page.shows(&["round 0", "round 1", "round 2", "round 3", "round 4", "once-1", "once-2"]).await;
    let operations = backchat.gateway_operations();
    becomes("the gateway counts one socket", PAGE, Some(1), || open_sockets(&operations)).await;
    page.close().await;
    becomes("and none once the page is closed", PAGE, Some(0), || open_sockets(&operations)).await;
}

async fn open_sockets(operations: &str) -> Option<u64> {
    let metrics = tests::http::Ask::get("/metrics").send(operations).await.body;
    let line = metrics.lines().find(|line| line.starts_with("backchat_gateway_sockets"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn while_the_server_is_away_messages_wait_and_are_sent_once_with_the_same_id() {
    let _turn = turn().await;
    let mut backchat = Backchat::without_rate_limit().await;
    let person = Person::arrives(&backchat.address(), "Waiter").await;
    let room = person.creates("Away").await;
    let page = RoomPage::open(&person, &room).await;
    page.says("before").await;
    page.shows(&["before"]).await;
    backchat.kill();
    page.says("meanwhile").await;
    let pending =
        eventually("a pending row", PAGE, || async { page.rows().await.into_iter().find(|row| row.pending) })
            .await;
    eventually("the page offers to try again", Duration::from_secs(30), || async {
        page.browser.is_visible(".pending .fate").await.then_some(())
    })
    .await;
    page.browser.screenshot("not-sent").await;
    backchat.start_again().await;
    eventually("it is sent", Duration::from_secs(40), || async {
        let rows = page.rows().await;
        rows.iter().any(|row| row.text == "meanwhile" && !row.pending).then_some(())
    })
    .await;
    let view = person.opens(&room).await;
    assert_eq!(view.messages(), ["before", "meanwhile"]);
    if !pending.id.is_empty() {
        assert_eq!(view.rows.last().map(|row| row.id.as_str()), Some(pending.id.as_str()));
    }
    page.close().await;
}

#[tokio::test]
async fn who_writes_faster_than_allowed_waits_and_loses_nothing() {
    let _turn = turn().await;
    let backchat = Backchat::with(&[
        ("BACKCHAT_GATEWAY_MESSAGE_BURST", "5"),
        ("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "2"),
    ])
    .await;
    let person = Person::arrives(&backchat.address(), "Hasty").await;
    let room = person.creates("Hasty").await;
    let page = RoomPage::open(&person, &room).await;
    let wanted: Vec<String> = (0..12).map(|n| format!("m-{n}")).collect();
    for text in &wanted {
        page.says(text).await;
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    page.shows(&wanted).await;
    assert_eq!(person.opens(&room).await.messages(), wanted, "in the order of writing");
    page.close().await;
}
