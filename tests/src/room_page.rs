//! The room's page in a browser, in a person's words: what is shown, what is typed.

use crate::browser::{Browser, Key, PAGE, Screen};
use crate::eventually::{becomes, eventually};
use crate::person::Person;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub struct RoomPage {
    pub browser: Browser,
    pub room: String,
}

/// A row as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shown {
    pub id: String,
    /// 0 for a row that is not acknowledged yet.
    pub seq: u64,
    pub kind: String,
    pub text: String,
    pub pending: bool,
}

const ROWS: &str = "
    return [...document.querySelectorAll('#messages article.row')].map(row => ({
        id: row.id,
        seq: Number(row.dataset.seq || 0),
        kind: row.dataset.kind || '',
        text: (row.querySelector('.body') || row).innerText,
        pending: row.classList.contains('pending'),
    }));";

impl RoomPage {
    /// The room in a fresh profile of this person, once it is connected.
    pub async fn open(person: &Person, room: &str) -> Self {
        Self::open_on(person, room, Screen::DESK).await
    }

    pub async fn open_on(person: &Person, room: &str, screen: Screen) -> Self {
        Self::open_at(person, room, "", screen).await
    }

    /// At the part of the room that this says, as it stands behind the room's address.
    pub async fn open_at(person: &Person, room: &str, part: &str, screen: Screen) -> Self {
        let browser = Browser::of(person, screen).await;
        browser.goto(&format!("/room/{room}/{part}")).await;
        let page = Self { browser, room: room.to_owned() };
        page.is_connected().await;
        page
    }

    /// Waits until the page's socket is open and caught up.
    pub async fn is_connected(&self) {
        eventually("the page is connected", PAGE, || async {
            self.browser
                .count("#status[data-cursor], #status[data-ack], #status[data-ping]")
                .await
                .checked_sub(1)
        })
        .await;
    }

    pub async fn rows(&self) -> Vec<Shown> {
        self.browser.script(ROWS, Vec::new()).await
    }

    /// The texts of its messages, from top to bottom, pending ones too.
    pub async fn messages(&self) -> Vec<String> {
        let rows = self.rows().await;
        rows.into_iter().filter(|row| row.kind == "message").map(|row| row.text).collect()
    }

    /// Waits until exactly these messages are shown, each acknowledged.
    pub async fn shows(&self, wanted: &[&str]) {
        let wanted: Vec<_> = wanted.iter().map(|text| ((*text).to_owned(), false)).collect();
        becomes("the page shows these messages, settled", PAGE, wanted, || async {
            let rows = self.rows().await.into_iter().filter(|row| row.kind == "message");
            rows.map(|row| (row.text, row.pending)).collect::<Vec<_>>()
        })
        .await;
    }

    /// Waits until a message with this text is shown.
    pub async fn shows_one(&self, text: &str) {
        eventually(&format!("the page shows {text:?}"), PAGE, || async {
            self.messages().await.iter().any(|shown| shown == text).then_some(())
        })
        .await;
    }

    /// Types into the field and presses Enter.
    pub async fn says(&self, text: &str) {
        self.types(text).await;
        self.browser.press(Key::Enter).await;
    }

    /// Types into the field, behind what it holds.
    pub async fn types(&self, text: &str) {
        self.browser.script::<Value>("document.querySelector('#text').focus();", Vec::new()).await;
        self.browser.insert(text).await;
    }

    /// What the field holds.
    pub async fn field(&self) -> String {
        self.browser.script("return document.querySelector('#text').value;", Vec::new()).await
    }

    pub async fn field_has_focus(&self) -> bool {
        self.browser.script("return document.activeElement.id === 'text';", Vec::new()).await
    }

    /// Puts the caret behind so many characters of the field.
    pub async fn puts_caret(&self, place: usize) {
        let script = "const t = document.querySelector('#text'); t.focus(); t.setSelectionRange(arguments[0], arguments[0]);";
        self.browser.script::<Value>(script, vec![json!(place)]).await;
    }

    /// The line above the composer that tells of the connection.
    pub async fn connection(&self) -> String {
        self.browser.text("#connection").await
    }

    /// Waits until that line says something that contains `word`.
    pub async fn says_of_connection(&self, word: &str, patience: Duration) {
        eventually(&format!("the page says {word:?} of its connection"), patience, || async {
            self.connection().await.contains(word).then_some(())
        })
        .await;
    }

    /// Waits until that line is empty.
    pub async fn says_nothing_of_connection(&self, patience: Duration) {
        becomes("the page says nothing of its connection", patience, String::new(), || async {
            self.connection().await.trim().to_owned()
        })
        .await;
    }

    /// How far the row is from the top of the list, in pixels; nothing when it is not there.
    pub async fn offset(&self, text: &str) -> Option<f64> {
        let script = "const list = document.querySelector('#messages').getBoundingClientRect().top;
            const row = [...document.querySelectorAll('#messages article.row')]
                .find(row => row.querySelector('.body')?.innerText === arguments[0]);
            return row ? row.getBoundingClientRect().top - list : null;";
        self.browser.script(script, vec![json!(text)]).await
    }

    /// Scrolls until this row is at the top of the list.
    pub async fn scrolls_to(&self, text: &str) {
        let offset = self.offset(text).await.unwrap_or_else(|| panic!("{text:?} is not on the page"));
        self.scrolls_by(offset).await;
    }

    pub async fn scrolls_by(&self, pixels: f64) {
        let script =
            "document.querySelector('#messages').scrollBy({top: arguments[0], behavior: 'instant'});";
        self.browser.script::<Value>(script, vec![json!(pixels)]).await;
    }

    pub async fn scrolls_to_top(&self) {
        self.browser
            .script::<Value>(
                "document.querySelector('#messages').scrollTo({top: 0, behavior: 'instant'});",
                Vec::new(),
            )
            .await;
    }

    /// Pixels between the list's end and what is in view.
    pub async fn distance_to_end(&self) -> f64 {
        let script = "const m = document.querySelector('#messages'); return m.scrollHeight - m.clientHeight - m.scrollTop;";
        self.browser.script(script, Vec::new()).await
    }

    pub async fn close(self) {
        self.browser.close().await;
    }
}
