//! Who asks: the session token of a request, checked by this gateway alone.

use super::answer;
use crate::{sessions::Sessions, state::Gateway};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use protocol::{cookie, path::Next, token::Claims};
use std::sync::Arc;
use templates::{Lang, Layout, Viewer};

/// The valid session of a request: of a bearer token, else of the cookie.
pub fn claims(headers: &HeaderMap, sessions: &Sessions) -> Option<Claims> {
    let checked = sessions.check(token(headers)?);
    checked.inspect_err(|why| tracing::debug!(%why, "a token was not accepted")).ok()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(value) = bearer {
        // RFC 9110: the scheme's case does not matter.
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).find_map(cookie::token_of)
}

/// The language that a request asks for.
pub fn language(headers: &HeaderMap) -> Lang {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let cookie = text(header::COOKIE).and_then(|cookies| cookie::value_of(cookies, Lang::COOKIE));
    Lang::negotiate(cookie, text(header::ACCEPT_LANGUAGE))
}

/// A logged-in person who looks at a page.
pub struct Visitor {
    pub claims: Claims,
    pub id: String,
    pub name: String,
    pub lang: Lang,
    /// The path that was asked for.
    pub path: String,
}

impl Visitor {
    /// The frame of a page for this person.
    pub fn layout(&self) -> Layout<'_> {
        let viewer = Some(Viewer { id: &self.id, name: &self.name });
        Layout { lang: self.lang, viewer, path: &self.path, notice: None }
    }
}

impl FromRequestParts<Arc<Gateway>> for Visitor {
    type Rejection = Response;

    /// Takes the visitor of a page, or sends them to log in and come back.
    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Response> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(claims) = claims(&parts.headers, &gateway.sessions) else {
            return Err(log_in_first(parts, &path));
        };
        Ok(Self {
            id: claims.user.to_string(),
            name: gateway.profiles.name(claims.user).await,
            claims,
            lang: language(&parts.headers),
            path,
        })
    }
}

fn log_in_first(parts: &Parts, path: &str) -> Response {
    if !answer::wants_page(&parts.headers) {
        let why = "log in at /auth/login/ and send its token";
        return answer::problem(axum::http::StatusCode::UNAUTHORIZED, "logged_out", why);
    }
    // A form that was sent can't be sent again by a redirect: the person comes back to its page.
    let next = if parts.method == Method::GET { path } else { parts.uri.path() };
    Redirect::to(&format!("/auth/login/?next={}", Next::of(Some(next)).query_value())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_comes_before_the_cookie() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "backchat_token=cookie".parse().unwrap());
        assert_eq!(token(&headers), Some("cookie"));
        headers.insert(header::AUTHORIZATION, "bearer  mine".parse().unwrap());
        assert_eq!(token(&headers), Some("mine"));
        headers.insert(header::AUTHORIZATION, "Basic eDp5".parse().unwrap());
        assert_eq!(token(&headers), None);
    }
}
