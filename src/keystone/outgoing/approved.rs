//! Names are looked up so that the connector sees approved addresses alone.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::resolver::{Resolver, SystemResolver};
use super::url_filter::UrlFilter;

/// Gives the connector those addresses of a host that the filter approves, so that it can connect nowhere else: looked up
/// earlier, a name could resolve differently by now.
pub(super) struct ApprovedAddresses {
    filter: UrlFilter,
    /// Operators choose proxies, the filter is about the URLs of users.
    proxies: Vec<String>,
}

impl ApprovedAddresses {
    pub(super) fn new(filter: UrlFilter, proxies: Vec<String>) -> Self {
        Self { filter, proxies }
    }
}

impl Resolve for ApprovedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        if self.proxies.contains(&name) {
            let found = SystemResolver.resolve(name);
            return Box::pin(async move { Ok(addresses(found.await?)) });
        }
        let filter = self.filter.clone();
        Box::pin(async move { Ok(addresses(filter.resolve(&name).await?)) })
    }
}

/// The connector fills the port in.
fn addresses(found: Vec<IpAddr>) -> Addrs {
    Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)))
}
