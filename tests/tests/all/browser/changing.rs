//! Messages that change after they were sent: edited, deleted, reacted to.

use serde_json::{Value, json};
use tests::backchat::shared;
use tests::browser::{Key, PAGE, Screen, turn};
use tests::eventually::{becomes, eventually};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::room_page::RoomPage;

/// A room of two, and the page of each.
struct Two {
    ann: Person,
    room: String,
    anns: RoomPage,
    bens: RoomPage,
}

impl Two {
    async fn meet() -> Self {
        let address = shared().await;
        let (ann, ben) = (Person::arrives(&address, "Ann").await, Person::arrives(&address, "Ben").await);
        let room = ann.creates("Changes").await;
        ben.joins(&room).await;
        let (anns, bens) = tokio::join!(RoomPage::open(&ann, &room), RoomPage::open(&ben, &room));
        Self { ann, room, anns, bens }
    }

    fn pages(&self) -> [&RoomPage; 2] {
        [&self.anns, &self.bens]
    }

    async fn part(self) {
        for page in self.pages() {
            assert_eq!(page.browser.console_errors().await, Vec::<String>::new());
        }
        self.anns.close().await;
        self.bens.close().await;
    }
}

/// Moves the mouse over the message with this text, and clicks what its bar has at `button`.
pub async fn uses_tool(page: &RoomPage, text: &str, button: &str) {
    let script = "const row = [...document.querySelectorAll('#messages article.row')]
            .find(row => row.querySelector('.body')?.innerText === arguments[0]);
        const box = row.querySelector('.body').getBoundingClientRect();
        return [box.left + 4, box.top + box.height / 2];";
    let (x, y): (f64, f64) = page.browser.script(script, vec![json!(text)]).await;
    for from in [1.0, 0.0] {
        let event = json!({"type": "mouseMoved", "x": x + from, "y": y});
        page.browser.cdp("Input.dispatchMouseEvent", event).await;
    }
    page.browser.click(&format!("#tools {button}")).await;
}

/// The pills of the page's last message: reaction, count, whether it is one's own, names.
async fn pills(page: &RoomPage) -> Vec<(String, u64, bool, String)> {
    let script = "return [...[...document.querySelectorAll('#messages article.row')].at(-1).querySelectorAll('.pill')].map(pill =>
        [pill.dataset.reaction, Number(pill.innerText.split(' ').at(-1)), pill.ariaPressed === 'true', pill.title]);";
    page.browser.script(script, vec![]).await
}

async fn count_becomes(page: &RoomPage, css: &str, wanted: usize) {
    becomes(&format!("{wanted} {css}"), PAGE, wanted, || page.browser.count(css)).await;
}

#[tokio::test]
async fn an_edit_is_shown_in_place_to_everybody_and_after_a_reload() {
    let _turn = turn().await;
    let two = Two::meet().await;
    two.anns.says("Tea?").await;
    two.bens.shows(&["Tea?"]).await;
    two.bens.says("Maybe").await;
    two.anns.shows(&["Tea?", "Maybe"]).await;
    let before = two.bens.rows().await;

    two.anns.puts_caret(0).await;
    two.anns.browser.press(Key::Up).await;
    assert_eq!(two.anns.field().await, "Tea?", "Up in an empty field takes one's own last message");
    assert!(two.anns.browser.is_visible("#editing").await);
    two.anns.browser.press(Key::Escape).await;
    assert_eq!(two.anns.field().await, "");
    assert!(!two.anns.browser.is_visible("#editing").await, "Escape leaves it as it was");

    two.anns.browser.press(Key::Up).await;
    two.anns.browser.fill("#text", "Coffee?").await;
    two.anns.browser.press(Key::Enter).await;
    for page in two.pages() {
        page.shows(&["Coffee?", "Maybe"]).await;
        count_becomes(page, ".row:not(.pending) .body[data-edited-at]", 1).await;
    }
    let after = two.bens.rows().await;
    assert_eq!(
        before.iter().map(|row| (&row.id, row.seq)).collect::<Vec<_>>(),
        after.iter().map(|row| (&row.id, row.seq)).collect::<Vec<_>>(),
        "each message is where it was"
    );
    for page in two.pages() {
        page.browser.reload().await;
        page.is_connected().await;
        page.shows(&["Coffee?", "Maybe"]).await;
        count_becomes(page, ".body[data-edited-at]", 1).await;
    }
    let last: String = two.bens.browser.text(".room-link[aria-current] .room-last").await;
    assert!(last.contains("Maybe"), "{last}");
    two.part().await;
}

#[tokio::test]
async fn a_deleted_message_is_gone_from_the_page_and_from_its_source() {
    let _turn = turn().await;
    let two = Two::meet().await;
    two.anns.says("stays").await;
    two.anns.says("a secret 4711").await;
    two.bens.shows(&["stays", "a secret 4711"]).await;
    uses_tool(&two.anns, "a secret 4711", "[data-act=delete]").await;
    two.anns.browser.screenshot("delete-question").await;
    two.anns.browser.click("#delete-question [value='']").await;
    two.anns.shows(&["stays", "a secret 4711"]).await;
    assert!(two.anns.field_has_focus().await, "the focus comes back");
    uses_tool(&two.anns, "a secret 4711", "[data-act=delete]").await;
    two.anns.browser.click("#delete-question [value=delete]").await;
    for page in two.pages() {
        count_becomes(page, ".row[data-kind=erased]", 1).await;
        page.shows(&["stays"]).await;
        let source: String = page.browser.script("return document.documentElement.outerHTML;", vec![]).await;
        let behind = source
            .find("4711")
            .map(|at| source[at.saturating_sub(200)..].chars().take(300).collect::<String>());
        assert_eq!(behind, None, "nothing of it is in the page");
        page.browser.reload().await;
        page.is_connected().await;
        count_becomes(page, ".row[data-kind=erased]", 1).await;
        page.shows(&["stays"]).await;
    }
    assert!(!two.ann.opens(&two.room).await.html.contains("4711"));
    assert!(!two.ann.get("/").await.body.contains("4711"));
    two.part().await;
}

#[tokio::test]
async fn a_moderator_deletes_what_others_wrote_and_others_are_not_offered_to() {
    let _turn = turn().await;
    let two = Two::meet().await;
    two.anns.says("by the owner").await;
    two.bens.says("by a member").await;
    for page in two.pages() {
        page.shows(&["by the owner", "by a member"]).await;
    }
    uses_tool(&two.bens, "by the owner", "[data-reaction='👀']").await;
    for act in ["edit", "delete"] {
        assert!(!two.bens.browser.is_visible(&format!("#tools [data-act={act}]")).await, "{act}");
    }
    uses_tool(&two.anns, "by a member", "[data-act=delete]").await;
    assert!(!two.anns.browser.is_visible("#tools [data-act=edit]").await);
    two.anns.browser.click("#delete-question [value=delete]").await;
    for page in two.pages() {
        page.shows(&["by the owner"]).await;
    }
    two.part().await;
}

#[tokio::test]
async fn a_reaction_is_given_counted_and_taken_back() {
    let _turn = turn().await;
    let two = Two::meet().await;
    two.anns.says("Shall we?").await;
    two.bens.shows(&["Shall we?"]).await;
    uses_tool(&two.bens, "Shall we?", "[data-reaction='👍']").await;
    let ben = pills(&two.bens).await[0].3.clone();
    becomes("Ann sees it", PAGE, vec![("👍".to_owned(), 1, false, ben.clone())], || pills(&two.anns)).await;
    two.anns.browser.click(".pill").await;
    let both = format!("{ben}\n{}", two.ann.name);
    for page in two.pages() {
        becomes("both gave it", PAGE, vec![("👍".to_owned(), 2, true, both.clone())], || pills(page)).await;
    }
    two.anns.browser.screenshot("reactions").await;
    two.anns.browser.reload().await;
    two.anns.is_connected().await;
    becomes("and after a reload", PAGE, vec![("👍".to_owned(), 2, true, both.clone())], || {
        pills(&two.anns)
    })
    .await;
    two.bens.browser.click(".pill").await;
    for (page, is_mine) in [(&two.anns, true), (&two.bens, false)] {
        let wanted = vec![("👍".to_owned(), 1, is_mine, two.ann.name.clone())];
        becomes("one took it back", PAGE, wanted, || pills(page)).await;
    }
    two.anns.browser.click(".pill").await;
    for page in two.pages() {
        becomes("nobody gives it", PAGE, vec![], || pills(page)).await;
    }
    two.part().await;
}

#[tokio::test]
async fn a_refused_edit_says_why_and_shows_what_was_there() {
    let _turn = turn().await;
    let two = Two::meet().await;
    two.anns.says("as it was").await;
    two.anns.shows(&["as it was"]).await;
    uses_tool(&two.anns, "as it was", "[data-act=edit]").await;
    two.anns
        .browser
        .script::<Value>("document.querySelector('#text').value = 'a bell \\u0007';", vec![])
        .await;
    two.anns.browser.press(Key::Enter).await;
    eventually("it says why", PAGE, || async {
        two.anns.browser.text(".row .fate").await.contains("control character").then_some(())
    })
    .await;
    two.anns.shows(&["as it was"]).await;
    two.anns.browser.screenshot("edit-refused").await;
    two.anns.browser.reload().await;
    two.anns.is_connected().await;
    count_becomes(&two.anns, ".row:not(.pending) > .fate", 1).await;
    two.anns.browser.click(".row .fate [data-act=again]").await;
    assert_eq!(two.anns.field().await, "a bell \u{7}", "the text is not lost");
    two.anns.browser.fill("#text", "a bell").await;
    two.anns.browser.press(Key::Enter).await;
    for page in two.pages() {
        page.shows(&["a bell"]).await;
    }
    count_becomes(&two.anns, ".row:not(.pending) > .fate", 0).await;
    two.part().await;
}

#[tokio::test]
async fn an_edit_made_while_the_server_cannot_be_reached_is_kept_and_sent_after_a_reload() {
    let _turn = turn().await;
    let ann = Person::arrives(&shared().await, "Ann").await;
    let room = ann.creates("Kept").await;
    let proxy = Proxy::to(&ann.address).await;
    let page = RoomPage::open(&ann.through(proxy.address()), &room).await;
    page.says("first").await;
    page.shows(&["first"]).await;
    proxy.cut_off();
    page.puts_caret(0).await;
    page.browser.press(Key::Up).await;
    page.browser.fill("#text", "second").await;
    page.browser.press(Key::Enter).await;
    page.shows(&["second"]).await;
    uses_tool(&page, "second", "[data-reaction='🎉']").await;
    count_becomes(&page, ".pill[aria-pressed=true]", 1).await;
    assert_eq!(ann.opens(&room).await.messages(), ["first"], "nothing has reached the server");
    proxy.mend();
    page.browser.reload().await;
    page.is_connected().await;
    eventually("the edit is stored", PAGE, || async {
        let view = ann.opens(&room).await;
        (view.messages() == ["second"] && view.html.contains("🎉")).then_some(())
    })
    .await;
    page.shows(&["second"]).await;
    count_becomes(&page, ".pill[aria-pressed=true]", 1).await;
    page.close().await;
}

#[tokio::test]
async fn a_change_above_moves_nothing_that_is_read() {
    let _turn = turn().await;
    let ann = Person::arrives(&shared().await, "Ann").await;
    let room = ann.creates("Steady").await;
    let mut other = ann.connects(&room).await;
    other.say_all((1..=60).map(|n| format!("m-{n}"))).await;
    let first = ann.opens(&room).await.rows;
    let early: Vec<_> =
        first.iter().filter(|row| row.kind == "message").take(3).map(|row| row.id.clone()).collect();
    let page = RoomPage::open(&ann, &room).await;
    page.scrolls_to("m-30").await;
    becomes("it stays", PAGE, Some(0), || async { page.offset("m-30").await.map(|px| px.round() as i64) })
        .await;
    other.edit(early[0].parse().unwrap(), "longer\nand\nlonger\nthan it was").await;
    other.react(early[1].parse().unwrap(), "🎉", true).await;
    other.delete(early[2].parse().unwrap()).await;
    count_becomes(&page, ".row[data-kind=erased]", 1).await;
    count_becomes(&page, ".pill", 1).await;
    let offset = page.offset("m-30").await.unwrap();
    assert!(offset.abs() <= 1.0, "it moved by {offset}");
    page.close().await;
}

#[tokio::test]
async fn two_windows_of_one_person_agree() {
    let _turn = turn().await;
    let ann = Person::arrives(&shared().await, "Ann").await;
    let room = ann.creates("Windows").await;
    let elsewhere = ann.elsewhere().await;
    let (here, there) = tokio::join!(RoomPage::open(&ann, &room), RoomPage::open(&elsewhere, &room));
    here.says("one").await;
    there.says("two").await;
    for page in [&here, &there] {
        eventually("both are there", PAGE, || async { (page.messages().await.len() == 2).then_some(()) })
            .await;
    }
    uses_tool(&here, "one", "[data-reaction='🙏']").await;
    uses_tool(&there, "one", "[data-act=edit]").await;
    there.browser.fill("#text", "one and a half").await;
    there.browser.press(Key::Enter).await;
    uses_tool(&here, "two", "[data-act=delete]").await;
    here.browser.click("#delete-question [value=delete]").await;
    for page in [&here, &there] {
        page.shows(&["one and a half"]).await;
        count_becomes(page, ".pill[aria-pressed=true]", 1).await;
        count_becomes(page, ".row[data-kind=erased]", 1).await;
    }
    assert_eq!(here.rows().await, there.rows().await);
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn with_the_keyboard_alone_a_message_is_reacted_to_and_deleted() {
    let _turn = turn().await;
    let ann = Person::arrives(&shared().await, "Ann").await;
    let room = ann.creates("Keys").await;
    let page = RoomPage::open(&ann, &room).await;
    page.says("keys alone").await;
    page.shows(&["keys alone"]).await;
    let focus = || page.browser.script::<String>("return document.activeElement.ariaLabel ?? '';", vec![]);
    page.browser.script::<Value>("document.querySelector('#messages').focus();", vec![]).await;
    page.browser.press(Key::Up).await;
    page.browser.press(Key::Enter).await;
    assert_eq!(focus().await, "React with 👍");
    page.browser.press(Key::Enter).await;
    count_becomes(&page, ".pill[aria-pressed=true]", 1).await;
    for _ in 0..10 {
        page.browser.press(Key::Tab).await;
    }
    assert_eq!(focus().await, "Delete");
    page.browser.press(Key::Enter).await;
    page.browser.press(Key::Escape).await;
    becomes("the focus is where it was", PAGE, "Delete".to_owned(), focus).await;
    page.browser.press(Key::Enter).await;
    page.browser
        .script::<Value>("document.querySelector('#delete-question [value=delete]').focus();", vec![])
        .await;
    page.browser.press(Key::Enter).await;
    count_becomes(&page, ".row[data-kind=erased]", 1).await;
    becomes("the focus is on its row", PAGE, 1, || page.browser.count(".row[data-kind=erased]:focus")).await;
    page.browser.press(Key::Escape).await;
    assert!(page.field_has_focus().await);
    page.close().await;
}

#[tokio::test]
async fn with_a_finger_a_button_and_a_long_press_open_what_can_be_done() {
    let _turn = turn().await;
    let ann = Person::arrives(&shared().await, "Ann").await;
    let room = ann.creates("Fingers").await;
    let page = RoomPage::open_on(&ann, &room, Screen::PHONE).await;
    page.browser.cdp("Emulation.setTouchEmulationEnabled", json!({"enabled": true})).await;
    ann.connects(&room).await.say_all(["one".to_owned(), "two".to_owned()]).await;
    page.shows(&["one", "two"]).await;
    page.browser.reload().await;
    page.is_connected().await;
    page.browser.click(".row-more").await;
    assert!(page.browser.is_visible("#tools").await);
    page.browser.screenshot("tools-phone").await;
    page.browser.click("#tools [data-reaction='😂']").await;
    count_becomes(&page, ".pill[aria-pressed=true]", 1).await;
    assert!(!page.browser.is_visible("#tools").await, "it closes with the choice");
    let script = "const box = [...document.querySelectorAll('.row .body')].at(-1).getBoundingClientRect();
        return [box.left + 4, box.top + box.height / 2];";
    let (x, y): (f64, f64) = page.browser.script(script, vec![]).await;
    let touch = |kind: &str, points: Value| json!({"type": kind, "touchPoints": points});
    page.browser.cdp("Input.dispatchTouchEvent", touch("touchStart", json!([{"x": x, "y": y}]))).await;
    eventually("a long press opens it", PAGE, || async {
        page.browser.is_visible("#tools").await.then_some(())
    })
    .await;
    page.browser.cdp("Input.dispatchTouchEvent", touch("touchEnd", json!([]))).await;
    assert!(page.browser.is_visible("#tools").await, "it stays open");
    page.close().await;
}
