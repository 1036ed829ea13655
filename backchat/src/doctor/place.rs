//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A host and a port of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub port: u16,
}

impl Place {
    /// Of `scheme://user:password@host:port/path`, of which all but the host may be missing.
    pub fn of(address: &str, usual_port: u16) -> Option<Self> {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let rest = rest.split(['/', '?']).next()?;
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, usual_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then_some(Self { host, port })
    }

    pub async fn connect(&self) -> Result<TcpStream, String> {
        let connected = TcpStream::connect((self.host.as_str(), self.port));
        match timeout(CONNECT_MAX, connected).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err("nobody answers".to_owned()),
        }
    }

    /// Whether it is this machine, so that what is said there passes no network.
    pub fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gives_its_host_and_port() {
        let place = |text: &str| Place::of(text, 1).map(|place| (place.host, place.port));
        let is = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(place("tls://a:p@ss@broker:4222"), is("broker", 4222));
        assert_eq!(place("wss://db/n/d?ca=/x:y"), is("db", 1));
        assert_eq!(place("https://[::1]:8443"), is("::1", 8443));
        assert_eq!(place("https://[::1]"), is("::1", 1));
        assert_eq!(place("broker"), is("broker", 1));
        assert_eq!(place("nats://:4222"), None);
        assert_eq!(place("nats://broker:x"), None);
    }
}
