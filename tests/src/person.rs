//! What a person does over HTTP: one method for each thing.

use crate::html::{self, Row};
use crate::html_socket::HtmlSocket;
use crate::http::{Answer, Ask, percent};
use crate::json_socket::JsonSocket;
use crate::socket::{Dial, Dialled};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A password that nobody guesses first.
pub const PASSWORD: &str = "a kettle sings at noon";
/// The name of the field in which the password is typed again.
pub const REPEAT: &str = "password2";

/// How often somebody tries again who was told to, and after which pause.
const TRIES: usize = 20;
const AGAIN: Duration = Duration::from_secs(1);

/// Somebody with a browser's cookies. A clone shares them, as a second tab does.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    /// `host:port` of the server that is spoken to.
    pub address: String,
    jar: Arc<Mutex<Jar>>,
    /// Held while a token is renewed: of several tabs one does it for all.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

/// Asks until the answer is another than "not at this moment".
async fn patiently<A: Future<Output = Answer>>(ask: impl Fn() -> A) -> Answer {
    for _ in 0..TRIES {
        let answer = ask().await;
        if answer.status != 503 {
            return answer;
        }
        tokio::time::sleep(AGAIN).await;
    }
    ask().await
}

/// Cookies by name, with the path that each is for.
type Jar = BTreeMap<String, (String, String)>;

/// A room's page as it was served.
#[derive(Debug, Clone)]
pub struct RoomView {
    pub html: String,
    pub rows: Vec<Row>,
    /// From where its socket continues.
    pub cursor: String,
    pub stream: String,
    pub head: u64,
}

impl Person {
    /// Somebody without an account, at the server `address`.
    pub fn stranger(address: &str) -> Self {
        Self {
            name: String::new(),
            address: address.to_owned(),
            jar: Arc::default(),
            renewing: Arc::default(),
        }
    }

    /// Somebody new, registered and logged in. The name gets a suffix, so that tests share a server. Whoever is told that it can't be
    /// done at this moment tries again.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn arrives(address: &str, name: &str) -> Self {
        let mut person = Self::stranger(address);
        person.name = format!("{name} {}", unique());
        let registered = patiently(|| person.register(&person.name, PASSWORD)).await;
        assert_eq!(registered.status, 303, "{} can't register: {}", person.name, registered.body);
        let logged_in = patiently(|| person.log_in(&person.name, PASSWORD, "/")).await;
        assert_eq!(logged_in.status, 303, "{} can't log in: {}", person.name, logged_in.body);
        person
    }

    /// The same account in another browser.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn elsewhere(&self) -> Self {
        let other = Self { jar: Arc::default(), renewing: Arc::default(), ..self.clone() };
        let logged_in = other.log_in(&self.name, PASSWORD, "/").await;
        assert_eq!(logged_in.status, 303, "{} can't log in: {}", self.name, logged_in.body);
        other
    }

    /// The same person on another machine that knows them: logged in, with nothing of the session here.
    ///
    /// # Panics
    /// When they can't come in.
    pub async fn comes_in_at(&self, address: &str) -> Self {
        let there = Self { name: self.name.clone(), ..Self::stranger(address) };
        let logged_in = there.log_in(&there.name, PASSWORD, "/").await;
        assert_eq!(logged_in.status, 303, "{} can't log in: {}", there.name, logged_in.body);
        there
    }

    /// The same browser, through another way in.
    pub fn through(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Ask::get(path), path).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Ask::post(path, fields), path).await
    }

    /// Sends a request with this browser's cookies, and keeps those that come back.
    pub async fn send(&self, ask: Ask, path: &str) -> Answer {
        let sent = self.tries_to_send(ask, path).await;
        sent.unwrap_or_else(|error| panic!("{path} at {}: {error}", self.address))
    }

    /// Like [`Person::send`].
    ///
    /// # Errors
    /// A sentence, when there is no answer.
    pub async fn tries_to_send(&self, ask: Ask, path: &str) -> Result<Answer, String> {
        let cookies = self.cookies_for(path);
        let ask = if cookies.is_empty() { ask } else { ask.header("cookie", &cookies) };
        let answer = ask.try_send(&self.address).await?;
        self.keep(&answer);
        Ok(answer)
    }

    pub async fn register(&self, name: &str, password: &str) -> Answer {
        self.post("/auth/register/", &[("name", name), ("password", password), (REPEAT, password)]).await
    }

    pub async fn log_in(&self, name: &str, password: &str, next: &str) -> Answer {
        self.post("/auth/login/", &[("name", name), ("password", password), ("next", next)]).await
    }

    pub async fn log_out(&self) -> Answer {
        self.post("/auth/logout/", &[]).await
    }

    pub async fn renew(&self) -> Answer {
        self.post("/auth/renew/", &[]).await
    }

    /// Gets a new token in place of one that does no more, unless another tab has. Nothing happens when nobody answers.
    pub async fn renew_instead_of(&self, token: Option<String>) {
        let _one_at_a_time = self.renewing.lock().await;
        if self.cookie("backchat_token") != token {
            return;
        }
        let path = "/auth/renew/";
        let ask = Ask::post(path, &[]).header("cookie", &self.cookies_for(path));
        if let Ok(answer) = ask.try_send(&self.address).await {
            self.keep(&answer);
        }
    }

    /// Makes a room and gives its code. Whoever is told that it can't be done at this moment tries again.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn creates(&self, name: &str) -> String {
        let fields = [("name", name)];
        let answer = patiently(|| self.post("/create/", &fields)).await;
        assert_eq!(answer.status, 303, "the room {name:?} can't be made: {}", answer.body);
        code(answer.location())
    }

    /// # Panics
    /// When the server refuses.
    pub async fn joins(&self, room: &str) {
        let answer = self.post("/join/", &[("code", room)]).await;
        assert_eq!(answer.status, 303, "{room} can't be joined: {}", answer.body);
    }

    /// # Panics
    /// When the server refuses.
    pub async fn leaves(&self, room: &str) {
        let answer = self.post(&format!("/room/{room}/leave/"), &[]).await;
        assert_eq!(answer.status, 303, "{room} can't be left: {}", answer.body);
    }

    /// What a program is told that searches in this person's name.
    pub async fn asks_search(&self, query: &str) -> Answer {
        let path = format!("/search/?q={}", percent(query));
        self.send(Ask::get(&path).header("accept", "application/json"), &path).await
    }

    /// The texts of the messages that a search finds, the best first, as far as they are shown.
    ///
    /// # Panics
    /// When the server answers something else.
    pub async fn finds(&self, query: &str) -> Vec<String> {
        let answer = self.asks_search(query).await;
        assert_eq!(answer.status, 200, "{query:?} can't be searched: {}", answer.body);
        let json = answer.json();
        let hits = json["hits"].as_array().expect("an answer has hits");
        let text = |hit: &serde_json::Value| {
            let pieces = hit["excerpt"].as_array().expect("a hit has an excerpt").iter();
            pieces.filter_map(|piece| piece["text"].as_str()).collect()
        };
        hits.iter().map(text).collect()
    }

    /// Opens a room's page.
    ///
    /// # Panics
    /// When the server shows something else.
    pub async fn opens(&self, room: &str) -> RoomView {
        let answer = self.get(&format!("/room/{room}/")).await;
        assert_eq!(answer.status, 200, "{room} can't be opened: {} {}", answer.location(), answer.body);
        RoomView::of(answer.body)
    }

    /// A JSON socket with the last events of a room.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn connects(&self, room: &str) -> JsonSocket {
        JsonSocket::over(self.dial(room).as_json().connect().await)
    }

    /// A JSON socket that continues after a cursor.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn connects_after(&self, room: &str, cursor: &str) -> JsonSocket {
        JsonSocket::over(self.dial(room).after(cursor).as_json().connect().await)
    }

    /// A socket in the page's format.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn connects_as_page(&self, room: &str, cursor: &str) -> HtmlSocket {
        HtmlSocket::over(self.dial(room).after(cursor).connect().await)
    }

    /// A handshake to be made different.
    pub fn dial(&self, room: &str) -> Dial {
        Dial::to(&self.address, room).cookie(&self.cookies_for("/chat/"))
    }

    /// A JSON socket of this person's list of rooms.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn watches_rooms(&self) -> JsonSocket {
        let dial = Dial::to_list(&self.address).cookie(&self.cookies_for("/chat/"));
        JsonSocket::over(dial.as_json().connect().await)
    }

    /// What the server says to a JSON socket of this person.
    pub async fn tries_to_connect(&self, room: &str) -> Dialled {
        self.dial(room).as_json().dial().await
    }

    /// The session token in the cookies.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> String {
        self.cookie("backchat_token").expect("somebody who is logged in has a token")
    }

    /// A cookie's value; one that travels over TLS alone has a longer name.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let jar = self.jar();
        let found = jar.get(name).or_else(|| jar.get(&format!("__Host-{name}")));
        found.map(|(value, _)| value.clone())
    }

    pub fn set_cookie(&self, name: &str, value: &str, path: &str) {
        self.jar().insert(name.into(), (value.into(), path.into()));
    }

    fn cookies_for(&self, path: &str) -> String {
        let jar = self.jar();
        let fitting = jar.iter().filter(|(_, (_, scope))| path.starts_with(scope.as_str()));
        fitting.map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: Vec<_> = parts.map(str::to_ascii_lowercase).collect();
            let path =
                attributes.iter().find_map(|part| part.strip_prefix("path=")).unwrap_or("/").to_owned();
            if attributes.iter().any(|part| part == "max-age=0") {
                self.jar().remove(name);
            } else {
                self.jar().insert(name.into(), (value.into(), path));
            }
        }
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().expect("no test panics while it holds the cookies")
    }
}

impl RoomView {
    pub fn of(html: String) -> Self {
        let rows = html::rows(&html);
        let stream = html::attribute(&html, "data-stream").expect("a room's page names its stream");
        let head = html::attribute(&html, "data-head").and_then(|text| text.parse().ok());
        let head = head.expect("a room's page says up to where it goes");
        Self { rows, cursor: format!("{stream}.{head}"), stream, head, html }
    }

    /// The texts of its messages, from top to bottom.
    pub fn messages(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.kind == "message").map(|row| row.text.clone()).collect()
    }
}

/// A room's code, from the address of its page.
///
/// # Panics
/// When the address is not that of a room.
pub fn code(location: &str) -> String {
    let code = location.strip_prefix("/room/").and_then(|rest| rest.split('/').next());
    code.unwrap_or_else(|| panic!("{location:?} is not the address of a room")).to_owned()
}

/// Four letters that no other test uses.
pub fn unique() -> String {
    let random = uuid::Uuid::new_v4().as_u64_pair().1;
    (0..6).map(|place| char::from(b'a' + ((random >> (place * 5)) % 26) as u8)).collect()
}
