//! What passes by: who is here, who writes.

use std::time::Duration;
use tests::backchat::shared;
use tests::browser::{Key, PAGE, turn};
use tests::eventually::{becomes, eventually};
use tests::person::Person;
use tests::room_page::RoomPage;

async fn typing(page: &RoomPage) -> String {
    page.browser.text("#typing").await
}

#[tokio::test]
async fn who_is_here_and_who_writes_is_shown_while_it_is_so() {
    let _turn = turn().await;
    let address = shared().await;
    let (ann, ben) = (Person::arrives(&address, "Ann").await, Person::arrives(&address, "Ben").await);
    let room = ann.creates("Company").await;
    ben.joins(&room).await;
    let (anns, bens) = tokio::join!(RoomPage::open(&ann, &room), RoomPage::open(&ben, &room));
    for page in [&anns, &bens] {
        becomes("two are here", PAGE, "2".to_owned(), || page.browser.text("#presence .count")).await;
    }
    anns.browser.click("#presence button").await;
    let people = anns.browser.text("#people").await;
    assert!(people.contains(&ann.name) && people.contains(&ben.name), "{people}");
    anns.browser.screenshot("people").await;
    anns.browser.press(Key::Escape).await;

    let wanted = format!("{} is typing…", ann.name);
    anns.types("I think").await;
    becomes("Ben sees that Ann writes", PAGE, wanted.clone(), || typing(&bens)).await;
    assert_eq!(typing(&anns).await, "", "nobody is told of themselves");
    becomes("it goes by itself", Duration::from_secs(8), String::new(), || typing(&bens)).await;
    anns.types(" that").await;
    becomes("Ben sees it again", PAGE, wanted, || typing(&bens)).await;
    bens.browser.screenshot("typing").await;
    anns.browser.press(Key::Enter).await;
    bens.shows(&["I think that"]).await;
    assert_eq!(typing(&bens).await, "", "with the message it is gone at once");

    bens.close().await;
    eventually("one is left", Duration::from_secs(30), || async {
        (anns.browser.text("#presence .count").await == "1").then_some(())
    })
    .await;
    anns.close().await;
}
