//! The Origin check of WebSocket handshakes. Browsers let every page open a socket to every server and send its cookies along;
//! forms are checked by `CsrfLayer`, which lets GET requests, and so handshakes, through.

use axum::http::{HeaderMap, header};
use service::origin::PublicOrigin;

/// Checks the Origin of a handshake. Programs send none, and have no cookies that somebody else put there.
///
/// # Errors
/// What to do about it, in words for whoever runs the server.
pub fn check(headers: &HeaderMap, public: &[PublicOrigin]) -> Result<(), String> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let allowed = if public.is_empty() {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        same_host(&origin, &host.to_ascii_lowercase())
    } else {
        public.iter().any(|public| public.as_str() == origin)
    };
    if allowed {
        return Ok(());
    }
    let why = if public.is_empty() {
        "the Origin is not this server's Host; behind a proxy, set BACKCHAT_GATEWAY_PUBLIC_ORIGINS to the address that browsers use"
    } else {
        "the Origin is not one of BACKCHAT_GATEWAY_PUBLIC_ORIGINS"
    };
    tracing::warn!(origin, "a WebSocket was refused: {why}");
    Err(why.to_owned())
}

/// Whether an origin is this host's. A scheme's own port may be left out on either side.
fn same_host(origin: &str, host: &str) -> bool {
    let (authority, port) = match origin.split_once("://") {
        Some(("https", authority)) => (authority, ":443"),
        Some(("http", authority)) => (authority, ":80"),
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_owned();
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    fn allowed(origin: &str, host: &str, public: &[&str]) -> bool {
        let public: Vec<PublicOrigin> = public.iter().map(|text| text.parse().unwrap()).collect();
        check(&headers(Some(origin), host), &public).is_ok()
    }

    #[test]
    fn without_public_origins_the_host_must_match() {
        assert!(allowed("http://chat.test:8080", "chat.test:8080", &[]));
        assert!(allowed("https://chat.test", "chat.test:443", &[]));
        assert!(allowed("http://Chat.test", "chat.test", &[]));
        for foreign in ["http://evil.test", "http://chat.test", "null", "", "http://chat.test.evil:8080"] {
            assert!(!allowed(foreign, "chat.test:8080", &[]), "{foreign} was let in");
        }
    }

    #[test]
    fn with_public_origins_the_host_does_not_matter() {
        let public = ["https://chat.test:8443/", "https://other.test"];
        for host in ["chat.test:8443", "chat.test", "10.0.0.1:8080"] {
            assert!(allowed("https://chat.test:8443", host, &public));
            assert!(allowed("https://other.test", host, &public));
            assert!(!allowed("https://evil.test", host, &public));
        }
    }

    #[test]
    fn programs_send_no_origin() {
        assert!(check(&headers(None, "chat.test"), &[]).is_ok());
    }
}
