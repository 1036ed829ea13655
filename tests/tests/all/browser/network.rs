//! The page and the network: what it says of it, and how it comes back.

use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::browser::{Browser, Screen, turn};
use tests::eventually::{SOON, eventually};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::room_page::RoomPage;
use tokio::time::sleep;

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_noticed_and_replaced() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Half open").await;
    let room = person.creates("Half open").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    let mut other = person.connects(&room).await;
    other.say("before").await;
    page.shows(&["before"]).await;
    proxy.black_hole();
    other.say("alive-1").await;
    eventually("the page says that it is not connected", Duration::from_secs(60), || async {
        (!page.connection().await.trim().is_empty()).then_some(())
    })
    .await;
    page.says("am I?").await;
    proxy.mend();
    eventually("the page is back", Duration::from_secs(15), || async {
        (page.messages().await.contains(&"alive-1".to_owned())).then_some(())
    })
    .await;
    page.shows(&["before", "alive-1", "am I?"]).await;
    assert_eq!(person.opens(&room).await.messages(), ["before", "alive-1", "am I?"]);
    page.close().await;
}

#[tokio::test]
async fn a_short_cut_is_not_even_mentioned() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Short cut").await;
    let room = person.creates("Short cut").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    proxy.cut();
    let mut other = person.connects(&room).await;
    other.say("after the cut").await;
    for _ in 0..20 {
        assert_eq!(page.connection().await.trim(), "");
        sleep(Duration::from_millis(50)).await;
    }
    page.shows(&["after the cut"]).await;
    page.close().await;
}

#[tokio::test]
async fn a_page_outlives_its_token_and_a_restart_of_everything() {
    let _turn = turn().await;
    let mut backchat = Backchat::with(&[("BACKCHAT_AUTH_SERVICE_TOKEN_LIFE_S", "10")]).await;
    let person = Person::arrives(&backchat.address(), "Night owl").await;
    let room = person.creates("Overnight").await;
    let page = RoomPage::open(&person, &room).await;
    sleep(Duration::from_secs(14)).await;
    page.says("still here").await;
    page.shows(&["still here"]).await;
    assert_eq!(backchat.terminate().await, 0);
    // The laptop sleeps on: the token ends while nobody is there to renew it.
    sleep(Duration::from_secs(11)).await;
    backchat.start_again().await;
    page.says("good morning").await;
    eventually("the page is back by itself", Duration::from_secs(30), || async {
        let rows = page.rows().await;
        rows.iter().any(|row| row.text == "good morning" && !row.pending).then_some(())
    })
    .await;
    page.shows(&["still here", "good morning"]).await;
    page.close().await;
}

#[tokio::test]
async fn a_broker_that_restarts_shows_no_error_page() {
    let _turn = turn().await;
    let backchat = Backchat::without_rate_limit().await;
    let person = Person::arrives(&backchat.address(), "Broker").await;
    let room = person.creates("Broker").await;
    let page = RoomPage::open(&person, &room).await;
    page.says("before").await;
    page.shows(&["before"]).await;
    let killed = backchat.kill_broker();
    page.says("during").await;
    eventually("the broker is started again", Duration::from_secs(30), || async {
        backchat.broker_id().filter(|id| *id != killed)
    })
    .await;
    page.shows(&["before", "during"]).await;
    page.says("after").await;
    page.shows(&["before", "during", "after"]).await;
    page.close().await;
}

#[tokio::test]
async fn one_window_too_many_says_so_and_comes_in_when_another_is_closed() {
    let _turn = turn().await;
    let backchat = Backchat::with(&[("BACKCHAT_GATEWAY_SOCKETS_PER_USER", "1")]).await;
    let person = Person::arrives(&backchat.address(), "Windows").await;
    let room = person.creates("Windows").await;
    let mut other = person.connects(&room).await;
    other.caught_up().await;
    let page = RoomPage { browser: Browser::of(&person, Screen::DESK).await, room: room.clone() };
    page.browser.goto(&format!("/room/{room}/")).await;
    page.says_of_connection("Too many windows", SOON).await;
    let usage = backchat.usage();
    let closed = || usage.metric("backchat_gateway_sockets_closed_total{why=\"too_many\"}");
    let tries = closed().await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(closed().await, tries, "it waits a while before it tries again");
    other.say("from the other").await;
    drop(other);
    eventually("the page comes in", Duration::from_secs(60), || async {
        (page.messages().await == ["from the other"]).then_some(())
    })
    .await;
    page.says_nothing_of_connection(SOON).await;
    page.close().await;
}
