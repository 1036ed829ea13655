//! `/create/`: a new room.

use crate::{
    Error,
    edge::{answer, identity::Visitor},
    slug::{self, BadName},
    state::Gateway,
};
use axum::{Form, extract::State, http::StatusCode, response::Response};
use std::sync::Arc;
use templates::{CreatePage, FormError};
use tokio::time::Instant;

#[derive(serde::Deserialize)]
pub struct NewRoom {
    #[serde(default)]
    name: String,
}

pub async fn get(visitor: Visitor) -> Response {
    form(&visitor, StatusCode::OK, "", None)
}

pub async fn post(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    Form(new): Form<NewRoom>,
) -> Response {
    let name = match slug::room_name(&new.name) {
        Ok(name) => name,
        Err(bad) => return form(&visitor, StatusCode::UNPROCESSABLE_ENTITY, &new.name, Some(in_words(bad))),
    };
    let known = gateway.gateways.know_of(gateway.shards, Instant::now());
    match gateway.directory.create(visitor.claims.user, &name, known).await {
        Ok(room) => answer::see_other(&format!("/room/{room}/")),
        Err(Error::NoKey) => {
            form(&visitor, StatusCode::SERVICE_UNAVAILABLE, &new.name, Some(FormError::RoomsWait))
        }
        Err(error) => answer::failed(visitor.layout(), &error),
    }
}

fn form(visitor: &Visitor, status: StatusCode, name: &str, error: Option<FormError>) -> Response {
    answer::page(status, CreatePage { layout: visitor.layout(), name, error }.render())
}

const fn in_words(bad: BadName) -> FormError {
    match bad {
        BadName::Empty => FormError::RoomNameEmpty,
        BadName::TooLong => FormError::RoomNameTooLong,
        BadName::SymbolsAlone => FormError::RoomNameSymbols,
        BadName::Unseen => FormError::RoomNameControl,
    }
}
