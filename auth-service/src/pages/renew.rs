//! `/auth/renew/`: a new token for a page that stays open.

use super::login::cookies;
use crate::answer;
use crate::asker::Asker;
use crate::state::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// 204 with new cookies, or 401 when the session has ended. Cookies are never taken away here: the answer to
/// a late request must not undo a login that happened meanwhile.
pub async fn post(State(app): State<Arc<App>>, asker: Asker) -> Response {
    let renewed = match &asker.refresh {
        Some(refresh) => app.sessions.renew(refresh).await,
        None => Ok(None),
    };
    match renewed {
        Ok(Some(grant)) => {
            app.signals.renewed();
            let done = if asker.program {
                Json(json!({ "token": grant.token, "expires_at": grant.token_ends_at })).into_response()
            } else {
                StatusCode::NO_CONTENT.into_response()
            };
            answer::with_cookies(done, cookies(&app, &grant))
        }
        Ok(None) => {
            app.signals.renewal_refused();
            answer::problem(StatusCode::UNAUTHORIZED, "session_ended", "the session has ended: log in again")
        }
        Err(error) => {
            app.signals.failed(&error);
            answer::failed(&asker, &error)
        }
    }
}
