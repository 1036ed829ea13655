//! Script in whatever people write is text.

use tests::backchat::shared;
use tests::html;
use tests::person::{PASSWORD, Person, unique};

const SCRIPTS: [&str; 6] = [
    r#"<script>document.title="x"</script>"#,
    r#"<<b>script>document.title="x"<</b>/script>"#,
    r#""><img src=x onerror=document.title="x">"#,
    r#"<svg/onload=document.title="x">"#,
    r#"[a](javascript:document.title="x")"#,
    r#"https://e.example/"onmouseover="document.title='x'"#,
];

/// That no piece of it could run: no tag of its own, no attribute of its own, no address that is a script.
fn is_harmless(html: &str, name: &str) {
    for bad in [
        "<script>document",
        "<img",
        "<svg/onload",
        "<b>script",
        "href=\"javascript:",
        "\" onmouseover",
        "\"onmouseover=",
    ] {
        assert!(!html.contains(bad), "{name} has {bad}");
    }
}

#[tokio::test]
async fn script_in_a_message_is_text_live_and_after_a_reload() {
    let address = shared().await;
    let writer = Person::arrives(&address, "Writer").await;
    let room = writer.creates("Escapes").await;
    let cursor = writer.opens(&room).await.cursor;
    let mut page = writer.connects_as_page(&room, &cursor).await;
    let mut program = writer.connects(&room).await;
    for script in SCRIPTS {
        program.say(script).await;
        let row = page.row().await;
        assert_eq!(row.text, script);
        is_harmless(&row.html, script);
    }
    let view = writer.opens(&room).await;
    assert_eq!(view.messages(), SCRIPTS);
    view.rows.iter().for_each(|row| is_harmless(&row.html, &row.text));
    let newest = view.head + 1;
    let older = writer.get(&format!("/room/{room}/history/?before={newest}")).await;
    html::rows(&older.body).iter().for_each(|row| is_harmless(&row.html, &row.text));
    let home = writer.get("/").await;
    is_harmless(&home.body, "the list of rooms");
    assert_eq!(program.messages(SCRIPTS.len()).await, SCRIPTS);
}

#[tokio::test]
async fn script_in_a_room_name_is_text_in_title_list_and_attributes() {
    let address = shared().await;
    let maker = Person::arrives(&address, "Maker").await;
    let guest = Person::arrives(&address, "Guest").await;
    for script in SCRIPTS {
        let room = maker.creates(script).await;
        let view = maker.opens(&room).await;
        assert!(html::title(&view.html).starts_with(script), "{}", html::title(&view.html));
        assert_eq!(html::attribute(&view.html, "data-name").as_deref(), Some(script));
        for (name, page) in [
            ("its page", view.html),
            ("the invitation", guest.get(&format!("/room/{room}/")).await.body),
            ("the list", maker.get("/").await.body),
        ] {
            assert!(html::text(&page).contains(script), "{name} does not show {script}");
            is_harmless(&page, name);
        }
    }
}

#[tokio::test]
async fn script_in_a_persons_name_is_text_wherever_it_is_shown() {
    let address = shared().await;
    for start in ["<script>x()</script>", "\"><img src=x onerror=x>", "<svg/onload=x()>", "'onmouseover='x()"]
    {
        let mut person = Person::stranger(&address);
        person.name = format!("{start} {}", unique());
        let registered = person.register(&person.name, PASSWORD).await;
        assert_eq!(registered.status, 303, "{start}: {}", registered.body);
        let login = person.log_in(&person.name, "a wrong password", "/").await;
        is_harmless_name(&login.body, start, "the login form");
        person.log_in(&person.name, PASSWORD, "/").await;
        let room = person.creates("Names").await;
        let cursor = person.opens(&room).await.cursor;
        let mut page = person.connects_as_page(&room, &cursor).await;
        page.send("hello").await;
        let row = page.row().await;
        assert!(html::text(&row.html).contains(&person.name));
        is_harmless_name(&row.html, start, "a live message");
        for path in ["/".to_owned(), format!("/room/{room}/"), "/create/".to_owned()] {
            let page = person.get(&path).await.body;
            assert!(html::text(&page).contains(&person.name), "{path}");
            is_harmless_name(&page, start, &path);
        }
    }
}

fn is_harmless_name(html: &str, name: &str, place: &str) {
    for bad in ["<script>x", "<img", "<svg/", "='x()"] {
        assert!(!html.contains(bad), "{place} runs {name}");
    }
}

#[tokio::test]
async fn script_in_a_form_that_is_shown_again_is_text() {
    let address = shared().await;
    let person = Person::arrives(&address, "Typist").await;
    for script in SCRIPTS {
        let long = format!("{script}{}", "x".repeat(60));
        let forms = [
            person.post("/create/", &[("name", &long)]).await,
            person.post("/join/", &[("code", script)]).await,
            person.register(&long, "short").await,
        ];
        for answer in forms {
            assert_eq!(answer.status, 422);
            is_harmless(&answer.body, script);
        }
        let next = format!("/{script}");
        let login = Person::stranger(&address)
            .get(&format!("/auth/login/?next={}", tests::http::percent(&next)))
            .await;
        is_harmless(&login.body, script);
    }
}

#[tokio::test]
async fn an_address_in_a_message_is_a_link_that_tells_the_other_site_nothing() {
    let person = Person::arrives(&shared().await, "Linker").await;
    let room = person.creates("Links").await;
    person.connects(&room).await.say("see https://example.org/a?b=1&c=2, and javascript:alert(1)").await;
    let view = person.opens(&room).await;
    let row = view.rows.iter().find(|row| row.kind == "message").unwrap();
    assert_eq!(
        html::attribute(&row.html, "href").as_deref(),
        Some("https://example.org/a?b=1&c=2"),
        "{}",
        row.html
    );
    let rel = html::attribute(&row.html, "rel").unwrap_or_default();
    assert!(rel.contains("noopener") && rel.contains("noreferrer"), "{}", row.html);
    assert_eq!(row.html.matches("<a ").count(), 2, "it, and the message's own: {}", row.html);
}
