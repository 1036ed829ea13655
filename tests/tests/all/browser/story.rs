//! The whole story, by hand and eye.

use super::looks;
use tests::backchat::shared;
use tests::browser::{Browser, Screen, turn};
use tests::person::{PASSWORD, Person, code, unique};
use tests::room_page::RoomPage;
use tests::socket::PATIENCE;

/// Registers and logs in by the forms.
async fn signs_up(browser: &Browser, name: &str) {
    browser.fill("#name", name).await;
    browser.fill("#password", PASSWORD).await;
    browser.fill("#repeat", PASSWORD).await;
    browser.click(".actions .primary").await;
    browser.waits_for_path("/auth/login/").await;
    assert!(browser.text(".notice").await.contains("Account created"));
    browser.fill("#name", name).await;
    browser.fill("#password", PASSWORD).await;
    browser.click(".actions .primary").await;
}

#[tokio::test]
async fn two_people_register_make_and_join_a_room_and_talk() {
    let _turn = turn().await;
    let address = shared().await;
    let (ann, ben) =
        (Browser::open(&address, Screen::DESK).await, Browser::open(&address, Screen::PHONE).await);
    let suffix = unique();
    ann.goto("/").await;
    ann.waits_for_path("/auth/login/").await;
    ann.click(".aside a").await;
    ann.waits_for_path("/auth/register/").await;
    signs_up(&ann, &format!("Ann {suffix}")).await;
    ann.waits_for_path("/").await;
    ann.waits_for(".empty").await;
    ann.click("a[href='/create/']").await;
    ann.fill("#name", "Tea & <b>cake</b>").await;
    ann.click(".actions .primary").await;
    ann.waits_for_path("/room/").await;
    let room = code(&ann.path().await);
    let ann = RoomPage { browser: ann, room: room.clone() };
    ann.is_connected().await;
    assert_eq!(ann.browser.title().await.split(" · ").next(), Some("Tea & <b>cake</b>"));

    ben.goto(&format!("/room/{room}/")).await;
    ben.click(".aside a").await;
    signs_up(&ben, &format!("Ben {suffix}")).await;
    ben.waits_for_path(&format!("/room/{room}/")).await;
    assert!(ben.text("h1").await.contains("Tea & <b>cake</b>"), "it asks him to join");
    ben.click(".actions .primary").await;
    ben.waits_for("#messages").await;
    let ben = RoomPage { browser: ben, room: room.clone() };
    ben.is_connected().await;

    ann.says("hello Ben").await;
    ben.shows(&["hello Ben"]).await;
    ben.says("hello Ann").await;
    ann.shows(&["hello Ben", "hello Ann"]).await;
    ann.browser.reload().await;
    ann.is_connected().await;
    ann.says("and again").await;
    for page in [&ann, &ben] {
        page.shows(&["hello Ben", "hello Ann", "and again"]).await;
        assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
    }
    ann.browser.goto("/").await;
    assert!(ann.browser.text(".room-list").await.contains("and again"));
    ann.close().await;
    ben.close().await;
}

#[tokio::test]
async fn a_logout_in_one_tab_tells_the_others() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Tabs").await;
    let room = person.creates("Tabs").await;
    let page = RoomPage::open(&person, &room).await;
    person.log_out().await;
    tests::eventually::eventually("the page says that the session has ended", PATIENCE, || async {
        let path = page.browser.path().await;
        (path.starts_with("/auth/login/") || page.connection().await.contains("session has ended"))
            .then_some(())
    })
    .await;
    page.close().await;
}

#[tokio::test]
async fn who_is_asked_to_leave_confirms_first() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Goer").await;
    let room = person.creates("Goodbye").await;
    let page = RoomPage::open(&person, &room).await;
    page.browser.click("[popovertarget='about']").await;
    page.browser.click("#about [popovertarget='leave']").await;
    assert!(page.browser.is_visible("#leave").await);
    page.browser.click("#leave .danger").await;
    page.browser.waits_for_path("/").await;
    page.browser.waits_for(".empty").await;
    assert!(!page.browser.text("main").await.contains("Goodbye"));
    page.close().await;
}

#[tokio::test]
async fn every_page_fits_both_screens_in_both_languages_light_and_dark() {
    let _turn = turn().await;
    looks::everywhere().await;
}
