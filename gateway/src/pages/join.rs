//! `/join/`: into a room by its code, or by a whole invitation link pasted into the field.

use crate::{
    Error,
    edge::{answer, identity::Visitor},
    state::Gateway,
};
use axum::{Form, extract::State, http::StatusCode, response::Response};
use protocol::RoomSlug;
use std::sync::Arc;
use templates::{FormError, JoinPage};

#[derive(serde::Deserialize)]
pub struct Code {
    #[serde(default)]
    code: String,
}

pub async fn get(visitor: Visitor) -> Response {
    form(&visitor, StatusCode::OK, "", None)
}

pub async fn post(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    Form(form_data): Form<Code>,
) -> Response {
    let unknown =
        || form(&visitor, StatusCode::UNPROCESSABLE_ENTITY, &form_data.code, Some(FormError::UnknownCode));
    let Some(room) = room_in(&form_data.code) else { return unknown() };
    match gateway.directory.join(visitor.claims.user, &room).await {
        Ok(()) => answer::see_other(&format!("/room/{room}/")),
        Err(Error::NoRoom) => unknown(),
        Err(error) => answer::failed(visitor.layout(), &error),
    }
}

fn form(visitor: &Visitor, status: StatusCode, code: &str, error: Option<FormError>) -> Response {
    answer::page(status, JoinPage { layout: visitor.layout(), code, error }.render())
}

/// The room's code in what was typed: the code itself in any case, or the end of an invitation link.
fn room_in(typed: &str) -> Option<RoomSlug> {
    let typed = typed.trim().trim_end_matches('/');
    let code = typed.rsplit('/').next()?;
    RoomSlug::parse(&code.to_ascii_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_what_people_paste() {
        let code = |typed| room_in(typed).map(|room| room.to_string());
        for typed in ["tea_x7qa", " Tea_X7QA ", "https://chat.test/room/tea_x7qa/", "/room/tea_x7qa"] {
            assert_eq!(code(typed).as_deref(), Some("tea_x7qa"), "{typed}");
        }
        for typed in ["", "/", "no code", "é"] {
            assert_eq!(code(typed), None, "{typed}");
        }
    }
}
