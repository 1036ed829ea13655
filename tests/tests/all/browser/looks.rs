//! Every page on every screen: measured for what a program can see, and kept as pictures for people.

use tests::backchat::shared;
use tests::browser::{Browser, Screen};
use tests::person::{Person, unique};

/// What is wrong with how the page lies on the screen, empty when nothing is.
const FAULTS: &str = "
    const faults = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) faults.push(`${root.scrollWidth - root.clientWidth} px too wide`);
    if (document.querySelector('#composer')) {
        if (root.scrollHeight > root.clientHeight) faults.push('the page itself scrolls');
        const composer = document.querySelector('#composer').getBoundingClientRect();
        if (composer.bottom > innerHeight + 1 || composer.height < 20) faults.push('the composer is not whole');
        if (parseFloat(getComputedStyle(document.querySelector('#text')).fontSize) < 16) faults.push('small text in the field');
    }
    for (const e of document.querySelectorAll('a, button, input, textarea')) {
        const box = e.getBoundingClientRect();
        if (e.checkVisibility() && box.width && e.className !== 'skip' && e.type !== 'hidden' && !e.closest('.body, p') && (box.height < 20 || box.width < 20))
            faults.push(`a target of ${box.width}x${box.height}: ${e.outerHTML.slice(0, 80)}`);
    }
    for (const e of document.querySelectorAll('input, textarea, select'))
        if (e.type !== 'hidden' && !e.labels?.length && !e.ariaLabel) faults.push(`no label: ${e.outerHTML.slice(0, 80)}`);
    for (const e of document.querySelectorAll('button'))
        if (!e.innerText.trim() && !e.ariaLabel) faults.push(`no name: ${e.outerHTML.slice(0, 80)}`);
    if (document.querySelectorAll('h1').length !== 1) faults.push('not exactly one h1');
    return faults;";

pub async fn everywhere() {
    let address = shared().await;
    let person = Person::arrives(&address, "Camille").await;
    let friend = Person::arrives(&address, "Dominique").await;
    let talk = person.creates("Équipe produit").await;
    let empty = person.creates("Empty room").await;
    friend.joins(&talk).await;
    fill(&person, &friend, &talk).await;
    let invitation = friend.creates("Secret garden").await;
    let visitor = Browser::open(&address, Screen::DESK).await;
    let member = Browser::of(&person, Screen::DESK).await;
    let member_pages = [
        ("home", "/".to_owned()),
        ("create", "/create/".into()),
        ("join", "/join/".into()),
        ("room", format!("/room/{talk}/")),
        ("room-empty", format!("/room/{empty}/")),
        ("invitation", format!("/room/{invitation}/")),
        ("search", "/search/?q=twice".into()),
        ("search-empty", "/search/?q=nobodysaidthis".into()),
        ("search-start", "/search/".into()),
        ("search-fault", "/search/?q=before%3Atomorrow".into()),
        ("logout", "/auth/logout/".into()),
        ("room-not-found", "/room/none_x7qa/".into()),
        ("not-found", "/nowhere/".into()),
    ];
    let visitor_pages =
        [("login", "/auth/login/?created=1".to_owned()), ("register", "/auth/register/".into())];
    for language in ["en", "fr"] {
        for base in [Screen::PHONE, Screen::DESK] {
            for dark in [false, true] {
                let screen = Screen { dark, language, ..base };
                for (browser, pages) in [(&member, member_pages.as_slice()), (&visitor, &visitor_pages)] {
                    browser.look_through(screen).await;
                    for (name, path) in pages {
                        look_at(browser, screen, name, path).await;
                    }
                }
            }
        }
    }
    for browser in [member, visitor] {
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
        browser.close().await;
    }
}

async fn look_at(browser: &Browser, screen: Screen, name: &str, path: &str) {
    browser.goto(path).await;
    if path.starts_with("/room/") && browser.count("#messages").await > 0 {
        browser.waits_for("#status[data-cursor]").await;
    }
    let shade = if screen.dark { "dark" } else { "light" };
    let picture = format!("{name}-{}x{}-{shade}-{}", screen.width, screen.height, screen.language);
    browser.screenshot(&picture).await;
    let faults: Vec<String> = browser.script(FAULTS, Vec::new()).await;
    assert_eq!(faults, Vec::<String>::new(), "{picture}");
    let language: String = browser.script("return document.documentElement.lang;", Vec::new()).await;
    assert_eq!(language, screen.language, "{picture}");
}

async fn fill(person: &Person, friend: &Person, room: &str) {
    let mut mine = person.connects(room).await;
    let mut theirs = friend.connects(room).await;
    for text in ["Good morning!", "Did the night's build pass?", "I see two failures, both in the same test."]
    {
        mine.say(text).await;
    }
    theirs.say("It did on my machine:\n\n    cargo test --workspace\n    ok. 412 passed").await;
    theirs.say("The failing one waits for a port, see https://example.org/builds/4711?tab=log").await;
    mine.say(&format!("A long word: {}", "Donaudampfschifffahrt".repeat(20))).await;
    mine.say("مرحبا بالجميع، كيف الحال؟").await;
    theirs.say("🎉").await;
    theirs.say(&format!("unique {}", unique())).await;
    let edited = mine.send("This was written").await;
    mine.acknowledged(edited).await;
    mine.edit(edited, "This was written twice").await;
    let deleted = theirs.send("This is gone").await;
    theirs.acknowledged(deleted).await;
    let deletion = theirs.delete(deleted).await;
    theirs.acknowledged(deletion).await;
    for (socket, reaction) in [(&mut mine, "🎉"), (&mut theirs, "👀")] {
        let id = socket.react(edited, reaction, true).await;
        socket.acknowledged(id).await;
    }
}
