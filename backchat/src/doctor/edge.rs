//! The chat as browsers reach it: through whatever proxies are in front. Nobody is logged in for it: logging out sets the same
//! cookies, and a socket without a session is told so.

use std::time::Duration;

use protocol::cookie::{refresh_name, token_name};
use protocol::frame::Close;
use service::origin::PublicOrigin;
use service::probe::{self, Answer, Question};

use super::certificates::{self, Believed};
use super::finding::Finding;
use super::place::Place;
use crate::config::Apart;

pub const ABOUT: &str = "edge";
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Where no chat is.
const FOREIGN: &str = "https://not-this-chat.invalid";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
/// The sample key of RFC 6455: nothing that must be secret depends on it.
const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");

const PASS_UPGRADES: &str = "let the proxy pass WebSocket upgrades under /chat/: in nginx `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                             proxy_set_header Connection \"upgrade\";`, in Envoy `upgrade_configs: [{ upgrade_type: websocket }]`";

/// An address that people type.
pub struct Edge<'a> {
    origin: &'a PublicOrigin,
    place: Place,
    believed: Believed,
}

/// Looks at the chat at this address.
pub async fn examine(origin: &PublicOrigin, apart: &Apart, findings: &mut Vec<Finding>) {
    let usual_port = if origin.is_https() { 443 } else { 80 };
    let Some(place) = Place::of(origin.as_str(), usual_port) else {
        let remedy = "write it as https://chat.example";
        findings.push(Finding::fault(ABOUT, format!("{} is no address of a chat", origin.as_str()), remedy));
        return;
    };
    let believed = Believed { setting: "--origin-ca (BACKCHAT_ORIGIN_CA)", file: apart.origin_ca.clone() };
    let edge = Edge { origin, place, believed };
    match edge.certificate().await {
        Ok(found) => findings.extend(found),
        Err(found) => return findings.push(found),
    }
    match edge.page().await {
        Ok(found) => findings.push(found),
        Err(found) => return findings.push(found),
    }
    findings.extend(edge.cookies().await);
    findings.push(edge.forms().await);
    findings.extend(edge.sockets().await);
}

impl Edge<'_> {
    /// The settings of an origin, for the services apart and for all in one.
    fn set_origins(&self) -> String {
        format!(
            "set BACKCHAT_GATEWAY_PUBLIC_ORIGINS and BACKCHAT_AUTH_SERVICE_PUBLIC_ORIGINS (of the single-node edition: \
             BACKCHAT_PUBLIC_ORIGINS) to {}",
            self.origin.as_str()
        )
    }

    async fn certificate(&self) -> Result<Vec<Finding>, Finding> {
        let place = &self.place;
        let stream = place.connect().await.map_err(|why| {
            let remedy =
                format!("start what listens there, and see whether the name {} leads to it", place.host);
            Finding::fault(ABOUT, format!("nobody is reached at {place}: {why}"), remedy)
        })?;
        if self.origin.is_https() {
            let (_, found) = certificates::shown(stream, &place.host, &self.believed, ABOUT).await?;
            return Ok(vec![found]);
        }
        if place.is_here() {
            return Ok(Vec::new());
        }
        let found = "people reach the chat in the open: whoever is on the way reads passwords and messages";
        Ok(vec![Finding::warning(ABOUT, found, "put a proxy with TLS in front, and use https://")])
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let host = self.origin.as_str().split_once("://").map_or("", |(_, host)| host);
        let body = if method == "POST" { "lang=en" } else { "" };
        let question = Question { method, path, host, headers, body };
        let stream = self.place.connect().await?;
        let answer = if self.origin.is_https() {
            let (stream, _) = certificates::shown(stream, &self.place.host, &self.believed, ABOUT)
                .await
                .map_err(|finding| finding.found)?;
            probe::ask(stream, &question, ANSWER_MAX).await
        } else {
            probe::ask(stream, &question, ANSWER_MAX).await
        };
        answer.map_err(|error| error.to_string())
    }

    async fn page(&self) -> Result<Finding, Finding> {
        let path = "/auth/login/";
        match self.ask("GET", path, &[("Accept", "text/html")]).await {
            Ok(answer) if answer.status == 200 && answer.body.contains("name=\"password\"") => {
                Ok(Finding::good(ABOUT, format!("the page to log in is at {}{path}", self.origin.as_str())))
            }
            Ok(answer) => Err(Finding::fault(
                ABOUT,
                format!(
                    "{}{path} answers {}, and is not the page to log in",
                    self.origin.as_str(),
                    answer.status
                ),
                "let the proxy send what lies under /auth/ to the auth service, and everything else to the gateways; see /readyz of both",
            )),
            Err(why) => Err(Finding::fault(
                ABOUT,
                format!("{}{path} does not answer: {why}", self.origin.as_str()),
                "see the log of the proxy",
            )),
        }
    }

    /// Whoever logs out is given the cookies that logging in gives, with nothing in them.
    async fn cookies(&self) -> Vec<Finding> {
        let headers = [FORM, ("Origin", self.origin.as_str()), ("Accept", "application/json")];
        let answer = match self.ask("POST", "/auth/logout/", &headers).await {
            Ok(answer) => answer,
            Err(why) => {
                return vec![Finding::fault(
                    ABOUT,
                    format!("the auth service takes no form: {why}"),
                    "see the log of the proxy",
                )];
            }
        };
        if answer.status == 403 {
            let found = "the auth service refuses forms of this address, so nobody can log in";
            let remedy = format!(
                "{}; or let the proxy keep the header Host, or send X-Forwarded-Host, and name it in BACKCHAT_AUTH_SERVICE_TRUSTED_PROXIES",
                self.set_origins()
            );
            return vec![Finding::fault(ABOUT, found, remedy)];
        }
        if !matches!(answer.status, 200..=299 | 303) {
            let found = format!("a form to the auth service is answered {}", answer.status);
            let remedy = "let the proxy send what lies under /auth/ to the auth service, POST requests too; see /readyz of it";
            return vec![Finding::fault(ABOUT, found, remedy)];
        }
        let cookies: Vec<&str> = answer.header("set-cookie").collect();
        let secure = self.origin.is_https();
        let faults: Vec<_> = [token_name(secure), refresh_name(secure)]
            .into_iter()
            .filter_map(|name| cookie_fault(name, &cookies, secure))
            .map(|why| {
                let remedy = format!(
                    "{}, unset BACKCHAT_AUTH_SERVICE_SECURE_COOKIES, and let the proxy pass Set-Cookie as it is",
                    self.set_origins()
                );
                Finding::fault(ABOUT, why, remedy)
            })
            .collect();
        if !faults.is_empty() {
            return faults;
        }
        let safe = if secure { "Secure, " } else { "" };
        vec![Finding::good(ABOUT, format!("cookies come through as {safe}HttpOnly and SameSite=Lax"))]
    }

    /// A choice of language, which is kept in a cookie of whoever chooses.
    async fn forms(&self) -> Finding {
        match self.ask("POST", "/language/", &[FORM, ("Origin", self.origin.as_str())]).await {
            Ok(answer) if answer.status == 303 => {
                Finding::good(ABOUT, "the gateway takes forms of this address")
            }
            Ok(answer) if answer.status == 403 => {
                let found = "the gateway refuses forms of this address, so nobody can make a room";
                Finding::fault(ABOUT, found, self.set_origins())
            }
            Ok(answer) => Finding::fault(
                ABOUT,
                format!("a form to the gateway is answered {}", answer.status),
                "let the proxy send everything but /auth/ to the gateways, POST requests too",
            ),
            Err(why) => {
                Finding::fault(ABOUT, format!("the gateway takes no form: {why}"), "see the log of the proxy")
            }
        }
    }

    async fn sockets(&self) -> Vec<Finding> {
        let ours = self.handshake(self.origin.as_str()).await;
        let mut findings = vec![match &ours {
            Ok(answer) if answer.status == 101 => closed_as_expected(answer),
            Ok(answer) if answer.status == 403 => {
                let found = "the gateway refuses WebSockets of this address";
                Finding::fault(ABOUT, found, self.set_origins())
            }
            Ok(answer) => {
                let found =
                    format!("a WebSocket does not come through the proxy: it is answered {}", answer.status);
                Finding::fault(ABOUT, found, PASS_UPGRADES)
            }
            Err(why) => Finding::fault(
                ABOUT,
                format!("a WebSocket does not come through the proxy: {why}"),
                PASS_UPGRADES,
            ),
        }];
        if ours.is_ok_and(|answer| answer.status == 101) {
            findings.push(match self.handshake(FOREIGN).await {
                Ok(answer) if answer.status == 403 => {
                    Finding::good(ABOUT, "a WebSocket of another site is refused")
                }
                Ok(answer) => Finding::fault(
                    ABOUT,
                    format!(
                        "a WebSocket of another site is answered {}, so any page could use people's cookies",
                        answer.status
                    ),
                    format!("{}, and let the proxy pass the header Origin as it is", self.set_origins()),
                ),
                Err(why) => Finding::fault(
                    ABOUT,
                    format!("a second WebSocket is not answered: {why}"),
                    "see the log of the proxy",
                ),
            });
        }
        findings
    }

    async fn handshake(&self, origin: &str) -> Result<Answer, String> {
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
            ("Origin", origin),
        ];
        self.ask("GET", "/chat/", &headers).await
    }
}

/// A frame that closes, with the code of an ended session.
fn closed_as_expected(answer: &Answer) -> Finding {
    let code = match answer.upgraded.as_slice() {
        [0x88, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    if code == Close::SessionEnded.code() {
        return Finding::good(ABOUT, "a WebSocket comes through to the gateway");
    }
    let found = format!(
        "a WebSocket without a session is not closed with {}, but {code}",
        Close::SessionEnded.code()
    );
    Finding::fault(ABOUT, found, "see whether what answers under /chat/ is the gateway, and its /readyz")
}

fn cookie_fault(name: &str, cookies: &[&str], secure: bool) -> Option<String> {
    let Some(cookie) = cookies.iter().find(|cookie| cookie.split('=').next() == Some(name)) else {
        let found: Vec<_> = cookies.iter().filter_map(|cookie| cookie.split('=').next()).collect();
        let set = if found.is_empty() { "none".to_owned() } else { found.join(" and ") };
        return Some(format!("the cookie {name} is not set, but {set}"));
    };
    let has = |wanted: &str| cookie.split(';').skip(1).any(|part| part.trim().eq_ignore_ascii_case(wanted));
    let wanted = ["HttpOnly", "SameSite=Lax"].into_iter().chain(secure.then_some("Secure"));
    let missing: Vec<_> = wanted.filter(|wanted| !has(wanted)).collect();
    let names_a_domain = cookie.to_ascii_lowercase().contains("; domain=");
    match missing.as_slice() {
        [] if names_a_domain => {
            Some(format!("the proxy adds a Domain to the cookie {name}, so that browsers refuse it"))
        }
        [] => None,
        missing => Some(format!("the cookie {name} is set without {}", missing.join(" and "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_as_the_auth_service_sets_it_or_it_is_said_how_not() {
        let good = "__Host-backchat_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure";
        let fault = |cookie: &str, secure| cookie_fault(token_name(secure), &[cookie], secure);
        assert_eq!(fault(good, true), None);
        assert_eq!(fault("backchat_token=; HttpOnly; SameSite=Lax", false), None);
        let said = |cookie: String| fault(&cookie, true).unwrap();
        assert!(said(good.replace("; Secure", "")).ends_with("is set without Secure"));
        assert!(said(good.replace("HttpOnly; ", "")).ends_with("is set without HttpOnly"));
        assert!(said(format!("{good}; Domain=chat.example")).contains("Domain"));
        let plain = said("backchat_token=; HttpOnly; SameSite=Lax".to_owned());
        assert_eq!(plain, "the cookie __Host-backchat_token is not set, but backchat_token");
    }
}
