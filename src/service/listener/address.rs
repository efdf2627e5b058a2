//! Where a socket listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use super::ListenError;
use crate::service::settings::ListenAddress;

/// A TCP address or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    /// Empty for a socket without a name.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this host can connect.
    pub(in crate::service) fn is_private(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The start of a URL that a program on this host can use.
    pub(in crate::service) fn url(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        match self {
            Self::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
            }
            Self::Unix(_) => "http://localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// All addresses that the operator's words mean, without repetition. An empty host is every address of this host in
/// either family. Asks the resolver, so it may block.
///
/// # Errors
/// The name is not known.
pub(in crate::service) fn resolve(address: &ListenAddress) -> Result<Vec<Address>, ListenError> {
    let (host, port) = match address {
        ListenAddress::Unix(path) => return Ok(vec![Address::Unix(path.clone())]),
        ListenAddress::Tcp(host, port) => (host.trim(), *port),
    };
    if host.is_empty() {
        return Ok(vec![Address::Tcp(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))]);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let failed = |source| ListenError::Resolve { host: host.to_owned(), source };
    let mut found = Vec::new();
    for address in (bare, port).to_socket_addrs().map_err(failed)?.map(Address::Tcp) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> ListenAddress {
        ListenAddress::Tcp(host.to_owned(), 9292)
    }

    #[test]
    fn words_become_addresses() {
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:9292"),
            ("0.0.0.0", "0.0.0.0:9292"),
            ("::1", "[::1]:9292"),
            ("[::1]", "[::1]:9292"),
            ("::", "[::]:9292"),
            ("", "[::]:9292"),
        ] {
            let found: Vec<String> = resolve(&tcp(host)).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected], "{host}");
        }
        assert!(resolve(&tcp("no such host")).unwrap_err().to_string().contains("no such host"));
        let path = PathBuf::from("/run/glance/api.sock");
        assert_eq!(resolve(&ListenAddress::Unix(path.clone())).unwrap(), [Address::Unix(path)]);
    }

    #[test]
    fn only_loopback_and_unix_are_private() {
        for (address, private) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            assert_eq!(Address::Tcp(address.parse().unwrap()).is_private(), private, "{address}");
        }
        assert!(Address::Unix(PathBuf::from("/x")).is_private());
    }

    #[test]
    fn urls_name_what_a_local_client_reaches() {
        for (address, url) in [
            ("0.0.0.0:9292", "http://127.0.0.1:9292"),
            ("[::]:9292", "http://[::1]:9292"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(Address::Tcp(address.parse().unwrap()).url(false), url);
        }
    }
}
