//! Finding a message, going to it, and finding it no more.

use serde_json::Value;
use tests::backchat::shared;
use tests::browser::{Browser, Key, PAGE, Screen, turn};
use tests::eventually::eventually;
use tests::person::Person;
use tests::room_page::RoomPage;

use super::changing::uses_tool;

const TEXT: &str = "where did I put the Kumquats?";

/// What is marked in the hits.
async fn marks(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('.hit mark')].map(mark => mark.textContent);";
    browser.script(script, Vec::new()).await
}

async fn searches(browser: &Browser, text: &str) {
    browser
        .script::<Value>("const q = document.querySelector('#q'); q.value = ''; q.focus();", Vec::new())
        .await;
    browser.insert(text).await;
    browser.press(Key::Enter).await;
    eventually("the answer is shown", PAGE, || async {
        let shown: String =
            browser.script("return new URLSearchParams(location.search).get('q') ?? '';", Vec::new()).await;
        (shown == text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_is_found_opened_deleted_and_found_no_more() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Finder").await;
    let room = person.creates("Pantry").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..80).map(|n| format!("filler {n}"))).await;
    let id = socket.send(TEXT).await;
    socket.acknowledged(id).await;
    socket.say_all((80..200).map(|n| format!("filler {n}"))).await;
    eventually("it is found", PAGE, || async { person.finds("kumquat").await.pop() }).await;

    // From the start page, by keyboard.
    let browser = Browser::of(&person, Screen::DESK).await;
    browser.goto("/").await;
    searches(&browser, "kumquat").await;
    assert_eq!(marks(&browser).await, ["Kumquats"]);
    browser.screenshot("search-found").await;
    browser.click(".hit").await;
    browser.waits_for(&format!("[id='{id}'].is-meant")).await;
    assert_eq!(browser.path().await, format!("/room/{room}/?at={id}"));
    let found = RoomPage { browser, room: room.clone() };
    found.is_connected().await;

    // From the room, on another screen.
    let page = RoomPage::open_on(&person, &room, Screen::PHONE).await;
    page.browser.screenshot("room-with-search-phone").await;
    page.browser.click(".room-bar a[href^='/search/']").await;
    page.browser.waits_for("#q").await;
    let field: String = page.browser.script("return document.querySelector('#q').value;", Vec::new()).await;
    assert_eq!(field, format!("in:{room} "));
    page.browser.screenshot("search-start-phone").await;
    page.browser.insert("kumquat after:2000-01-01").await;
    page.browser.press(Key::Enter).await;
    page.browser.waits_for(".hit").await;
    let zone: String = page
        .browser
        .script("return new URLSearchParams(location.search).get('zone') ?? 'none';", Vec::new())
        .await;
    assert_ne!(zone, "none", "a day is one of the reader's");
    page.browser.screenshot("search-found-phone").await;

    // Where it was found it is deleted.
    uses_tool(&found, TEXT, "[data-act=delete]").await;
    found.browser.click("#delete-question [value=delete]").await;
    eventually("it is gone from the page", PAGE, || async {
        (!found.messages().await.contains(&TEXT.to_owned())).then_some(())
    })
    .await;
    found.browser.screenshot("search-deleted").await;
    eventually("it is found no more", PAGE, || async {
        page.browser.reload().await;
        (page.browser.count(".empty").await > 0).then_some(())
    })
    .await;
    assert_eq!(page.browser.count(".hit").await, 0);
    assert!(page.browser.text(".empty").await.contains("kumquat"), "it says what was searched");
    page.browser.screenshot("search-nothing-phone").await;
    found.browser.goto("/").await;
    searches(&found.browser, "kumquat").await;
    assert_eq!((found.browser.count(".hit").await, found.browser.count(".empty").await), (0, 1));
    for page in [found, page] {
        assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn what_was_found_is_marked_in_french_too() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Chercheuse").await;
    let room = person.creates("Garde-manger").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say("Nous avons mangé des kakis tout l’été.").await;
    eventually("it is found", PAGE, || async { person.finds("kaki").await.pop() }).await;
    let browser = Browser::of(&person, Screen { language: "fr", ..Screen::DESK }).await;
    browser.goto("/search/").await;
    assert_eq!(browser.title().await.split(' ').next(), Some("Recherche"));
    // Other forms of the words, and one without its accents.
    searches(&browser, "manger ETE").await;
    browser.waits_for(".hit").await;
    assert_eq!(marks(&browser).await, ["mangé", "été"]);
    let color = "return getComputedStyle(document.querySelector('.hit mark')).backgroundColor;";
    let color: String = browser.script(color, Vec::new()).await;
    assert_ne!(color, "rgba(0, 0, 0, 0)", "a mark is seen");
    browser.screenshot("search-found-french").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}
