//! Serves every page and state with sample data, to look at while restyling:
//! `cargo run -p templates --example gallery`, then open the printed address.
//! `?lang=fr` shows the French words.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use protocol::search::{BadSearch, Operator};
use templates::{
    CreatePage, ErrorKind, ErrorPage, EventRow, ExcerptPiece, FormError, HomePage, InvitePage, JoinPage,
    Lang, LastEvent, LastKind, Layout, LoginPage, LogoutPage, MessageRow, NextHits, PersonRow, ReactionRow,
    RegisterErrors, RegisterPage, RoomLink, RoomPage, RowKind, SearchFault, SearchFound, SearchHit,
    SearchOutcome, SearchPage, Viewer,
};

const ADDRESS: &str = "127.0.0.1:8099";
const PAGES: [&str; 23] = [
    "home",
    "home-empty",
    "create",
    "create-error",
    "join-error",
    "invite",
    "login",
    "login-created",
    "login-error",
    "register",
    "register-errors",
    "logout",
    "room",
    "room-empty",
    "room-start",
    "search",
    "search-empty",
    "search-start",
    "search-fault",
    "404",
    "403",
    "503",
    "429",
];

#[tokio::main]
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a preview for one person on their own machine"
)]
async fn main() -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(index))
        .route("/page/{name}", get(page))
        .merge(templates::assets::router());
    let listener = tokio::net::TcpListener::bind(ADDRESS).await?;
    println!("http://{ADDRESS}/");
    axum::serve(listener, router).await
}

async fn index() -> Html<String> {
    Html(PAGES.map(|name| format!("<p><a href=\"/page/{name}\">{name}</a>")).concat())
}

async fn page(Path(name): Path<String>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let lang = query.iter().find(|(key, _)| key == "lang");
    let lang = Lang::negotiate(lang.map(|(_, code)| code.as_str()), None);
    match render(&name, lang) {
        Some(Ok(html)) => {
            let policy = (header::CONTENT_SECURITY_POLICY, templates::CONTENT_SECURITY_POLICY);
            ([policy], Html(html)).into_response()
        }
        Some(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn render(name: &str, lang: Lang) -> Option<Result<String, templates::Error>> {
    let viewer = Viewer { id: "u-ada", name: "Ada Lovelace" };
    let layout = Layout { lang, viewer: Some(viewer), path: "/", notice: None };
    let outside = Layout { viewer: None, ..layout };
    let html = match name {
        "home" => HomePage { layout, rooms: rooms("") }.render(),
        "home-empty" => HomePage { layout, rooms: Vec::new() }.render(),
        "create" => CreatePage { layout, name: "", error: None }.render(),
        "create-error" => {
            CreatePage { layout, name: "---", error: Some(FormError::RoomNameSymbols) }.render()
        }
        "join-error" => JoinPage { layout, code: "lobby_x7qb", error: Some(FormError::UnknownCode) }.render(),
        "invite" => InvitePage { layout, slug: "equipe_x7qa", room_name: "Équipe produit" }.render(),
        "login" | "login-created" | "login-error" => login(outside, name),
        "register" => {
            let errors = RegisterErrors::default();
            RegisterPage { layout: outside, name: "", next: "", errors }.render()
        }
        "register-errors" => {
            let errors = RegisterErrors {
                name: Some(FormError::NameTaken),
                password: Some(FormError::PasswordTooShort),
                repeat: Some(FormError::PasswordsDiffer),
                form: None,
            };
            RegisterPage { layout: outside, name: "ada", next: "", errors }.render()
        }
        "logout" => LogoutPage { layout }.render(),
        "room" => room(layout, conversation(), true),
        "room-start" => room(layout, conversation(), false),
        "room-empty" => room(layout, conversation().split_off(0).into_iter().take(1).collect(), false),
        "search" | "search-empty" | "search-start" | "search-fault" => search(layout, name),
        "404" => ErrorPage { layout, status: 404, kind: ErrorKind::RoomNotFound }.render(),
        "403" => ErrorPage { layout, status: 403, kind: ErrorKind::Forbidden }.render(),
        "503" => ErrorPage { layout, status: 503, kind: ErrorKind::Unavailable }.render(),
        "429" => ErrorPage { layout, status: 429, kind: ErrorKind::TooMany }.render(),
        _ => return None,
    };
    Some(html)
}

fn search(layout: Layout<'_>, name: &str) -> Result<String, templates::Error> {
    let found = |hits: Vec<SearchHit>, next| {
        SearchOutcome::Found(SearchFound { hits, next, complete: next.is_none() })
    };
    let (query, outcome) = match name {
        "search" => {
            ("notes release", found(hits(), Some(NextHits { page: 2, as_of_ms: 0, zone_minutes: 0 })))
        }
        "search-empty" => ("notes from:Eve", found(Vec::new(), None)),
        "search-fault" => {
            let no_day = BadSearch::NoDay(Operator::Before);
            ("notes before:tomorrow", SearchOutcome::Fault(SearchFault::Unreadable(no_day)))
        }
        _ => ("", SearchOutcome::Nothing),
    };
    SearchPage { layout, query, outcome }.render()
}

fn hits() -> Vec<SearchHit> {
    let hit = |author: &str, text: &[(&str, bool)]| SearchHit {
        room: "equipe_x7qa".to_owned(),
        room_name: "Équipe produit".to_owned(),
        message_id: "01936000-0000-7000-8000-000000000000".to_owned(),
        author_id: format!("u-{author}"),
        author_name: full_name(author).to_owned(),
        at: "2026-11-24T16:59:41.000Z".to_owned(),
        excerpt: text
            .iter()
            .map(|(text, marked)| ExcerptPiece { text: (*text).to_owned(), marked: *marked })
            .collect(),
    };
    let plan = [
        ("I moved the ", false),
        ("notes", true),
        (" of the last ", false),
        ("releases", true),
        (" over.", false),
    ];
    let code = [
        ("<script> and a ", false),
        ("note", true),
        (" on the ", false),
        ("release", true),
        ("\n\n", false),
        ("…", false),
    ];
    vec![hit("grace", &plan), hit("layla", &code)]
}

fn login(outside: Layout<'_>, name: &str) -> Result<String, templates::Error> {
    let (typed, notice, error) = match name {
        "login-created" => ("", Some(outside.words().account_created), None),
        "login-error" => ("ada", None, Some(FormError::WrongLogin)),
        _ => ("", None, None),
    };
    let layout = Layout { notice, ..outside };
    LoginPage { layout, name: typed, next: "/room/equipe_x7qa/", error }.render()
}

fn room(layout: Layout<'_>, rows: Vec<EventRow>, more_before: bool) -> Result<String, templates::Error> {
    RoomPage {
        layout: Layout { path: "/room/equipe_x7qa/", ..layout },
        slug: "equipe_x7qa",
        room_name: "Équipe produit",
        created_by: Some("Grace Hopper"),
        stream: "gallery",
        head_seq: rows.last().map_or(0, |row| row.seq),
        tail_seq: 0,
        spot_id: None,
        is_spot_missing: false,
        rows,
        more_before,
        rooms: rooms("equipe_x7qa"),
        renew_after_s: 0,
        form_message_id: "01936000-0000-7000-8000-000000000000",
        may_moderate: true,
        keep_days: 30,
    }
    .render()
}

fn rooms(current: &str) -> Vec<RoomLink> {
    let room = |slug: &str, name: &str, at: &str, author: &str, kind: LastKind| RoomLink {
        seq: 7,
        slug: slug.to_owned(),
        name: name.to_owned(),
        last: Some(LastEvent { seq: 1, at: at.to_owned(), author: author.to_owned(), kind }),
        current: slug == current,
    };
    let message = |text: &str| LastKind::Message(text.to_owned());
    vec![
        room(
            "equipe_x7qa",
            "Équipe produit",
            "2026-11-25T09:31:00.000Z",
            "Grace Hopper",
            message("Merged. The new build is on staging in five minutes."),
        ),
        room(
            "kaigishitsu_a2dc",
            "会議室",
            "2026-11-24T17:02:00.000Z",
            "花子",
            message("ありがとうございます！"),
        ),
        room("ghrf_b81k", "غرفة الأخبار", "2026-11-24T08:11:00.000Z", "ليلى", message("صباح الخير")),
        room(
            "lunch_p0zz",
            "Lunch, and a room name that goes on for rather a long while",
            "2026-11-20T11:40:00.000Z",
            "Alan",
            LastKind::Joined,
        ),
        RoomLink {
            seq: 1,
            slug: "new_q1w2".to_owned(),
            name: "Brand new".to_owned(),
            last: None,
            current: false,
        },
    ]
}

fn conversation() -> Vec<EventRow> {
    let said = |text: &str| message(text, Vec::new());
    let entries = [
        ("24T16:58:02", "grace", RowKind::Created { room_name: "Équipe produit".to_owned() }),
        ("24T16:58:40", "ada", RowKind::Joined),
        ("24T16:59:10", "grace", said("Welcome! This is where the release is planned.")),
        (
            "24T16:59:41",
            "grace",
            said("I moved the notes over: https://wiki.example/release/2026-11?view=plan"),
        ),
        ("24T17:00:20", "grace", said("Ask here when something is missing.")),
        (
            "24T17:03:02",
            "ada",
            said(
                "Thank you. I have read the plan and I agree with most of it; only the order of the last two steps seems wrong to me, because the index has to exist before the first page is asked for.",
            ),
        ),
        (
            "24T17:04:15",
            "grace",
            message(
                "Good catch, you are right.",
                vec![reacted("👍", 2, &["ada", "alan"]), reacted("❤️", 1, &["alan"])],
            ),
        ),
        ("24T17:04:40", "alan", RowKind::Erased { row: true }),
        ("24T17:04:45", "alan", RowKind::Unopened { target: None }),
        ("25T09:02:00", "alan", RowKind::Joined),
        ("25T09:02:30", "layla", RowKind::Joined),
        (
            "25T09:12:00",
            "alan",
            said("Morning. Does this look right?\n\nfn main() {\n    println!(\"hello\");\n}"),
        ),
        ("25T09:12:44", "layla", said("صباح الخير! يبدو جيدًا")),
        ("25T09:13:05", "layla", said("🎉👏")),
        ("25T09:14:37", "alan", said("<script>document.title=\"x\"</script> stays text, of course.")),
        ("25T09:15:02", "alan", said(&"long".repeat(100))),
        ("25T09:21:00", "alan", RowKind::Left),
        ("25T09:21:30", "eve", RowKind::UserErased),
        ("25T09:22:10", "ada", said("Reviewing it now.")),
        (
            "25T09:24:00",
            "ada",
            said(
                "Two small things, then it is good to go:\n1. the time-out is in seconds, not milliseconds\n2. the error needs words",
            ),
        ),
        ("25T09:30:12", "grace", edited("Fixed both, and added a test.")),
        (
            "25T09:31:00",
            "grace",
            message(
                "Merged. The new build is on staging in five minutes.",
                vec![reacted("🎉", 120, &["ada", "alan", "layla"]), reacted("👀", 12, &["alan"])],
            ),
        ),
    ];
    entries
        .into_iter()
        .zip(1_u64..)
        .map(|((at, author, kind), seq)| EventRow {
            seq,
            prev: seq - 1,
            id: format!("01936000-0000-7000-8000-{seq:012x}"),
            at: format!("2026-11-{at}.000Z"),
            author_id: format!("u-{author}"),
            author_name: full_name(author).to_owned(),
            kind,
        })
        .collect()
}

fn message(text: &str, reactions: Vec<ReactionRow>) -> RowKind {
    RowKind::Message(MessageRow { text: text.to_owned(), edited_at: None, reactions })
}

fn edited(text: &str) -> RowKind {
    let edited_at = Some("2026-11-25T09:30:50.000Z".to_owned());
    RowKind::Message(MessageRow { text: text.to_owned(), edited_at, reactions: Vec::new() })
}

fn reacted(reaction: &str, count: u64, by: &[&str]) -> ReactionRow {
    let person = |who: &&str| PersonRow { id: format!("u-{who}"), name: full_name(who).to_owned() };
    ReactionRow { reaction: reaction.to_owned(), count, by: by.iter().map(person).collect() }
}

fn full_name(author: &str) -> &str {
    match author {
        "ada" => "Ada Lovelace",
        "grace" => "Grace Hopper",
        "alan" => "Alan",
        _ => "ليلى",
    }
}
