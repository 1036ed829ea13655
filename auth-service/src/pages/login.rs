//! `/auth/login/`: opening a session, and coming back into one without being asked when the token alone has
//! ended.

use crate::accounts::{Login, Person};
use crate::answer;
use crate::asker::Asker;
use crate::error::Error;
use crate::fields::Fields;
use crate::sessions::Grant;
use crate::signals::Ended;
use crate::state::App;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::Timestamp;
use protocol::path::Next;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use templates::{FormError, Layout, LoginPage};

/// Who comes back with a token younger than this was sent back although they have one, in seconds. Renewing
/// it again would turn in a circle, so the page is shown.
const JUST_RENEWED_S: i64 = 10;

#[derive(Deserialize)]
pub struct Asked {
    next: Option<String>,
    /// Present when the account was created just now.
    created: Option<String>,
}

#[derive(Deserialize)]
pub struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    next: Option<String>,
}

/// Pages whose token has ended are sent here by the gateway. With a good refresh secret they are sent back at
/// once, with a new token.
pub async fn get(State(app): State<Arc<App>>, asker: Asker, Query(asked): Query<Asked>) -> Response {
    let next = Next::of(asked.next.as_deref());
    let sent_back = asked.next.is_some() && has_just_renewed(&app, &asker, Timestamp::now());
    if asked.created.is_none()
        && !sent_back
        && let Some(refresh) = &asker.refresh
    {
        match app.sessions.renew(refresh).await {
            Ok(Some(grant)) => {
                app.signals.renewed();
                return answer::with_cookies(answer::see_other(next.path()), cookies(&app, &grant));
            }
            Ok(None) => app.signals.renewal_refused(),
            Err(error) => {
                app.signals.failed(&error);
                return answer::failed(&asker, &error);
            }
        }
    }
    let notice = asked.created.map(|_| asker.lang.words().account_created);
    show(&asker, "", &next, Shown { notice, ..Shown::default() })
}

pub async fn post(State(app): State<Arc<App>>, asker: Asker, Fields(typed): Fields<Typed>) -> Response {
    let next = Next::of(typed.next.as_deref());
    match log_in(&app, &asker, &typed).await {
        Ok(Some((person, grant))) => {
            let response =
                if asker.program { granted(&person, &grant) } else { answer::see_other(next.path()) };
            answer::with_cookies(response, cookies(&app, &grant))
        }
        Ok(None) => wrong(&asker, &typed.name, &next),
        Err(error) => {
            app.signals.failed(&error);
            failed(&asker, &typed.name, &next, &error)
        }
    }
}

async fn log_in(app: &App, asker: &Asker, typed: &Typed) -> Result<Option<(Person, Grant)>, Error> {
    let login = Login { name: &typed.name, password: &typed.password, client: asker.client };
    let Some(person) = app.accounts.recognise(login).await? else { return Ok(None) };
    let grant = app.sessions.open(person.user).await?;
    app.signals.logged_in(person.user, grant.refresh.session);
    // The browser's cookies are about to be replaced, so nobody could ever end the session that they belong
    // to.
    if let Some(old) = &asker.refresh
        && let Err(error) = app.sessions.end_presented(old, Ended::Replaced).await
    {
        app.signals.failed(&error);
    }
    Ok(Some((person, grant)))
}

/// The cookies of a grant.
pub fn cookies(app: &App, grant: &Grant) -> [String; 2] {
    app.cookies.set(&grant.token, &grant.refresh.expose())
}

fn has_just_renewed(app: &App, asker: &Asker, now: Timestamp) -> bool {
    let claims = asker.token.as_deref().and_then(|token| app.keys.verify(token, now).ok());
    claims.is_some_and(|claims| now.as_millis() < (claims.issued_at_s + JUST_RENEWED_S) * 1000)
}

#[derive(Default)]
struct Shown {
    status: StatusCode,
    error: Option<FormError>,
    notice: Option<&'static str>,
}

fn show(asker: &Asker, name: &str, next: &Next, shown: Shown) -> Response {
    let layout = Layout { notice: shown.notice, ..asker.layout() };
    answer::page(shown.status, LoginPage { layout, name, next: next.field(), error: shown.error }.render())
}

fn granted(person: &Person, grant: &Grant) -> Response {
    Json(json!({
        "token": grant.token,
        "expires_at": grant.token_ends_at,
        "user": { "id": person.user, "name": person.name },
    }))
    .into_response()
}

fn wrong(asker: &Asker, name: &str, next: &Next) -> Response {
    let error = FormError::WrongLogin;
    if !asker.program {
        let shown = Shown { status: StatusCode::UNPROCESSABLE_ENTITY, error: Some(error), notice: None };
        return show(asker, name, next, shown);
    }
    let mut response =
        answer::problem(StatusCode::UNAUTHORIZED, "wrong_login", error.text(asker.lang.words()));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Where sending the same form again may help, the form stays.
fn failed(asker: &Asker, name: &str, next: &Next, error: &Error) -> Response {
    match answer::form_error_of(error) {
        Some(form) if !asker.program => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let shown = Shown { status, error: Some(form), notice: None };
            answer::retry_after(show(asker, name, next, shown), error.retry())
        }
        _ => answer::failed(asker, error),
    }
}
