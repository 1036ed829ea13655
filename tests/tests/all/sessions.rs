//! What a session is worth: renewed unseen, ended everywhere at once.

use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::person::Person;
use tokio::time::{Instant, sleep, timeout};

/// Sockets of an ended session are closed within a second; another one for a machine that runs other tests too.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The shortest life that a token can have.
const TOKEN_LIFE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_logout_closes_all_sockets_of_its_session_and_no_other() {
    let address = shared().await;
    let owner = Person::arrives(&address, "Leaver").await;
    let friend = Person::arrives(&address, "Stayer").await;
    let room = owner.creates("Log out").await;
    friend.joins(&room).await;
    let elsewhere = owner.elsewhere().await;
    let cursor = owner.opens(&room).await.cursor;
    let mut tabs = [owner.connects(&room).await, owner.connects(&room).await];
    let mut page = owner.connects_as_page(&room, &cursor).await;
    let mut bot = owner.dial(&room).bearer(&owner.token()).as_json().connect().await;
    let mut other_browser = elsewhere.connects(&room).await;
    let mut other_person = friend.connects(&room).await;
    other_person.caught_up().await;
    page.caught_up().await;
    for tab in &mut tabs {
        tab.caught_up().await;
    }
    let (old_token, old_cookie) = (owner.token(), owner.dial(&room));
    assert_eq!(owner.log_out().await.status, 303);
    let until = Instant::now() + AT_ONCE;
    for tab in &mut tabs {
        assert_eq!(tokio::time::timeout_at(until, tab.closed()).await.unwrap().code, 4401);
    }
    assert_eq!(tokio::time::timeout_at(until, page.closed()).await.unwrap().code, 4401);
    assert_eq!(tokio::time::timeout_at(until, bot.closed()).await.unwrap().code, 4401);
    assert_eq!(
        old_cookie.clone().as_json().dial().await.closed().await,
        4401,
        "the old cookie is worth nothing"
    );
    assert_eq!(old_cookie.bearer(&old_token).as_json().dial().await.closed().await, 4401);
    assert!(owner.get(&format!("/room/{room}/")).await.location().starts_with("/auth/login/"));
    other_browser.say("still here").await;
    assert_eq!(
        other_person.message().await,
        "still here",
        "other sessions go on, and nothing else was stored"
    );
}

#[tokio::test]
async fn after_a_logout_the_refresh_cookie_renews_nothing() {
    let person = Person::arrives(&shared().await, "Done").await;
    let refresh = person.cookie("backchat_refresh").unwrap();
    person.log_out().await;
    person.set_cookie("backchat_refresh", &refresh, "/auth/");
    assert_eq!(person.renew().await.status, 401);
}

#[tokio::test]
async fn two_tabs_that_renew_at_the_same_instant_stay_logged_in() {
    let person = Person::arrives(&shared().await, "Twice").await;
    for round in 0..20 {
        let (first, second) = (person.clone(), person.clone());
        let (first, second) = tokio::join!(first.renew(), second.renew());
        assert_eq!((first.status, second.status), (204, 204), "round {round}");
        assert_eq!(person.get("/").await.status, 200, "round {round}");
    }
}

#[tokio::test]
async fn a_tab_that_reloads_while_it_renews_stays_logged_in() {
    let person = Person::arrives(&shared().await, "Reload").await;
    for round in 0..20 {
        let (tab, reload) = (person.clone(), person.clone());
        let reloading = async {
            reload.get("/auth/login/?next=%2F").await;
            reload.get("/").await
        };
        let (renewed, home) = tokio::join!(tab.renew(), reloading);
        assert_eq!(renewed.status, 204, "round {round}");
        assert_eq!(home.status, 200, "round {round}");
    }
}

#[tokio::test]
async fn a_session_lives_longer_than_its_tokens() {
    let backchat = short_lives().await;
    let person = Person::arrives(&backchat.address(), "Patient").await;
    let room = person.creates("Long talk").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    let old_token = person.token();
    let end = Instant::now() + TOKEN_LIFE + Duration::from_secs(4);
    while Instant::now() < end {
        sleep(Duration::from_secs(3)).await;
        assert_eq!(person.renew().await.status, 204);
    }
    socket.say("my socket is older than my token's life").await;
    assert_ne!(person.token(), old_token);
    person.connects(&room).await.caught_up().await;
    let bot = person.dial(&room).bearer(&old_token).as_json().dial().await;
    assert_eq!(bot.closed().await, 4401, "a program can tell an ended token from an absent server");
}

#[tokio::test]
async fn an_ended_token_is_renewed_on_the_way_to_a_page_without_a_login() {
    let backchat = short_lives().await;
    let person = Person::arrives(&backchat.address(), "Sleeper").await;
    let room = person.creates("Morning").await;
    sleep(TOKEN_LIFE + Duration::from_secs(2)).await;
    assert_eq!(person.tries_to_connect(&room).await.closed().await, 4401);
    let path = format!("/room/{room}/");
    let to_login = person.get(&path).await;
    assert_eq!(to_login.status, 303, "{}", to_login.body);
    assert!(to_login.location().starts_with("/auth/login/?next="), "{}", to_login.location());
    let back = person.get(to_login.location()).await;
    assert_eq!((back.status, back.location()), (303, path.as_str()), "{}", back.body);
    person.opens(&room).await;
    person.connects(&room).await.caught_up().await;
}

#[tokio::test]
async fn without_a_session_an_ended_token_leads_to_the_login_page() {
    let backchat = short_lives().await;
    let person = Person::arrives(&backchat.address(), "Bot").await;
    let room = person.creates("Bots").await;
    person.set_cookie("backchat_refresh", "not-a-secret-of-anybody", "/auth/");
    sleep(TOKEN_LIFE + Duration::from_secs(2)).await;
    let to_login = person.get(&format!("/room/{room}/")).await;
    let form = person.get(to_login.location()).await;
    assert_eq!(form.status, 200, "{}", form.location());
    assert!(form.body.contains("name=\"password\""));
    assert_eq!(person.renew().await.status, 401);
}

#[tokio::test]
async fn a_socket_says_something_at_least_every_twenty_seconds() {
    let person = Person::arrives(&shared().await, "Quiet").await;
    let room = person.creates("Silence").await;
    let cursor = person.opens(&room).await.cursor;
    let mut page = person.connects_as_page(&room, &cursor).await;
    let mut program = person.dial(&room).after(&cursor).as_json().connect().await;
    page.caught_up().await;
    for _ in 0..2 {
        let patience = Duration::from_secs(21);
        let heard = timeout(patience, async { tokio::join!(page.socket.next(), program.next()) }).await;
        assert!(heard.is_ok(), "nothing was said for {patience:?}");
    }
}

async fn short_lives() -> Backchat {
    let life = TOKEN_LIFE.as_secs().to_string();
    Backchat::with(&[("BACKCHAT_AUTH_SERVICE_TOKEN_LIFE_S", &life)]).await
}
