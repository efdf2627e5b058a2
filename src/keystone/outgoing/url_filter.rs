//! Which URLs from outside the service may contact.
//!
//! Upstream: `validate_external_location` in `glance/common/store_utils.py` and `get_validated_address` in
//! `glance/common/utils.py`, with the options of `[import_filtering_opts]`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use super::reach;
use super::resolver::{Resolver, SystemResolver};
use crate::config::ImportFilteringOptsSection;

/// A name server that has not answered by then will not.
const RESOLVE: Duration = Duration::from_secs(10);

/// Why a URL is refused; no text of it contains the URL's credentials, path or query.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum Refused {
    #[error("the URL is malformed")]
    Malformed,
    #[error("scheme {0} is not allowed")]
    Scheme(String),
    #[error("host {0} is not allowed")]
    Host(String),
    #[error("port {0} is not allowed")]
    Port(u16),
    #[error("host {0} cannot be resolved")]
    Unresolved(String),
    #[error("no allowed addresses for host {0}")]
    Addresses(String),
}

/// The filter that web downloads and HTTP locations share. An allow list, where there is one, makes the deny list of its
/// kind void. Clones share their rules.
#[derive(Clone, Debug)]
pub struct UrlFilter {
    rules: Arc<Rules>,
    resolver: Arc<dyn Resolver>,
}

#[derive(Debug, PartialEq)]
struct Rules {
    schemes: Rule,
    hosts: Rule,
    ports: Rule,
    /// Private networks are as far away as this machine.
    refuses_private: bool,
}

#[derive(Debug, PartialEq)]
struct Rule {
    allowed: Vec<String>,
    denied: Vec<String>,
}

/// The host of a URL that may be asked, as far as that can be told without looking it up.
enum Destination {
    Address(IpAddr),
    Name(String),
}

impl UrlFilter {
    pub fn new(options: &ImportFilteringOptsSection) -> Self {
        Self::with_resolver(options, Arc::new(SystemResolver))
    }

    /// As [`UrlFilter::new`], with somebody else who knows the addresses of names.
    pub fn with_resolver(options: &ImportFilteringOptsSection, resolver: Arc<dyn Resolver>) -> Self {
        let rule = |allowed: &[String], denied: &[String]| Rule {
            allowed: allowed.to_vec(),
            denied: if allowed.is_empty() { denied.to_vec() } else { Vec::new() },
        };
        let rules = Rules {
            schemes: rule(&options.allowed_schemes, &options.disallowed_schemes),
            hosts: rule(&options.allowed_hosts, &options.disallowed_hosts),
            ports: rule(&options.allowed_ports, &options.disallowed_ports),
            refuses_private: options.disallow_private_addresses,
        };
        Self { rules: Arc::new(rules), resolver }
    }

    /// Whether a URL may be asked, as far as its text tells: scheme, host and port, and the address where it has one instead
    /// of a name.
    ///
    /// # Errors
    /// The reason for which the URL is refused.
    pub fn check(&self, url: &str) -> Result<(), Refused> {
        self.destination(url).map(drop)
    }

    /// Whether a URL may be fetched; the log tells why not.
    pub(crate) async fn allows(&self, url: &str) -> bool {
        let refused = self.addresses(url).await.err();
        if let Some(reason) = &refused {
            tracing::info!(%reason, "a URL may not be fetched");
        }
        refused.is_none()
    }

    /// The addresses at which a URL's host may be contacted, in the resolver's order; never empty. To connect, use a client with
    /// this filter rather than the name: it could resolve differently the next time.
    ///
    /// Loopback and link-local addresses (the metadata service of clouds among them) are refused unless the host itself is
    /// on the allow list, and so are private networks where `disallow_private_addresses` is set.
    ///
    /// # Errors
    /// The reason for which the URL is refused.
    pub async fn addresses(&self, url: &str) -> Result<Vec<IpAddr>, Refused> {
        match self.destination(url)? {
            Destination::Address(address) => Ok(vec![address]),
            Destination::Name(name) => self.resolve(&name).await,
        }
    }

    /// Those addresses of a host that may be contacted; never empty.
    ///
    /// # Errors
    /// There are none.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Refused> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let unresolved = || Refused::Unresolved(name.clone());
        // The dot at the end keeps the search list of resolv.conf out.
        let lookup = self.resolver.resolve(format!("{name}."));
        let found = tokio::time::timeout(RESOLVE, lookup).await.map_err(|_| unresolved())?.map_err(|_| unresolved())?;
        let addresses: Vec<_> = found.into_iter().filter(|address| self.may_contact(&name, *address)).collect();
        if addresses.is_empty() { Err(Refused::Addresses(name)) } else { Ok(addresses) }
    }

    fn destination(&self, text: &str) -> Result<Destination, Refused> {
        let url = Url::parse(text).map_err(|_| Refused::Malformed)?;
        if !self.rules.schemes.passes(url.scheme()) {
            return Err(Refused::Scheme(url.scheme().to_owned()));
        }
        // Parsers of the web take a host that stands somewhere else, Python's does not.
        let host = url.host().filter(|_| !host_and_port(text).is_empty()).ok_or(Refused::Malformed)?;
        let name = match &host {
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let disguised = matches!(host, Host::Ipv4(_)) && !spells(text, &name);
        if name.is_empty() || disguised || !self.rules.hosts.passes(&name) {
            return Err(Refused::Host(name));
        }
        // The parser forgets a port that is the scheme's own.
        let port = if names_port(text) { url.port_or_known_default() } else { url.port() };
        if let Some(port) = port.filter(|port| !self.rules.ports.passes(&port.to_string())) {
            return Err(Refused::Port(port));
        }
        let address: IpAddr = match host {
            Host::Domain(_) => return Ok(Destination::Name(name)),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        if self.may_contact(&name, address) { Ok(Destination::Address(address)) } else { Err(Refused::Addresses(name)) }
    }

    fn may_contact(&self, name: &str, address: IpAddr) -> bool {
        if self.rules.hosts.allowed.iter().any(|allowed| allowed == name) {
            return true;
        }
        let barred = reach::is_own(address) || self.rules.refuses_private && reach::is_private(address);
        let denied = |text: &String| text.parse().is_ok_and(|denied: IpAddr| reach::any(address, |one| one == denied));
        !barred && !self.rules.hosts.denied.iter().any(denied)
    }
}

/// Two filters are the same when they allow the same.
impl PartialEq for UrlFilter {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Rule {
    fn passes(&self, value: &str) -> bool {
        let is = |entry: &String| entry == value;
        (self.allowed.is_empty() || self.allowed.iter().any(is)) && !self.denied.iter().any(is)
    }
}

/// Whether the host in a URL is spelt just so. Addresses in other spellings (`127.1`, `0x7f000001`, `2130706433`) are only
/// written to get past filters.
fn spells(url: &str, host: &str) -> bool {
    host_and_port(url).strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether a port is written in a URL. One that is not is nobody's wish, and upstream does not judge it.
fn names_port(url: &str) -> bool {
    // The colons of an address of IPv6 are in brackets.
    let place = host_and_port(url);
    let behind = place.rsplit_once(']').map_or(place, |(_, behind)| behind);
    // Parsers overlook these wherever they are.
    behind.split_once(':').is_some_and(|(_, port)| !port.trim_matches(['\t', '\n', '\r']).is_empty())
}

/// Host and port as they are written in a URL.
fn host_and_port(url: &str) -> &str {
    let authority =
        url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#', '\\']).next().unwrap_or(""));
    authority.rsplit_once('@').map_or(authority, |(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::super::resolver::tests::Changing;
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[tokio::test]
    async fn by_default_the_web_but_not_this_machine() {
        let filter = UrlFilter::new(&ImportFilteringOptsSection::default());
        for (url, expected) in [
            ("http://192.0.2.7/image", Ok(())),
            ("https://10.0.0.1:443/image", Ok(())),
            ("http://[2001:db8::1]/image", Ok(())),
            ("http://192.0.2.7:8080/image", Err(Refused::Port(8080))),
            ("ftp://192.0.2.7/image", Err(Refused::Scheme("ftp".to_owned()))),
            ("http://127.0.0.1/", Err(Refused::Addresses("127.0.0.1".to_owned()))),
            ("http://2130706433/", Err(Refused::Host("127.0.0.1".to_owned()))),
            ("http://127.1/", Err(Refused::Host("127.0.0.1".to_owned()))),
            ("http://0xc0000207/", Err(Refused::Host("192.0.2.7".to_owned()))),
            ("http://user:pw@192.0.2.7:80/image", Ok(())),
            ("http://0.0.0.0/", Err(Refused::Addresses("0.0.0.0".to_owned()))),
            ("http://169.254.169.254/latest/meta-data", Err(Refused::Addresses("169.254.169.254".to_owned()))),
            ("http://[::1]/", Err(Refused::Addresses("::1".to_owned()))),
            ("http://[fe80::1]/", Err(Refused::Addresses("fe80::1".to_owned()))),
            ("http://[::ffff:127.0.0.1]/", Err(Refused::Addresses("::ffff:127.0.0.1".to_owned()))),
            ("http://[64:ff9b::a9fe:a9fe]/", Err(Refused::Addresses("64:ff9b::a9fe:a9fe".to_owned()))),
            ("http://[2002:7f00:1::]/", Err(Refused::Addresses("2002:7f00:1::".to_owned()))),
            ("http://host:port/", Err(Refused::Malformed)),
            ("no url", Err(Refused::Malformed)),
            ("http:///host/", Err(Refused::Malformed)),
            ("http:host/", Err(Refused::Malformed)),
            ("http:/host/", Err(Refused::Malformed)),
            ("", Err(Refused::Malformed)),
        ] {
            assert_eq!(filter.addresses(url).await.map(|_| ()), expected, "{url}");
        }
        // Either it does not resolve with its dot, or it resolves to this machine.
        filter.addresses("http://localhost/").await.unwrap_err();
    }

    #[tokio::test]
    async fn a_listed_host_may_be_this_machine() {
        let options = ImportFilteringOptsSection {
            allowed_hosts: texts(&["127.0.0.1"]),
            allowed_ports: texts(&[]),
            ..Default::default()
        };
        let filter = UrlFilter::new(&options);
        assert_eq!(filter.addresses("http://127.0.0.1:5000/").await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
        assert_eq!(filter.addresses("http://192.0.2.1/").await, Err(Refused::Host("192.0.2.1".to_owned())));
    }

    #[tokio::test]
    async fn deny_lists_count_where_nothing_is_allowed_by_name() {
        let options = ImportFilteringOptsSection {
            allowed_schemes: texts(&[]),
            disallowed_schemes: texts(&["ftp"]),
            disallowed_hosts: texts(&["192.0.2.1", "bad.example"]),
            allowed_ports: texts(&[]),
            disallowed_ports: texts(&["22"]),
            ..Default::default()
        };
        let filter = UrlFilter::new(&options);
        for (url, expected) in [
            ("http://192.0.2.2:8080/", Ok(())),
            ("ftp://192.0.2.2/", Err(Refused::Scheme("ftp".to_owned()))),
            ("http://192.0.2.1/", Err(Refused::Host("192.0.2.1".to_owned()))),
            ("http://BAD.example./", Err(Refused::Host("bad.example".to_owned()))),
            ("http://[::ffff:192.0.2.1]/", Err(Refused::Addresses("::ffff:192.0.2.1".to_owned()))),
            ("http://[64:ff9b::192.0.2.1]/", Err(Refused::Addresses("64:ff9b::c000:201".to_owned()))),
            ("http://[64:ff9b::192.0.2.2]/", Ok(())),
            ("http://192.0.2.2:22/", Err(Refused::Port(22))),
        ] {
            assert_eq!(filter.addresses(url).await.map(|_| ()), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn the_port_of_a_scheme_counts_where_it_is_written() {
        let options = |allowed: &[&str], denied: &[&str]| ImportFilteringOptsSection {
            allowed_ports: texts(allowed),
            disallowed_ports: texts(denied),
            ..Default::default()
        };
        let (other, denied) = (options(&["8080"], &[]), options(&[], &["80", "443"]));
        for (url, expected) in [
            ("http://192.0.2.2/", Ok(())),
            ("https://192.0.2.2?q=:443", Ok(())),
            ("http://192.0.2.2:/", Ok(())),
            ("http://user:80@192.0.2.2/a:80", Ok(())),
            ("http://[2001:db8::80]/", Ok(())),
            ("http://[2001:db8::80]:8080/", Ok(())),
            ("http://192.0.2.2:80/x", Err(Refused::Port(80))),
            ("http://192.0.2.2:0080", Err(Refused::Port(80))),
            ("HTTP://user:pw@192.0.2.2:8\t0#x", Err(Refused::Port(80))),
            ("https://192.0.2.2:443", Err(Refused::Port(443))),
            ("https://192.0.2.2:\t443", Err(Refused::Port(443))),
            ("http://[2001:db8::1]:80/", Err(Refused::Port(80))),
        ] {
            for options in [&other, &denied] {
                assert_eq!(UrlFilter::new(options).check(url), expected, "{url}");
            }
        }
        assert_eq!(UrlFilter::new(&denied).check("https://192.0.2.2:80/"), Err(Refused::Port(80)));
        let by_default = UrlFilter::new(&ImportFilteringOptsSection::default());
        for url in ["http://192.0.2.2:80/", "https://192.0.2.2:443/"] {
            assert_eq!(by_default.check(url), Ok(()), "{url}");
        }
    }

    #[tokio::test]
    async fn only_approved_addresses_of_a_name_are_given_out() {
        let answers = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
        let found = [answers(&["127.0.0.1", "192.0.2.7", "fe80::1", "10.0.0.1"]), answers(&["::1"]), answers(&[])];
        let filter = |options: &ImportFilteringOptsSection| {
            UrlFilter::with_resolver(options, Arc::new(Changing::new(found.clone())))
        };
        let strict = filter(&ImportFilteringOptsSection::default());
        assert_eq!(strict.resolve("Host.example").await, Ok(answers(&["192.0.2.7", "10.0.0.1"])));
        for _ in 0..2 {
            let refused = strict.addresses("http://host.example/").await;
            assert_eq!(refused, Err(Refused::Addresses("host.example".to_owned())));
        }
        let listed = ImportFilteringOptsSection {
            allowed_hosts: texts(&["host.example"]),
            ..ImportFilteringOptsSection::default()
        };
        assert_eq!(filter(&listed).resolve("host.example.").await, Ok(found[0].clone()));
        let outside = ImportFilteringOptsSection { disallow_private_addresses: true, ..Default::default() };
        assert_eq!(filter(&outside).resolve("host.example").await, Ok(answers(&["192.0.2.7"])));
    }

    #[tokio::test]
    async fn private_networks_may_be_out_of_bounds() {
        let urls = ["http://10.0.0.1/", "http://[fd00::1]/", "http://[64:ff9b::10.0.0.1]/", "http://100.64.0.1/"];
        let strict = ImportFilteringOptsSection { disallow_private_addresses: true, ..Default::default() };
        let listed = ImportFilteringOptsSection { allowed_hosts: texts(&["10.0.0.1"]), ..strict.clone() };
        for url in urls {
            assert_eq!(UrlFilter::new(&ImportFilteringOptsSection::default()).check(url), Ok(()), "{url}");
            let refused = UrlFilter::new(&strict).check(url);
            assert!(matches!(refused, Err(Refused::Addresses(_))), "{url}: {refused:?}");
        }
        assert_eq!(UrlFilter::new(&strict).check("http://192.0.2.1/"), Ok(()));
        assert_eq!(UrlFilter::new(&listed).check(urls[0]), Ok(()));
    }
}
