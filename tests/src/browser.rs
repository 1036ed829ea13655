//! A real Chromium through chromedriver. Every [`Browser`] is a profile of its own, so that two of them are two people.

use crate::eventually::eventually;
use crate::http::Ask;
use crate::person::Person;
use crate::ports;
use crate::process::{Launch, Program, target_folder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// Patience for what a page does by itself.
pub const PAGE: Duration = Duration::from_secs(20);

/// How a browser looks at pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    /// `en` or `fr`.
    pub language: &'static str,
}

impl Screen {
    pub const DESK: Self = Self { width: 1280, height: 800, dark: false, language: "en" };
    pub const PHONE: Self = Self { width: 360, height: 740, dark: false, language: "en" };
}

/// Two tests with browsers at once would slow each other down more than they gain.
static TURN: Semaphore = Semaphore::const_new(1);

/// Waits until no other test of this process has a browser.
///
/// # Panics
/// Never: the semaphore is not closed.
pub async fn turn() -> SemaphorePermit<'static> {
    TURN.acquire().await.expect("the semaphore is never closed")
}

pub struct Browser {
    /// There until the browser is closed.
    driver: Option<WebDriver>,
    origin: String,
}

impl Drop for Browser {
    /// A failed test does not wait for its browser: that ends with the driver, when this process ends.
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

impl Browser {
    /// A fresh profile that looks at the server `address`.
    ///
    /// # Panics
    /// When Chromium does not start.
    pub async fn open(address: &str, screen: Screen) -> Self {
        let mut capabilities = DesiredCapabilities::chrome();
        let prepared = prepare(&mut capabilities, screen);
        prepared.expect("plain capabilities");
        let driver = WebDriver::new(driver().await, capabilities).await.expect("Chromium starts");
        let browser = Self { driver: Some(driver), origin: format!("http://{address}") };
        browser.look_through(screen).await;
        browser
    }

    /// A fresh profile in which a person is logged in already.
    pub async fn of(person: &Person, screen: Screen) -> Self {
        let browser = Self::open(&person.address, screen).await;
        browser.takes_cookies_of(person).await;
        browser
    }

    async fn takes_cookies_of(&self, person: &Person) {
        for (name, path) in [("backchat_token", "/"), ("backchat_refresh", "/auth/")] {
            let value = person.cookie(name).expect("somebody who is logged in has both cookies");
            let url = format!("{}{path}", self.origin);
            self.cdp(
                "Network.setCookie",
                json!({"name": name, "value": value, "url": url, "path": path, "httpOnly": true}),
            )
            .await;
        }
    }

    /// Sets the size, the colour scheme and the language.
    pub async fn look_through(&self, screen: Screen) {
        let metrics =
            json!({"width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if screen.dark { "dark" } else { "light" };
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.cdp("Emulation.setEmulatedMedia", feature).await;
        let version = self.cdp("Browser.getVersion", json!({})).await;
        let agent = json!({"userAgent": version["userAgent"], "acceptLanguage": screen.language});
        self.cdp("Emulation.setUserAgentOverride", agent).await;
    }

    pub async fn goto(&self, path: &str) {
        self.driver().goto(format!("{}{path}", self.origin)).await.expect("the page loads");
    }

    pub async fn reload(&self) {
        self.driver().refresh().await.expect("the page loads");
    }

    pub async fn back(&self) {
        self.driver().back().await.expect("there is a page to go back to");
    }

    /// The page's address without its origin.
    pub async fn path(&self) -> String {
        let url = self.driver().current_url().await.expect("the page has an address");
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Waits for the page `wanted`, or one below it; every page is below `/`, so that one is waited for itself.
    pub async fn waits_for_path(&self, wanted: &str) {
        eventually(&format!("the browser comes to {wanted}"), PAGE, || async {
            let path = self.path().await;
            (path == wanted || wanted != "/" && path.starts_with(wanted)).then_some(())
        })
        .await;
    }

    pub async fn title(&self) -> String {
        self.driver().title().await.expect("the page has a title")
    }

    /// Runs a script in the page; its `return` comes back.
    ///
    /// # Panics
    /// When the script throws, or gives something else.
    pub async fn script<T: DeserializeOwned>(&self, script: &str, arguments: Vec<Value>) -> T {
        let result = self.driver().execute(script, arguments).await;
        let result = result.unwrap_or_else(|error| panic!("{error}\nin {script}"));
        result.convert().unwrap_or_else(|error| panic!("{error}\nin {script}"))
    }

    /// What a person reads in the first element that matches, empty when there is none.
    pub async fn text(&self, css: &str) -> String {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';";
        self.script(script, vec![json!(css)]).await
    }

    pub async fn count(&self, css: &str) -> usize {
        self.script("return document.querySelectorAll(arguments[0]).length;", vec![json!(css)]).await
    }

    /// Whether an element that matches takes up room on the page.
    pub async fn is_visible(&self, css: &str) -> bool {
        let script = "const e = document.querySelector(arguments[0]);
            return !!e && e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && e.getClientRects().length > 0;";
        self.script(script, vec![json!(css)]).await
    }

    pub async fn waits_for(&self, css: &str) {
        eventually(&format!("the page shows {css}"), PAGE, || async {
            (self.count(css).await > 0).then_some(())
        })
        .await;
    }

    /// Clicks the first element that matches, as a mouse does.
    ///
    /// # Panics
    /// When there is none, or something covers it.
    pub async fn click(&self, css: &str) {
        let element = self.driver().find(By::Css(css)).await;
        let element = element.unwrap_or_else(|error| panic!("no {css} to click: {error}"));
        element.click().await.unwrap_or_else(|error| panic!("{css} can't be clicked: {error}"));
    }

    /// Puts the focus into a field and types a text over what it holds.
    pub async fn fill(&self, css: &str, text: &str) {
        self.script::<Value>(
            "const e = document.querySelector(arguments[0]); e.focus(); e.select();",
            vec![json!(css)],
        )
        .await;
        self.insert(text).await;
    }

    /// Types a text where the focus is: as one piece, like a paste.
    pub async fn insert(&self, text: &str) {
        self.cdp("Input.insertText", json!({"text": text})).await;
    }

    /// Presses and releases a key.
    pub async fn press(&self, key: Key) {
        self.cdp("Input.dispatchKeyEvent", key.event("keyDown")).await;
        self.cdp("Input.dispatchKeyEvent", key.event("keyUp")).await;
    }

    /// Composes with an input method, with nothing decided yet.
    pub async fn compose(&self, text: &str) {
        let end = text.chars().count();
        self.cdp(
            "Input.imeSetComposition",
            json!({"text": text, "selectionStart": end, "selectionEnd": end}),
        )
        .await;
    }

    /// The browser's own switch: no network at all.
    pub async fn offline(&self, offline: bool) {
        let conditions =
            json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.cdp("Network.emulateNetworkConditions", conditions).await;
    }

    /// A command of the browser's debug protocol.
    ///
    /// # Panics
    /// When the browser refuses it.
    pub async fn cdp(&self, method: &str, parameters: Value) -> Value {
        let sent = self.driver().cdp().send_raw(method, parameters).await;
        sent.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Keeps a picture of what is seen, for people: `<target>/screenshots/<name>.png`.
    pub async fn screenshot(&self, name: &str) {
        let folder = target_folder().join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let shot = self.cdp("Page.captureScreenshot", json!({"format": "png"})).await;
        let data = shot["data"].as_str().unwrap_or_default();
        let png = data_encoding::BASE64.decode(data.as_bytes()).expect("a picture in base64");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("a picture can be written");
    }

    /// What the console said that is an error, of the page's own doing: the network's failures are not.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = self.driver().browser_log().await.expect("Chromium keeps a log");
        let errors = entries.into_iter().filter(|entry| entry.level == "SEVERE");
        errors.map(|entry| entry.message).filter(|message| !is_of_the_network(message)).collect()
    }

    /// Ends the browser.
    pub async fn close(mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = driver.quit().await;
        }
    }

    /// The driver itself, for what has no verb here.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("the browser is open")
    }
}

fn is_of_the_network(message: &str) -> bool {
    message.contains("WebSocket connection to")
        || message.contains("Failed to load resource")
        || message.contains("net::ERR_")
}

/// A key that means something to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Enter,
    ShiftEnter,
    ControlEnter,
    /// Enter as an input method takes it: key code 229.
    EnterForInputMethod,
    End,
    Escape,
    F6,
    Up,
    Down,
    Tab,
}

impl Key {
    fn event(self, kind: &str) -> Value {
        let (key, code, number, modifiers) = match self {
            Self::Enter => ("Enter", "Enter", 13, 0),
            Self::ShiftEnter => ("Enter", "Enter", 13, 8),
            Self::ControlEnter => ("Enter", "Enter", 13, 2),
            Self::EnterForInputMethod => ("Process", "Enter", 229, 0),
            Self::End => ("End", "End", 35, 0),
            Self::Escape => ("Escape", "Escape", 27, 0),
            Self::F6 => ("F6", "F6", 117, 0),
            Self::Up => ("ArrowUp", "ArrowUp", 38, 0),
            Self::Down => ("ArrowDown", "ArrowDown", 40, 0),
            Self::Tab => ("Tab", "Tab", 9, 0),
        };
        let mut event = json!({
            "type": kind, "key": key, "code": code, "modifiers": modifiers,
            "windowsVirtualKeyCode": number, "nativeVirtualKeyCode": number,
        });
        if kind == "keyDown" && number == 13 {
            event["text"] = json!("\r");
        }
        event
    }
}

fn prepare(capabilities: &mut thirtyfour::ChromeCapabilities, screen: Screen) -> WebDriverResult<()> {
    let flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ];
    flags.into_iter().try_for_each(|flag| capabilities.add_arg(flag))?;
    capabilities.add_arg(&format!("--window-size={},{}", screen.width, screen.height))?;
    capabilities.add_arg(&format!("--lang={}", screen.language))?;
    capabilities.set_binary(&chromium().to_string_lossy())?;
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)
}

fn chromium() -> PathBuf {
    found("CHROMIUM", &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"])
}

fn chromedriver() -> PathBuf {
    found("CHROMEDRIVER", &["/usr/bin/chromedriver", "/usr/lib/chromium-browser/chromedriver"])
}

fn found(variable: &str, places: &[&str]) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let mut all = named.into_iter().chain(places.iter().map(PathBuf::from));
    let missing = "Debian: apt-get install chromium chromium-driver; make test does";
    all.find(|path| path.is_file()).unwrap_or_else(|| panic!("no {} ({missing})", places[0]))
}

/// One chromedriver for this process; gives its address.
async fn driver() -> String {
    static DRIVER: OnceCell<(Program, u16)> = OnceCell::const_new();
    let start = async || {
        let port = ports::free();
        let launch = Launch::new(&chromedriver(), Path::new(&std::env::temp_dir()))
            .named(&format!("chromedriver-{port}"))
            .argument(format!("--port={port}"));
        let program = Program::start(launch);
        let address = format!("127.0.0.1:{port}");
        eventually("chromedriver is ready", Duration::from_secs(30), || async {
            let answer = Ask::get("/status").try_send(&address).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        (program, port)
    };
    let (_, port) = DRIVER.get_or_init(start).await;
    format!("http://127.0.0.1:{port}")
}
