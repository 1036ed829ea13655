//! `/language/`: a person's choice of language, kept in a cookie.

use crate::edge::answer;
use axum::{Form, http::header, response::Response};
use protocol::path::Next;
use templates::Lang;

#[derive(serde::Deserialize)]
pub struct Choice {
    lang: String,
    #[serde(default)]
    next: String,
}

/// Seconds for which the choice is kept: a year.
const KEPT_S: u32 = 31_536_000;

pub async fn post(Form(choice): Form<Choice>) -> Response {
    let mut response = answer::see_other(Next::back_to(&choice.next).path());
    if let Some(lang) = Lang::from_code(&choice.lang) {
        let cookie = format!("{}={}; Path=/; Max-Age={KEPT_S}; SameSite=Lax", Lang::COOKIE, lang.code());
        if let Ok(cookie) = cookie.parse() {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
    response
}
