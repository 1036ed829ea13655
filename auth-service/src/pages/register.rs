//! `/auth/register/`: making an account.

use crate::accounts::{NotRegistered, Person, Registration};
use crate::answer;
use crate::asker::Asker;
use crate::error::Error;
use crate::fields::Fields;
use crate::state::App;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::path::{HOME, Next};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use templates::{RegisterErrors, RegisterPage};

#[derive(Deserialize)]
pub struct Asked {
    next: Option<String>,
}

#[derive(Deserialize)]
pub struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    password2: Option<String>,
    next: Option<String>,
}

pub async fn get(asker: Asker, Query(asked): Query<Asked>) -> Response {
    let next = Next::of(asked.next.as_deref());
    show(&asker, "", &next, (StatusCode::OK, RegisterErrors::default()))
}

pub async fn post(State(app): State<Arc<App>>, asker: Asker, Fields(typed): Fields<Typed>) -> Response {
    let repeat = typed.password2.as_deref().or(if asker.program { None } else { Some("") });
    let registration = Registration { name: &typed.name, password: &typed.password, repeat };
    let next = Next::of(typed.next.as_deref());
    match app.accounts.register(registration).await {
        Ok(person) => created(&asker, &person, &next),
        Err(NotRegistered::Form(errors)) if asker.program => invalid(&asker, errors),
        Err(NotRegistered::Form(errors)) => {
            show(&asker, &typed.name, &next, (StatusCode::UNPROCESSABLE_ENTITY, errors))
        }
        Err(NotRegistered::Failed(error)) => {
            app.signals.failed(&error);
            failed(&asker, &typed.name, &next, &error)
        }
    }
}

fn show(asker: &Asker, name: &str, next: &Next, (status, errors): (StatusCode, RegisterErrors)) -> Response {
    answer::page(status, RegisterPage { layout: asker.layout(), name, next: next.field(), errors }.render())
}

fn created(asker: &Asker, person: &Person, next: &Next) -> Response {
    if asker.program {
        let user = json!({ "id": person.user, "name": person.name });
        return (StatusCode::CREATED, Json(json!({ "user": user }))).into_response();
    }
    let next = match next.path() {
        HOME => String::new(),
        _ => format!("&next={}", next.query_value()),
    };
    answer::see_other(&format!("/auth/login/?created=1{next}"))
}

fn invalid(asker: &Asker, errors: RegisterErrors) -> Response {
    let fields = [("name", errors.name), ("password", errors.password), ("password2", errors.repeat)];
    let errors: Vec<Value> = fields
        .into_iter()
        .filter_map(|(field, error)| Some(answer::field_problem(asker, field, error?)))
        .collect();
    let detail = "the account was not created: see `errors`";
    answer::problem_with(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail, errors.into())
}

/// Where sending the same form again may help, the form stays.
fn failed(asker: &Asker, name: &str, next: &Next, error: &Error) -> Response {
    match answer::form_error_of(error) {
        Some(form) if !asker.program => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let errors = RegisterErrors { form: Some(form), ..RegisterErrors::default() };
            answer::retry_after(show(asker, name, next, (status, errors)), error.retry())
        }
        _ => answer::failed(asker, error),
    }
}
