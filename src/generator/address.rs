//! The operator's `bind_host` in the words of systemd.socket(5), which knows no names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Host;

/// The addresses that a host means: itself, or what `/etc/hosts` says of a name. No resolver is asked, there may be no
/// network yet. Without IPv6 in the kernel, only those of IPv4, since systemd would refuse the whole socket.
pub(super) fn resolve(name: &str, host: &Host) -> Vec<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse() {
        return vec![address];
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for address in in_hosts(bare, &host.hosts) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() && bare.eq_ignore_ascii_case("localhost") {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if !host.ipv6 && found.iter().any(IpAddr::is_ipv4) {
        found.retain(IpAddr::is_ipv4);
    }
    found
}

/// hosts(5): an address, then names; `#` begins a comment.
fn in_hosts<'a>(name: &'a str, hosts: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    hosts.lines().filter_map(move |line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|known| known.eq_ignore_ascii_case(name)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_hosts_file() {
        let hosts =
            "127.0.0.1 localhost\n::1 localhost ip6-localhost # api\n192.0.2.7\tapi.example.org API\nfe80::1%eth0 x\n";
        let resolved = |name: &str, ipv6| {
            let host = Host { cpus: 1, ipv6, hosts: hosts.to_owned() };
            resolve(name, &host).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(resolved("localhost", true), ["127.0.0.1", "::1"]);
        assert_eq!(resolved("localhost", false), ["127.0.0.1"]);
        assert_eq!(resolved("api", true), ["192.0.2.7"]);
        assert_eq!(resolved("ip6-localhost", false), ["::1"]);
        assert_eq!(resolved("203.0.113.1", true), ["203.0.113.1"]);
        assert_eq!(resolved("[::1]", true), ["::1"]);
        assert!(resolved("elsewhere", true).is_empty());
        let bare = Host { cpus: 1, ipv6: true, hosts: String::new() };
        assert_eq!(resolve("LocalHost", &bare).len(), 2);
    }
}
