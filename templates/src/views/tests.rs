//! What must hold for every page.

use super::{
    CreatePage, ErrorKind, ErrorPage, HomePage, InvitePage, JoinPage, LoginPage, LogoutPage, OlderFragment,
    RegisterPage, RoomPage,
};
use crate::{
    EventRow, FormError, Lang, LastEvent, LastKind, Layout, MessageRow, PersonRow, ReactionRow,
    RegisterErrors, RoomLink, RowKind, Viewer,
};
use crate::{ExcerptPiece, NextHits, SearchFault, SearchFound, SearchHit, SearchOutcome, SearchPage};

const NASTY: &str = "\"'><img src=x onerror=document.title=\"x\"></title><script>x</script>";

fn layout(lang: Lang) -> Layout<'static> {
    let viewer = Some(Viewer { id: NASTY, name: NASTY });
    Layout { lang, viewer, path: NASTY, notice: Some(NASTY) }
}

fn rows() -> Vec<EventRow> {
    let by = vec![PersonRow { id: NASTY.to_owned(), name: NASTY.to_owned() }];
    let reactions = vec![ReactionRow { reaction: NASTY.to_owned(), count: 2, by }];
    let edited_at = Some(NASTY.to_owned());
    let kinds = [
        RowKind::Created { room_name: NASTY.to_owned() },
        RowKind::Joined,
        RowKind::Message(MessageRow { text: NASTY.to_owned(), edited_at, reactions }),
        RowKind::Erased { row: true },
        RowKind::Left,
        RowKind::Retention { days: 30 },
        RowKind::Unreadable,
        RowKind::UserErased,
    ];
    kinds
        .into_iter()
        .zip(1..)
        .map(|(kind, seq)| EventRow {
            seq,
            prev: seq - 1,
            id: format!("0192f0c1-0000-7000-8000-{seq:012}"),
            at: "2026-11-25T09:14:37.123Z".to_owned(),
            author_id: NASTY.to_owned(),
            author_name: NASTY.to_owned(),
            kind,
        })
        .collect()
}

fn rooms() -> Vec<RoomLink> {
    let kinds = [LastKind::Message(NASTY.to_owned()), LastKind::Joined, LastKind::Created];
    kinds
        .into_iter()
        .map(|kind| RoomLink {
            seq: 7,
            slug: "lobby_x7qa".to_owned(),
            name: NASTY.to_owned(),
            last: Some(LastEvent {
                seq: 1,
                at: "2026-11-25T09:14:37.123Z".to_owned(),
                author: NASTY.to_owned(),
                kind,
            }),
            current: true,
        })
        .collect()
}

fn room(lang: Lang, more_before: bool) -> String {
    RoomPage {
        layout: layout(lang),
        slug: "lobby_x7qa",
        room_name: NASTY,
        created_by: Some(NASTY),
        stream: "1732500000000",
        head_seq: 5,
        tail_seq: 0,
        spot_id: Some(NASTY.to_owned()),
        is_spot_missing: true,
        rows: rows(),
        more_before,
        rooms: rooms(),
        renew_after_s: 240,
        form_message_id: "0192f0c1-0000-7000-8000-000000000009",
        may_moderate: true,
        keep_days: 30,
    }
    .render()
    .unwrap()
}

fn search(lang: Lang, outcome: SearchOutcome) -> String {
    SearchPage { layout: layout(lang), query: NASTY, outcome }.render().unwrap()
}

fn found() -> SearchFound {
    let piece = |marked| ExcerptPiece { text: NASTY.to_owned(), marked };
    let hit = SearchHit {
        room: "lobby_x7qa".to_owned(),
        room_name: NASTY.to_owned(),
        message_id: "0192f0c1-0000-7000-8000-000000000009".to_owned(),
        author_id: NASTY.to_owned(),
        author_name: NASTY.to_owned(),
        at: "2026-11-25T09:14:37.123Z".to_owned(),
        excerpt: vec![piece(false), piece(true)],
    };
    let next = Some(NextHits { page: 2, as_of_ms: 7, zone_minutes: 60 });
    SearchFound { hits: vec![hit], next, complete: false }
}

fn register(errors: RegisterErrors) -> String {
    RegisterPage { layout: layout(Lang::En), name: NASTY, next: NASTY, errors }.render().unwrap()
}

fn pages(lang: Lang) -> Vec<String> {
    let layout = layout(lang);
    let error = Some(FormError::NameTaken);
    let errors = RegisterErrors { name: error, password: error, repeat: error, form: error };
    vec![
        HomePage { layout, rooms: rooms() }.render().unwrap(),
        CreatePage { layout, name: NASTY, error }.render().unwrap(),
        JoinPage { layout, code: NASTY, error }.render().unwrap(),
        InvitePage { layout, slug: "lobby_x7qa", room_name: NASTY }.render().unwrap(),
        LoginPage { layout, name: NASTY, next: NASTY, error }.render().unwrap(),
        RegisterPage { layout, name: NASTY, next: NASTY, errors }.render().unwrap(),
        LogoutPage { layout }.render().unwrap(),
        ErrorPage { layout, status: 404, kind: ErrorKind::RoomNotFound }.render().unwrap(),
        ErrorPage { layout, status: 503, kind: ErrorKind::Unavailable }.render().unwrap(),
        room(lang, true),
        search(lang, SearchOutcome::Found(found())),
        search(lang, SearchOutcome::Fault(SearchFault::NoRoom(NASTY.to_owned()))),
        search(lang, SearchOutcome::Nothing),
        search(lang, SearchOutcome::Unavailable),
    ]
}

#[test]
fn nothing_that_people_typed_becomes_markup() {
    for html in Lang::ALL.into_iter().flat_map(pages) {
        assert!(!html.contains("<img"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
        assert_eq!(html.matches("</title>").count(), 1, "{html}");
        // An attribute that typed text could have left would be followed by a new tag.
        assert!(!html.contains("\"'>"), "{html}");
    }
}

#[test]
fn no_page_has_inline_script_or_style() {
    for html in pages(Lang::En) {
        assert!(!html.contains(" style=") && !html.contains("<style"), "{html}");
        assert!(!html.contains(" onclick=") && !html.contains("javascript:"), "{html}");
        for script in html.split("<script ").skip(1) {
            assert!(script.starts_with("defer src=") || script.starts_with("type=\"module\" src="));
            assert!(script.contains("></script>"));
        }
    }
}

#[test]
fn what_was_found_is_marked_and_leads_to_its_message_and_to_more() {
    let html = search(Lang::En, SearchOutcome::Found(found()));
    assert_eq!(html.matches("<mark>&#34;").count(), 1);
    assert!(html.contains("href=\"/room/lobby_x7qa/?at=0192f0c1-0000-7000-8000-000000000009\""));
    assert!(html.contains("&amp;page=2&amp;as_of=7&amp;zone=60\""), "{html}");
    assert!(html.contains("may be missing"));
    let nothing = SearchFound { hits: Vec::new(), next: None, complete: true };
    let html = search(Lang::Fr, SearchOutcome::Found(nothing));
    assert!(html.contains("Aucun résultat") && html.contains("class=\"asked\">&#34;"), "{html}");
}

#[test]
fn every_page_says_its_language() {
    for lang in Lang::ALL {
        for html in pages(lang) {
            assert!(html.contains(&format!("<html lang=\"{}\">", lang.code())));
            assert!(html.starts_with("<!doctype html>"));
        }
    }
}

#[test]
fn every_file_that_a_page_loads_exists() {
    for html in pages(Lang::En) {
        for address in html.split("\"/static/").skip(1) {
            let path = address.split('"').next().unwrap();
            assert!(crate::assets::asset(path).is_some(), "{path}");
        }
    }
}

#[test]
fn a_form_error_is_tied_to_its_field_and_keeps_what_was_typed() {
    let name = Some(FormError::NameTaken);
    let html = register(RegisterErrors { name, ..RegisterErrors::default() });
    assert!(html.contains("aria-invalid=\"true\" aria-describedby=\"name-hint name-error\""));
    assert!(html.contains("id=\"name-error\">This name is taken"));
    assert!(html.contains("name=\"name\" value=\"&#34;"));
    assert_eq!(html.matches("aria-invalid").count(), 1);
    assert!(!html.contains("name=\"password\" value") && !html.contains("name=\"password2\" value"));
}

#[test]
fn a_form_without_errors_says_nothing_wrong() {
    let html = register(RegisterErrors::default());
    assert!(!html.contains("aria-invalid") && !html.contains("field-error"));
}

#[test]
fn where_to_go_next_travels_between_login_and_registration() {
    let next = "/room/lobby_x7qa/?a=1&b=2";
    let layout = layout(Lang::En);
    let html = LoginPage { layout, name: "", next, error: None }.render().unwrap();
    assert!(html.contains("/auth/register/?next=%2Froom%2Flobby_x7qa%2F%3Fa%3D1%26b%3D2\""));
}

#[test]
fn the_cursor_is_in_the_page() {
    let html = room(Lang::En, true);
    assert!(html.contains("data-stream=\"1732500000000\" data-head=\"5\""));
    assert!(html.contains("hx-ws:connect=\"/chat/lobby_x7qa/\""));
    assert!(html.contains("data-chars-max=\"4000\""));
}

#[test]
fn the_beginning_of_a_room_is_shown_when_there_is_nothing_before() {
    assert!(room(Lang::En, false).contains("<section id=\"intro\">"));
    let html = room(Lang::En, true);
    assert!(html.contains("<section id=\"intro\" hidden>"));
    assert!(html.contains("data-before=\"1\" data-more=\"true\""));
}

#[test]
fn an_older_page_is_rows_and_where_the_next_begins() {
    let older = OlderFragment { lang: Lang::En, rows: rows(), more_before: true };
    let html = older.render().unwrap();
    assert!(html.starts_with("<div id=\"older\" data-before=\"1\" data-more=\"true\"></div>"));
    assert_eq!(html.matches("<article ").count(), rows().len());
    assert_eq!(html.matches("</article>").count(), rows().len());
}

#[test]
fn an_error_that_may_pass_offers_to_try_again() {
    let html = pages(Lang::En);
    assert!(html[8].contains("Try again") && html[8].contains("Back in a moment"));
    assert!(!html[7].contains("Try again") && html[7].contains("href=\"/join/\""));
}

/// An edited message of a usual length with a reaction.
fn talk() -> MessageRow {
    let by =
        vec![PersonRow { id: "0197b6ef-0000-7000-8000-00000000a11c".to_owned(), name: "Ada".to_owned() }];
    MessageRow {
        text: "Nothing is lost that was said here. ".repeat(3),
        edited_at: Some("2026-11-25T09:14:37.123Z".to_owned()),
        reactions: vec![ReactionRow { reaction: "👍".to_owned(), count: 1, by }],
    }
}

#[test]
fn a_page_of_fifty_messages_is_small() {
    const BYTES_MAX: usize = 60 * 1024;
    let mut page_rows = Vec::new();
    for seq in 1..=50 {
        let mut row = rows().remove(2);
        row.seq = seq;
        row.author_id = "u".to_owned();
        row.author_name = "Ada Lovelace".to_owned();
        row.kind = RowKind::Message(talk());
        page_rows.push(row);
    }
    let older = OlderFragment { lang: Lang::Fr, rows: page_rows, more_before: true };
    assert!(older.render().unwrap().len() < BYTES_MAX);
}
