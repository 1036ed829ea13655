//! The addresses under which browsers reach the chat.

use std::fmt;
use std::str::FromStr;

use tower_http::csrf::CsrfLayer;

/// A scheme, host and port as browsers write them in `Origin`: `https://chat.example`, in lower case, without a slash at its
/// end and without the scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicOrigin(String);

impl PublicOrigin {
    /// The origin, to be compared byte for byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

/// The text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnOrigin;

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("http:// or https://, a host, perhaps a port, and no path is expected")
    }
}

impl std::error::Error for NotAnOrigin {}

impl FromStr for PublicOrigin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let text = match text.split_once("://") {
            Some(("https", host)) => format!("https://{}", host.strip_suffix(":443").unwrap_or(host)),
            Some(("http", host)) => format!("http://{}", host.strip_suffix(":80").unwrap_or(host)),
            _ => return Err(NotAnOrigin),
        };
        let checked = CsrfLayer::new().add_trusted_origin(&text);
        checked.map(|_| Self(text)).map_err(|_| NotAnOrigin)
    }
}

/// Refuses forms from other sites. Behind a proxy that changes the Host header, the public origins tell ours.
pub fn csrf_layer(public: &[PublicOrigin]) -> CsrfLayer {
    public.iter().fold(CsrfLayer::new(), |layer, origin| {
        layer.add_trusted_origin(origin.as_str()).expect("an origin is checked when it is read")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        let origin = |text: &str| text.parse::<PublicOrigin>().map(|origin| origin.0);
        assert_eq!(origin("HTTPS://Chat.Example.org:443/"), Ok("https://chat.example.org".into()));
        assert_eq!(origin("https://Chat.test:8443/"), Ok("https://chat.test:8443".into()));
        assert_eq!(origin("https://chat.test:443"), Ok("https://chat.test".into()));
        assert_eq!(origin("http://chat.test:80"), Ok("http://chat.test".into()));
        for bad in [
            "chat.test",
            "chat.example.org",
            "ftp://x",
            "https://a/b",
            "https://é.example",
            "https://",
            "https://a b",
        ] {
            assert_eq!(origin(bad), Err(NotAnOrigin), "{bad}");
        }
    }

    #[test]
    fn every_origin_that_is_read_can_be_trusted() {
        let public: Vec<PublicOrigin> = ["https://chat.test:8443", "http://[::1]:8080"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let _ = csrf_layer(&public);
    }
}
