//! Whom to send to: `PEER[:PORT]`, and its resolution.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A peer as typed: an address or a host name, with or without a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

/// The host part of a [`Target`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

/// Why a peer cannot be understood or found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("the peer is empty: give an address or a host name, e.g. 10.77.0.1:5001")]
    Empty,
    #[error("'{0}' is no port: a number from 1 to 65535 must follow the colon")]
    BadPort(String),
    #[error("'{0}' is no address: write IPv6 addresses with a port as [2001:db8::1]:5001")]
    BadAddress(String),
    #[error("the port is given twice, as {0} after the peer and as {1} with --port")]
    TwoPorts(u16, u16),
    #[error("the name '{name}' cannot be resolved: {source}")]
    Unresolved { name: String, source: std::io::Error },
    #[error("the name '{0}' has no IPv4 address; only IPv4 is sent as yet")]
    NoIpv4(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Target { host: Host::Address(address), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let bad = || TargetError::BadAddress(text.to_owned());
            let (address, rest) = rest.split_once(']').ok_or_else(bad)?;
            let host = Host::Address(IpAddr::V6(address.parse::<Ipv6Addr>().map_err(|_| bad())?));
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return Err(bad()),
            };
            return Ok(Target { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return Err(TargetError::BadAddress(text.to_owned())),
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        if host.is_empty() {
            return Err(TargetError::Empty);
        }
        let host = host.parse().map(Host::Address).unwrap_or_else(|_| Host::Name(host.to_owned()));
        Ok(Target { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(TargetError::BadPort(text.to_owned())),
        Ok(port) => Ok(port),
    }
}

impl Target {
    /// The address to connect to. Names are looked up by the kernel's resolver; the first IPv4 address is taken.
    pub(crate) fn resolve(&self, port: Option<u16>, default_port: u16) -> Result<SocketAddr, TargetError> {
        let port = match (self.port, port) {
            (Some(a), Some(b)) if a != b => return Err(TargetError::TwoPorts(a, b)),
            (a, b) => a.or(b).unwrap_or(default_port),
        };
        match &self.host {
            Host::Address(address) => Ok(SocketAddr::new(*address, port)),
            Host::Name(name) => (name.as_str(), port)
                .to_socket_addrs()
                .map_err(|source| TargetError::Unresolved { name: name.clone(), source })?
                .find(SocketAddr::is_ipv4)
                .ok_or_else(|| TargetError::NoIpv4(name.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn peers_take_every_usual_form() {
        let v4 = Host::Address("10.0.0.1".parse().unwrap());
        let v6 = Host::Address("2001:db8::1".parse().unwrap());
        assert_eq!(parse("10.0.0.1"), Target { host: v4.clone(), port: None });
        assert_eq!(parse("10.0.0.1:80"), Target { host: v4, port: Some(80) });
        assert_eq!(parse("2001:db8::1"), Target { host: v6.clone(), port: None });
        assert_eq!(parse("[2001:db8::1]:80"), Target { host: v6.clone(), port: Some(80) });
        assert_eq!(parse("[2001:db8::1]"), Target { host: v6, port: None });
        assert_eq!(parse("sink.lab:9"), Target { host: Host::Name("sink.lab".into()), port: Some(9) });
    }

    #[test]
    fn bad_peers_say_what_is_wrong() {
        assert!(matches!("".parse::<Target>(), Err(TargetError::Empty)));
        assert!(matches!(":80".parse::<Target>(), Err(TargetError::Empty)));
        for port in ["a:0", "a:65536", "a:http", "a:", "[::1]:0"] {
            assert!(matches!(port.parse::<Target>(), Err(TargetError::BadPort(_))), "{port}");
        }
        for address in ["1::2:3::4", "[::1", "[::1]80", "[10.0.0.1]:80"] {
            assert!(matches!(address.parse::<Target>(), Err(TargetError::BadAddress(_))), "{address}");
        }
    }

    #[test]
    fn a_port_may_be_given_in_one_place() {
        let target = parse("10.0.0.1:80");
        assert_eq!(target.resolve(None, 5001).unwrap().port(), 80);
        assert_eq!(target.resolve(Some(80), 5001).unwrap().port(), 80);
        assert!(matches!(target.resolve(Some(81), 5001), Err(TargetError::TwoPorts(80, 81))));
        assert_eq!(parse("10.0.0.1").resolve(Some(81), 5001).unwrap().port(), 81);
        assert_eq!(parse("10.0.0.1").resolve(None, 5001).unwrap().port(), 5001);
    }
}
