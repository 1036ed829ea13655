//! A room that keeps things for so many days, as its owner says so and as its members see it.

use serde_json::json;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::browser::{PAGE, Screen, turn};
use tests::eventually::becomes;
use tests::person::Person;
use tests::room_page::RoomPage;
use tokio::time::sleep;

#[tokio::test]
async fn what_is_too_old_leaves_the_page_while_it_is_looked_at() {
    let _turn = turn().await;
    let backchat = Backchat::with(&[("BACKCHAT_HISTORY_WORKER_RETENTION_DAY_S", "8")]).await;
    let address = backchat.address();
    let (ann, ben) = (Person::arrives(&address, "Ann").await, Person::arrives(&address, "Ben").await);
    let room = ann.creates("Short memory").await;
    ben.joins(&room).await;
    let anns = RoomPage::open_on(&ann, &room, Screen { dark: true, ..Screen::PHONE }).await;
    let bens = RoomPage::open(&ben, &room).await;
    anns.says("Old news").await;
    bens.says("Older than it looks").await;
    anns.shows(&["Old news", "Older than it looks"]).await;
    sleep(Duration::from_secs(8)).await;
    bens.says("Just now").await;
    anns.shows(&["Old news", "Older than it looks", "Just now"]).await;
    assert_eq!(bens.browser.count("#about form").await, 0, "who did not make the room is not asked");

    anns.browser.click("[popovertarget=about]").await;
    anns.browser.waits_for("#about:popover-open").await;
    anns.browser.screenshot("about-phone-dark").await;
    let chosen: String =
        anns.browser.script("return document.querySelector('#about select').value", vec![]).await;
    assert_eq!(chosen, "0", "a room keeps things for ever until somebody says otherwise");
    let choose = "document.querySelector('#about select').value = arguments[0];";
    anns.browser.script::<()>(choose, vec![json!("1")]).await;
    anns.browser.click("#about form button").await;
    bens.shows(&["Just now"]).await;
    anns.shows(&["Just now"]).await;
    for page in [&anns, &bens] {
        becomes("the page begins here", PAGE, true, || page.browser.is_visible("#intro")).await;
        assert!(!page.browser.is_visible("#older").await);
        page.browser.waits_for("article[data-kind=retention]").await;
    }
    bens.browser.screenshot("expired-desktop").await;
    anns.browser.screenshot("expired-phone-dark").await;
    let said = bens.browser.text("article[data-kind=retention] .what").await;
    assert_eq!(said, format!("{} set that messages are kept for one day", ann.name));
    bens.says("It goes on").await;
    anns.shows(&["Just now", "It goes on"]).await;
    for page in [anns, bens] {
        assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
        page.close().await;
    }
}
