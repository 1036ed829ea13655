//! Who really asks, when the request came through a proxy. Only what a trusted proxy says is believed.

use axum::http::{HeaderMap, header};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address or a network, such as `10.0.0.0/8` or `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as 10.1.2.3 or a network such as 10.0.0.0/8 is expected")
    }
}

impl FromStr for Network {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| NotANetwork)?;
        if prefix <= longest { Ok(Self { address, prefix }) } else { Err(NotANetwork) }
    }
}

impl Network {
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

/// What counts as one address where addresses are counted: an IPv4 address, or an IPv6 /64, of which one person easily has all.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// What is believed about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub client: IpAddr,
    /// The host that the browser asked for, if a trusted proxy passed it on.
    pub host: Option<String>,
}

/// Reads who asks: the peer, or what the trusted proxies in front of us say (`X-Forwarded-For` and `X-Forwarded-Host`, else
/// `Forwarded`: hardly a proxy writes the latter, so most pass on what the client itself put there). The list is read from our
/// end until an address that is not a trusted proxy's.
pub fn origin_of(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> Origin {
    let peer = peer.to_canonical();
    let is_proxy = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_proxy(peer) {
        return Origin { client: peer, host: None };
    }
    let hops = hops(headers);
    let mut client = peer;
    for hop in hops.iter().rev() {
        let Some(address) = hop.address else { break };
        client = address;
        if !is_proxy(address) {
            break;
        }
    }
    Origin { client, host: hops.into_iter().rev().find_map(|hop| hop.host) }
}

#[derive(Default)]
struct Hop {
    address: Option<IpAddr>,
    host: Option<String>,
}

fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops: Vec<Hop> = items(headers, "x-forwarded-for")
        .map(|item| Hop { address: address_in(&item), host: None })
        .collect();
    if hops.is_empty() {
        return items(headers, header::FORWARDED.as_str()).map(|item| forwarded_hop(&item)).collect();
    }
    if let Some(host) = items(headers, "x-forwarded-host").last() {
        hops.push(Hop { address: hops.last().and_then(|hop| hop.address), host: Some(host) });
    }
    hops
}

fn items(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let joined = values.collect::<Vec<_>>().join(",");
    let items: Vec<String> =
        joined.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    items.into_iter()
}

fn forwarded_hop(item: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in item.split(';') {
        let Some((name, value)) = pair.trim().split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "for" => hop.address = address_in(value),
            "host" => hop.host = Some(value.to_owned()),
            _ => {}
        }
    }
    hop
}

/// The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address_in(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }
    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    fn trusted() -> Vec<Network> {
        vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]
    }

    #[test]
    fn a_stranger_says_nothing_about_itself() {
        let said = headers(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-host", "ours")]);
        let origin = origin_of(&said, ip("192.0.2.9"), &trusted());
        assert_eq!(origin, Origin { client: ip("192.0.2.9"), host: None });
    }

    #[test]
    fn a_trusted_proxy_names_the_client_and_the_host() {
        for said in [
            headers(&[
                ("x-forwarded-for", "6.6.6.6, 198.51.100.4, 10.2.3.4"),
                ("x-forwarded-host", "chat.example"),
            ]),
            headers(&[(
                "forwarded",
                "for=6.6.6.6, for=\"198.51.100.4:1234\";host=chat.example;proto=https, for=10.2.3.4",
            )]),
        ] {
            let origin = origin_of(&said, ip("::ffff:127.0.0.1"), &trusted());
            assert_eq!(
                origin.client,
                ip("198.51.100.4"),
                "what the client itself claims stands further left"
            );
            assert_eq!(origin.host.as_deref(), Some("chat.example"));
        }
        let six = headers(&[("forwarded", "For=\"[2001:db8::7]:99\"")]);
        assert_eq!(origin_of(&six, ip("::1"), &trusted()).client, ip("2001:db8::7"));
    }

    #[test]
    fn what_a_client_adds_is_not_believed_where_its_proxy_speaks_the_other_way() {
        let said = headers(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.4")]);
        assert_eq!(origin_of(&said, ip("127.0.0.1"), &trusted()).client, ip("198.51.100.4"));
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        let said = headers(&[("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.1")]);
        assert_eq!(origin_of(&said, ip("10.0.0.2"), &trusted()).client, ip("10.0.0.1"));
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("8.8.8.8")) && !all.contains(ip("::1")));
        let six: Network = "2001:db8::/32".parse().unwrap();
        assert!(six.contains(ip("2001:db8:1::1")) && !six.contains(ip("2001:db9::1")));
        for bad in ["", "10.0.0.0/33", "x", "10.0.0.0/", "1.2.3"] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork));
        }
    }
}
