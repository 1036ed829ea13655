//! Who asks: in which language, as a person or a program, from where, with which cookies.

use crate::sessions::Refresh;
use crate::state::App;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use protocol::cookie;
use service::http::PeerAddr;
use service::proxies::{self, Origin};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use templates::{Lang, Layout};

/// What a request says about whoever sent it.
#[derive(Debug, Clone)]
pub struct Asker {
    pub lang: Lang,
    /// Whether the answer is for a program: JSON, and problem details (RFC 9457) where something is wrong.
    pub program: bool,
    pub client: IpAddr,
    /// The refresh secret, if the cookie holds something of its form.
    pub refresh: Option<Refresh>,
    /// The session token of the `Authorization` header, else of the cookie; unchecked.
    pub token: Option<String>,
    /// The path with its query.
    path: String,
}

/// The client's address, put into each request by [`believe_proxies`].
#[derive(Debug, Clone, Copy)]
struct Client(IpAddr);

impl Asker {
    /// The frame of a page.
    pub fn layout(&self) -> Layout<'_> {
        Layout { lang: self.lang, viewer: None, path: &self.path, notice: None }
    }

    pub fn of(parts: &Parts) -> Self {
        let headers = &parts.headers;
        let cookies = cookies(headers);
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let choice = cookies.iter().find_map(|cookies| cookie::value_of(cookies, Lang::COOKIE));
        let bearer = text(header::AUTHORIZATION).and_then(bearer_of);
        let token = bearer.or_else(|| cookies.iter().find_map(|cookies| cookie::token_of(cookies)));
        let refresh = cookies.iter().find_map(|cookies| cookie::refresh_of(cookies));
        Self {
            lang: Lang::negotiate(choice, text(header::ACCEPT_LANGUAGE)),
            program: is_program(text(header::ACCEPT), text(header::CONTENT_TYPE)),
            client: parts.extensions.get::<Client>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0),
            refresh: refresh.and_then(Refresh::parse),
            token: token.map(str::to_owned),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).collect()
}

fn bearer_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Browsers ask for `text/html`. `curl` asks for anything and gets the pages, unless it sends or asks for
/// JSON.
fn is_program(accept: Option<&str>, content_type: Option<&str>) -> bool {
    let accept = accept.unwrap_or_default();
    let sends_json = content_type.is_some_and(|kind| kind.starts_with("application/json"));
    !accept.contains("text/html") && (accept.contains("json") || sends_json)
}

/// Finds out the client's address, and restores the `Host` that the browser named where a trusted proxy has
/// replaced it: form posts are checked against it.
pub async fn believe_proxies(app: Arc<App>, mut request: Request, next: Next) -> Response {
    let peer =
        request.extensions().get::<PeerAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    let Origin { client, host } = proxies::origin_of(request.headers(), peer, &app.trusted_proxies);
    request.extensions_mut().insert(Client(client));
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(&host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(pairs: &[(&str, &str)]) -> Asker {
        let mut request = Request::get("/auth/login/?next=/a");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        Asker::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_browser_gets_pages_and_a_program_gets_json() {
        assert!(!asker(&[("accept", "text/html,application/xhtml+xml,application/json;q=0.1,*/*")]).program);
        assert!(!asker(&[("accept", "*/*")]).program, "curl without words gets the page");
        assert!(asker(&[("accept", "application/json")]).program);
        assert!(asker(&[("accept", "*/*"), ("content-type", "application/json; charset=utf-8")]).program);
    }

    #[test]
    fn the_language_is_the_cookies_and_else_the_browsers() {
        assert_eq!(asker(&[("accept-language", "fr-CA")]).lang, Lang::Fr);
        assert_eq!(asker(&[("accept-language", "fr"), ("cookie", "a=b; lang=en")]).lang, Lang::En);
    }

    #[test]
    fn a_bearer_token_comes_before_the_cookie() {
        let asker = asker(&[
            ("cookie", "backchat_token=c; backchat_refresh=nonsense"),
            ("authorization", "Bearer b"),
        ]);
        assert_eq!(asker.token.as_deref(), Some("b"));
        assert_eq!(asker.refresh, None);
        assert_eq!(asker.path, "/auth/login/?next=/a");
    }
}
