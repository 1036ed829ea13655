//! Registering and logging in.

use tests::backchat::shared;
use tests::html;
use tests::http::{Answer, Ask};
use tests::person::{PASSWORD, Person, unique};

/// That the form says something about this field, and keeps the name that was typed and no password.
fn is_refused(answer: &Answer, field: &str, typed: &str) {
    assert_eq!(answer.status, 422, "{typed:?} was answered {} {}", answer.status, answer.body);
    let error = format!("id=\"{field}-error\"");
    assert!(answer.body.contains(&error), "no error beside {field} for {typed:?}: {}", answer.body);
    assert!(answer.body.contains("aria-invalid=\"true\""));
    assert!(!answer.body.contains(PASSWORD), "a password came back");
}

#[tokio::test]
async fn a_person_registers_logs_in_and_sees_their_rooms() {
    let visitor = Person::stranger(&shared().await);
    let name = format!("Zoë {}", unique());
    let registered = visitor.register(&name, PASSWORD).await;
    assert_eq!(registered.status, 303, "{}", registered.body);
    assert!(registered.location().starts_with("/auth/login/?created=1"), "{}", registered.location());
    let login = visitor.get(registered.location()).await;
    assert!(login.body.contains("Account created. You can log in."), "{}", login.body);
    let logged_in = visitor.log_in(&name, PASSWORD, "").await;
    assert_eq!((logged_in.status, logged_in.location()), (303, "/"));
    let home = visitor.get("/").await;
    assert_eq!(home.status, 200);
    assert!(html::text(&home.body).contains(&name), "the page does not say who is logged in");
}

#[tokio::test]
async fn the_session_is_in_cookies_that_scripts_and_other_sites_do_not_get() {
    let visitor = Person::stranger(&shared().await);
    let name = format!("Cookie {}", unique());
    visitor.register(&name, PASSWORD).await;
    let answer = visitor.log_in(&name, PASSWORD, "/").await;
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let cookie = |name: &str| *cookies.iter().find(|cookie| cookie.starts_with(name)).unwrap();
    for (name, path) in [("backchat_token=", "Path=/;"), ("backchat_refresh=", "Path=/auth/;")] {
        let cookie = format!("{};", cookie(name));
        assert!(cookie.contains(path), "{cookie}");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    }
}

#[tokio::test]
async fn each_field_of_the_registration_says_what_is_wrong() {
    let address = shared().await;
    let visitor = Person::stranger(&address);
    let long_name = "n".repeat(33);
    let long_password = "pässwörd of many words ".repeat(6);
    let name = format!("Field {}", unique());
    let cases = [
        ("", PASSWORD, PASSWORD, "name"),
        (long_name.as_str(), PASSWORD, PASSWORD, "name"),
        (&name, "short 7", "short 7", "password"),
        (&name, &long_password, &long_password, "password"),
        (&name, "password1", "password1", "password"),
        (&name, &name, &name, "password"),
    ];
    for (name, password, repeat, field) in cases {
        let answer = visitor
            .post(
                "/auth/register/",
                &[("name", name), ("password", password), (tests::person::REPEAT, repeat)],
            )
            .await;
        is_refused(&answer, field, name);
        assert_eq!(html::field(&answer.body, "name").as_deref(), Some(name), "the typed name is kept");
    }
    let fields =
        [("name", name.as_str()), ("password", PASSWORD), (tests::person::REPEAT, "a kettle sings at dawn")];
    is_refused(&visitor.post("/auth/register/", &fields).await, "repeat", &name);
}

#[tokio::test]
async fn several_faults_of_a_registration_are_shown_at_once() {
    let visitor = Person::stranger(&shared().await);
    let answer = visitor
        .post("/auth/register/", &[("name", ""), ("password", "x"), (tests::person::REPEAT, "x")])
        .await;
    is_refused(&answer, "name", "");
    is_refused(&answer, "password", "");
}

#[tokio::test]
async fn a_taken_name_is_refused_whatever_its_case_and_spaces() {
    let address = shared().await;
    let owner = Person::arrives(&address, "Taken").await;
    let visitor = Person::stranger(&address);
    for name in [owner.name.clone(), owner.name.to_uppercase(), format!("  {}  ", owner.name)] {
        is_refused(&visitor.register(&name, PASSWORD).await, "name", &name);
    }
}

#[tokio::test]
async fn a_name_that_poses_as_another_is_refused() {
    let address = shared().await;
    let owner = Person::arrives(&address, "alice").await;
    let suffix = owner.name.strip_prefix("alice ").unwrap();
    let visitor = Person::stranger(&address);
    let look_alikes = [
        format!(" alice  {suffix} "),
        format!("al\u{200B}ice {suffix}"),
        format!("\u{430}lice {suffix}"),
        format!("ALICE {suffix}"),
        format!("a\u{2060}lice {suffix}"),
        format!("ａlice {suffix}"),
        format!("alice\u{A0}{suffix}"),
    ];
    for name in look_alikes {
        is_refused(&visitor.register(&name, PASSWORD).await, "name", &name);
    }
}

#[tokio::test]
async fn a_name_that_can_not_be_seen_or_turns_its_surroundings_is_refused() {
    let visitor = Person::stranger(&shared().await);
    let suffix = unique();
    let invisible = "\u{200B}".repeat(15);
    for start in [invisible.as_str(), "\u{3164}", "\u{2800}\u{2800}"] {
        is_refused(&visitor.register(start, PASSWORD).await, "name", start);
    }
    for start in [
        "Test\u{F}Member",
        "Bob\u{202E}",
        "\u{2066}x",
        "\u{200F}Eve",
        "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    ] {
        let name = format!("{start} {suffix}");
        is_refused(&visitor.register(&name, PASSWORD).await, "name", &name);
    }
}

#[tokio::test]
async fn names_and_passwords_may_be_of_any_script() {
    let visitor = Person::stranger(&shared().await);
    let password = "пароль 密码 🔑 naïve";
    for name in ["Zoë Brontë", "Ирина", "田中さん", "שירה", "محمد", "👩‍🚀 Ada"] {
        let name = format!("{name} {}", unique());
        let registered = visitor.register(&name, password).await;
        assert_eq!(registered.status, 303, "{name} was refused: {}", registered.body);
        let logged_in = visitor.log_in(&name, password, "/").await;
        assert_eq!(logged_in.status, 303, "{name} can't log in");
    }
}

#[tokio::test]
async fn a_password_is_the_same_from_two_keyboards() {
    let visitor = Person::stranger(&shared().await);
    let name = format!("Keys {}", unique());
    assert_eq!(visitor.register(&name, "caf\u{E9} au lait, please").await.status, 303);
    assert_eq!(visitor.log_in(&name, "cafe\u{301} au lait, please", "/").await.status, 303);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let address = shared().await;
    let owner = Person::arrives(&address, "Owner").await;
    let visitor = Person::stranger(&address);
    let unknown_name = format!("nobody {}", unique());
    let wrong = visitor.log_in(&owner.name, "not this one at all", "/").await;
    let unknown = visitor.log_in(&unknown_name, "not this one at all", "/").await;
    assert!([401, 422].contains(&wrong.status), "{}", wrong.status);
    assert_eq!(wrong.status, unknown.status);
    assert_eq!(wrong.body.replace(&owner.name, "N"), unknown.body.replace(&unknown_name, "N"));
    assert_eq!(
        html::field(&wrong.body, "name").as_deref(),
        Some(owner.name.as_str()),
        "the typed name is kept"
    );
    assert!(visitor.cookie("backchat_token").is_none());
}

#[tokio::test]
async fn after_the_login_one_comes_to_the_page_one_wanted_and_to_no_other_site() {
    let address = shared().await;
    let person = Person::arrives(&address, "Next").await;
    let wanted = Person::stranger(&address).get("/room/some_room/?x=1").await;
    assert_eq!(wanted.status, 303, "{}", wanted.body);
    assert!(wanted.location().starts_with("/auth/login/?next="), "{}", wanted.location());
    let form = Person::stranger(&address).get(wanted.location()).await;
    assert_eq!(html::field(&form.body, "next").as_deref(), Some("/room/some_room/?x=1"));
    let own = person.log_in(&person.name, PASSWORD, "/room/some_room/?x=1").await;
    assert_eq!(own.location(), "/room/some_room/?x=1");
    for foreign in [
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/auth/logout/",
        "evil",
        "/\t/evil.example",
        "/x\r\nSet-Cookie: a=b",
    ] {
        let answer = person.log_in(&person.name, PASSWORD, foreign).await;
        assert_eq!((answer.status, answer.location()), (303, "/"), "for next={foreign:?}");
    }
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let address = shared().await;
    let person = Person::arrives(&address, "Forged").await;
    for path in ["/auth/login/", "/auth/register/", "/auth/logout/", "/create/", "/join/"] {
        let ask = Ask::post(path, &[("name", "x")]).header("origin", "http://evil.example");
        let answer = person.send(ask.header("sec-fetch-site", "cross-site"), path).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.body);
    }
    assert_eq!(person.get("/").await.status, 200, "the session is as before");
}

#[tokio::test]
async fn a_program_logs_in_without_a_page() {
    let address = shared().await;
    let person = Person::arrives(&address, "Robot").await;
    let program = Person::stranger(&address);
    let fields = [("name", person.name.as_str()), ("password", PASSWORD)];
    let ask = Ask::post("/auth/login/", &fields).header("accept", "application/json");
    let answer = program.send(ask, "/auth/login/").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    assert_eq!(json["user"]["name"], person.name.as_str());
    assert!(json["token"].as_str().is_some_and(|token| token.matches('.').count() == 2), "{json}");
    assert!(json["expires_at"].is_string(), "{json}");
    let wrong = [("name", person.name.as_str()), ("password", "not this one at all")];
    let ask = Ask::post("/auth/login/", &wrong).header("accept", "application/json");
    let answer = program.send(ask, "/auth/login/").await;
    assert!(answer.status == 401 && answer.is_problem(), "{} {}", answer.status, answer.body);
}

#[tokio::test]
async fn pages_speak_the_readers_language() {
    let visitor = Person::stranger(&shared().await);
    let french = visitor
        .send(Ask::get("/auth/login/").header("accept-language", "fr-CA,fr;q=0.9,en;q=0.5"), "/")
        .await;
    assert!(french.body.contains("<html lang=\"fr\""), "{}", french.body);
    let other = visitor.send(Ask::get("/auth/login/").header("accept-language", "tlh"), "/").await;
    assert!(other.body.contains("<html lang=\"en\""), "{}", other.body);
    let switched = visitor.post("/language/", &[("lang", "fr"), ("next", "/auth/login/")]).await;
    assert_eq!((switched.status, switched.location()), (303, "/auth/login/"));
    assert!(visitor.get("/auth/login/").await.body.contains("<html lang=\"fr\""));
    let away = visitor.post("/language/", &[("lang", "en"), ("next", "//evil.example")]).await;
    assert_eq!(away.location(), "/");
}

#[tokio::test]
async fn every_answer_carries_a_strict_content_policy() {
    let address = shared().await;
    let person = Person::arrives(&address, "Policy").await;
    for path in
        ["/", "/create/", "/join/", "/auth/login/", "/auth/register/", "/room/none_here/", "/nowhere/"]
    {
        let answer = person.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path} has the policy {policy:?}");
        assert!(!policy.contains("unsafe-"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}
