//! Links to messages, and to days.

use serde_json::{Value, json};
use std::time::Duration;
use tests::backchat::shared;
use tests::browser::{PAGE, Screen, turn};
use tests::eventually::eventually;
use tests::person::Person;
use tests::room_page::RoomPage;

/// How far the middle of the meant row is from the list's middle, in parts of the list's height.
const OFF_MIDDLE: &str = "
    const row = document.getElementById(document.body.dataset.spot).getBoundingClientRect();
    const list = document.querySelector('#messages').getBoundingClientRect();
    return Math.abs((row.top + row.bottom) / 2 - (list.top + list.bottom) / 2) / list.height;";

#[tokio::test]
async fn a_link_opens_at_its_message_and_leads_on_to_both_ends() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Linker").await;
    let room = person.creates("Links").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..300).map(|n| format!("m-{n}"))).await;
    let all = socket.whole_history(100).await;
    let meant = all.iter().find(|row| row.body.as_deref() == Some("m-120")).unwrap().id.to_string();

    let page = RoomPage::open_at(&person, &room, &format!("?at={meant}"), Screen::DESK).await;
    assert!(page.browser.is_visible(&format!("[id='{meant}'].is-meant")).await, "the message is marked");
    page.browser.screenshot("link").await;
    let off: f64 = page.browser.script(OFF_MIDDLE, Vec::new()).await;
    assert!(off < 0.25, "it is in the middle: {off}");
    assert!(!page.messages().await.contains(&"m-299".to_owned()), "the end is far away");

    // What is said meanwhile does not stand under messages that it does not follow.
    socket.say("said meanwhile").await;
    assert!(!page.messages().await.contains(&"said meanwhile".to_owned()));
    eventually("scrolling down leads to the end", Duration::from_secs(60), || async {
        page.browser
            .script::<Value>("document.querySelector('#messages').scrollBy(0, 5000);", Vec::new())
            .await;
        page.messages().await.contains(&"said meanwhile".to_owned()).then_some(())
    })
    .await;
    let rows = page.rows().await;
    let shown: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    let mut stored: Vec<u64> = socket.whole_history(100).await.iter().map(|row| row.seq).collect();
    stored.drain(..stored.iter().position(|seq| *seq == shown[0]).unwrap());
    assert_eq!(shown, stored, "no hole, no repetition");
    socket.say("followed").await;
    page.shows_one("followed").await;

    page.browser.goto(&format!("/room/{room}/?at={meant}")).await;
    page.is_connected().await;
    page.browser.waits_for("#to-end:not([hidden])").await;
    page.browser.click("#to-end").await;
    page.shows_one("followed").await;
    assert!(!page.browser.script::<String>("return location.search;", Vec::new()).await.contains("at="));
    page.says("written from a link").await;
    page.shows_one("written from a link").await;
    assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
    page.close().await;
}

#[tokio::test]
async fn a_message_gives_its_link_and_a_day_is_found() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Copier").await;
    let room = person.creates("Copies").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..3).map(|n| format!("m-{n}"))).await;
    let meant = socket.whole_history(100).await[2].id.to_string();

    let page = RoomPage::open_on(&person, &room, Screen::PHONE).await;
    page.browser.click("[popovertarget=day]").await;
    page.browser.waits_for("#day:popover-open").await;
    page.browser.screenshot("day-phone").await;
    page.close().await;
    let page = RoomPage::open(&person, &room).await;
    page.browser.click(&format!("[id='{meant}'] time a")).await;
    let address: String = page.browser.script("return location.search;", Vec::new()).await;
    assert_eq!(address, format!("?at={meant}"));
    assert!(page.browser.is_visible(&format!("[id='{meant}'].is-meant")).await);
    page.browser.reload().await;
    page.is_connected().await;
    assert!(page.browser.is_visible(&format!("[id='{meant}']")).await);

    page.browser.click("[popovertarget=day]").await;
    page.browser.waits_for("#day:popover-open").await;
    page.browser.screenshot("day").await;
    let first: String = page
        .browser
        .script(
            "document.querySelector('#day-at').value = new Date().toLocaleDateString('en-CA');
             document.querySelector('#day-form button').click();
             return document.querySelector('#messages .row').id;",
            Vec::new(),
        )
        .await;
    eventually("the page opens at the day's first row", PAGE, || async {
        let spot: Option<String> =
            page.browser.script("return document.body.dataset.spot ?? null;", Vec::new()).await;
        spot.filter(|spot| *spot == first)
    })
    .await;
    page.browser.goto(&format!("/room/{room}/?at=2999-01-01")).await;
    assert!(page.browser.text("#missing").await.contains("not in this room"));
    page.browser.screenshot("missing").await;
    assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
    page.close().await;
}

/// The page has the room's newest rows alone; each of these days begins before them.
#[tokio::test]
async fn a_day_that_is_not_on_the_page_is_jumped_to() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Jumper").await;
    let room = person.creates("Days").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..300).map(|n| format!("m-{n}"))).await;
    let first = socket.whole_history(100).await[0].id.to_string();
    for (day, name) in
        [("new Date()", "day-jumped"), ("new Date(Date.now() - 86400000)", "day-before-jumped")]
    {
        let page = RoomPage::open(&person, &room).await;
        // Where it is noon now: no midnight lies between the messages, whenever this runs.
        let hour: i64 = page.browser.script("return new Date().getUTCHours();", Vec::new()).await;
        let zone = format!("Etc/GMT{:+}", hour - 12);
        page.browser.cdp("Emulation.setTimezoneOverride", json!({ "timezoneId": zone })).await;
        let hour: u8 = page.browser.script("return new Date().getHours();", Vec::new()).await;
        assert_eq!(hour, 12, "{zone}");
        assert_eq!(page.browser.count(&format!("[id='{first}']")).await, 0, "only the end is shown");
        page.browser.click("[popovertarget=day]").await;
        page.browser.waits_for("#day:popover-open").await;
        page.browser
            .script::<Value>(
                &format!(
                    "document.querySelector('#day-at').value = ({day}).toLocaleDateString('en-CA');
                     document.querySelector('#day-form button').click();"
                ),
                Vec::new(),
            )
            .await;
        eventually("the page opens at the first row that is not older", PAGE, || async {
            let spot: Option<String> =
                page.browser.script("return document.body.dataset.spot ?? null;", Vec::new()).await;
            spot.filter(|spot| *spot == first)
        })
        .await;
        page.is_connected().await;
        let shown = page.messages().await;
        assert_eq!(shown[..3], ["m-0", "m-1", "m-2"], "it goes on from there");
        assert!(!shown.contains(&"m-299".to_owned()), "the end is far away");
        assert!(page.browser.is_visible("#intro").await, "nothing lies before it");
        page.browser.screenshot(name).await;
        assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
        page.close().await;
    }
}
