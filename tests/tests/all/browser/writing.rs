//! The field: what it keeps, what it sends, and when.

use tests::backchat::shared;
use tests::browser::{Key, PAGE, turn};
use tests::eventually::{becomes, eventually};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::room_page::RoomPage;

async fn alone(name: &str) -> (Person, String, RoomPage) {
    let person = Person::arrives(&shared().await, name).await;
    let room = person.creates("Field").await;
    let page = RoomPage::open(&person, &room).await;
    (person, room, page)
}

#[tokio::test]
async fn a_half_typed_text_and_the_caret_stay_while_messages_arrive_and_the_socket_comes_back() {
    let _turn = turn().await;
    let person = Person::arrives(&shared().await, "Typist").await;
    let room = person.creates("Caret").await;
    let proxy = Proxy::to(&person.address).await;
    let page = RoomPage::open(&person.through(proxy.address()), &room).await;
    page.types("half a sen").await;
    page.puts_caret(4).await;
    let mut other = person.connects(&room).await;
    for n in 0..20 {
        other.say(&format!("m-{n}")).await;
    }
    page.shows_one("m-19").await;
    proxy.cut();
    other.say("after the cut").await;
    page.shows_one("after the cut").await;
    page.browser.insert("#").await;
    assert_eq!(page.field().await, "half# a sen");
    page.browser.press(Key::Enter).await;
    assert_eq!((page.field().await.as_str(), page.field_has_focus().await), ("", true));
    page.browser.insert("next").await;
    assert_eq!(page.field().await, "next", "it lands in the field without a click");
    page.shows_one("half# a sen").await;
    page.close().await;
}

#[tokio::test]
async fn a_draft_is_kept_over_a_reload_room_by_room() {
    let _turn = turn().await;
    let (person, room, page) = alone("Drafter").await;
    let other = person.creates("Other room").await;
    page.types("not yet said").await;
    page.browser.reload().await;
    becomes("the draft is there again", PAGE, "not yet said".to_owned(), || page.field()).await;
    page.browser.goto(&format!("/room/{other}/")).await;
    assert_eq!(page.field().await, "");
    page.browser.goto(&format!("/room/{room}/")).await;
    becomes("the draft is there again", PAGE, "not yet said".to_owned(), || page.field()).await;
    page.close().await;
}

#[tokio::test]
async fn an_enter_that_belongs_to_an_input_method_sends_nothing() {
    let _turn = turn().await;
    let (person, room, page) = alone("Composer").await;
    page.puts_caret(0).await;
    for run in 0..2 {
        page.browser.compose("にほんご").await;
        page.browser.compose("日本語").await;
        if run == 0 {
            page.browser.press(Key::EnterForInputMethod).await;
            page.browser.insert("日本語").await;
        } else {
            page.browser.insert("日本語").await;
            page.browser.press(Key::EnterForInputMethod).await;
        }
        assert_eq!(page.field().await, "日本語", "run {run}: the text stays");
        assert_eq!(page.messages().await.len(), run, "run {run}: nothing is sent");
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        page.browser.press(Key::Enter).await;
        assert_eq!(page.field().await, "");
        page.shows(&vec!["日本語"; run + 1]).await;
    }
    assert_eq!(person.opens(&room).await.messages(), ["日本語", "日本語"]);
    page.close().await;
}

#[tokio::test]
async fn what_looks_empty_is_not_sent_and_stays_in_the_field() {
    let _turn = turn().await;
    let (person, room, page) = alone("Blank").await;
    for blank in [" ", "\n\n\n", "\u{200B}", "\u{A0}\u{A0}", "\u{2800}", "\u{AD}"] {
        page.browser.script::<serde_json::Value>("document.querySelector('#text').value = '';", vec![]).await;
        page.types(blank).await;
        page.browser.press(Key::Enter).await;
        assert_eq!(page.field().await, blank, "{blank:?}");
        assert!(page.messages().await.is_empty(), "{blank:?}");
    }
    page.browser.script::<serde_json::Value>("document.querySelector('#text').value = '';", vec![]).await;
    page.says("seen").await;
    page.shows(&["seen"]).await;
    assert_eq!(person.opens(&room).await.messages(), ["seen"]);
    page.close().await;
}

#[tokio::test]
async fn line_breaks_are_shown_as_written_and_can_be_copied_and_sent_again() {
    let _turn = turn().await;
    let (person, room, page) = alone("Lines").await;
    page.says("one\n\ntwo\n\nthree").await;
    page.says("a\r\nb\r\nc").await;
    page.says("x\n    y").await;
    page.types("p").await;
    page.browser.press(Key::ShiftEnter).await;
    page.browser.insert("q").await;
    assert_eq!(page.field().await, "p\nq");
    page.browser.press(Key::ControlEnter).await;
    let wanted = ["one\n\ntwo\n\nthree", "a\nb\nc", "x\n    y", "p\nq"];
    page.shows(&wanted).await;
    assert_eq!(person.opens(&room).await.messages(), wanted);
    let copied: String = page
        .browser
        .script(
            "const s = getSelection(); s.selectAllChildren(document.querySelector('#messages .body')); return s.toString();",
            vec![],
        )
        .await;
    page.says(&copied).await;
    page.shows(&["one\n\ntwo\n\nthree", "a\nb\nc", "x\n    y", "p\nq", "one\n\ntwo\n\nthree"]).await;
    page.browser.reload().await;
    page.shows(&["one\n\ntwo\n\nthree", "a\nb\nc", "x\n    y", "p\nq", "one\n\ntwo\n\nthree"]).await;
    page.close().await;
}

#[tokio::test]
async fn a_text_over_the_limit_is_not_sent_and_is_kept() {
    let _turn = turn().await;
    let (person, room, page) = alone("Long").await;
    let long = "é".repeat(4_001);
    page.types(&long).await;
    page.browser.press(Key::Enter).await;
    assert_eq!(page.field().await, long);
    eventually("the page says why", PAGE, || async {
        page.browser.text("#count").await.contains("4,000").then_some(())
    })
    .await;
    page.browser.screenshot("too-long").await;
    page.puts_caret(4_001).await;
    page.browser
        .cdp(
            "Input.dispatchKeyEvent",
            serde_json::json!({"type": "keyDown", "key": "Backspace", "code": "Backspace", "windowsVirtualKeyCode": 8}),
        )
        .await;
    page.browser.press(Key::Enter).await;
    page.shows(&[&long[..8_000]]).await;
    assert_eq!(person.opens(&room).await.messages(), [&long[..8_000]]);
    page.close().await;
}

#[tokio::test]
async fn script_in_a_message_is_text_and_the_title_stays() {
    let _turn = turn().await;
    let (_, _, page) = alone("Scripter").await;
    let title = page.browser.title().await;
    let scripts = [
        r#"<script>document.title="x"</script>"#,
        r#"<<b>script>document.title="x"<</b>/script>"#,
        r#""><img src=x onerror=document.title="x">"#,
        r#"<svg/onload=document.title="x">"#,
        r#"[a](javascript:document.title="x")"#,
        r#"https://e.example/"onmouseover="document.title='x'"#,
    ];
    for script in scripts {
        page.says(script).await;
    }
    page.shows(&scripts).await;
    page.browser.reload().await;
    page.is_connected().await;
    page.shows(&scripts).await;
    assert_eq!(page.browser.title().await, title);
    assert_eq!(
        page.browser.count("#messages script, #messages img, #messages b, #messages [onmouseover]").await,
        0
    );
    assert_eq!(page.browser.count("a[href^='javascript:']").await, 0);
    assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
    page.close().await;
}
