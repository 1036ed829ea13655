//! `/`: my rooms.

use super::room_links;
use crate::{
    edge::{answer, identity::Visitor},
    state::Gateway,
};
use axum::{extract::State, http::StatusCode, response::Response};
use std::sync::Arc;
use templates::HomePage;

pub async fn get(State(gateway): State<Arc<Gateway>>, visitor: Visitor) -> Response {
    match room_links(&gateway, visitor.claims.user, None).await {
        Ok(rooms) => answer::page(StatusCode::OK, HomePage { layout: visitor.layout(), rooms }.render()),
        Err(error) => answer::failed(visitor.layout(), &error),
    }
}
