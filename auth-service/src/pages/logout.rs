//! `/auth/logout/`: ending a session. The question is a page of its own, since a link must not log anybody
//! out.

use crate::answer;
use crate::asker::Asker;
use crate::error::Error;
use crate::signals::Ended;
use crate::state::App;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::Timestamp;
use std::sync::Arc;
use templates::LogoutPage;

pub async fn get(asker: Asker) -> Response {
    answer::page(StatusCode::OK, LogoutPage { layout: asker.layout() }.render())
}

/// Ends the session of the refresh secret, and that of the token where it is another one. Whoever was logged
/// out already is so again.
pub async fn post(State(app): State<Arc<App>>, asker: Asker) -> Response {
    match log_out(&app, &asker).await {
        Ok(()) => {
            let done = if asker.program {
                StatusCode::NO_CONTENT.into_response()
            } else {
                answer::see_other("/auth/login/")
            };
            answer::with_cookies(done, app.cookies.clear())
        }
        Err(error) => {
            app.signals.failed(&error);
            answer::failed(&asker, &error)
        }
    }
}

async fn log_out(app: &App, asker: &Asker) -> Result<(), Error> {
    if let Some(refresh) = &asker.refresh {
        app.sessions.end_presented(refresh, Ended::Logout).await?;
    }
    let claims = asker.token.as_deref().and_then(|token| app.keys.verify(token, Timestamp::now()).ok());
    match claims {
        Some(claims) if asker.refresh.as_ref().is_none_or(|refresh| refresh.session != claims.session) => {
            app.sessions.end(claims.session, claims.user, Ended::Logout).await
        }
        _ => Ok(()),
    }
}
