//! What a client is made from.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Identity, Proxy};

use super::certificates;
use super::error::{ClientError, TlsPart};
use super::url_filter::UrlFilter;

/// What the requests of one client have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub tls: Tls,
    pub timeout: Timeout,
    pub redirects: Redirects,
    pub proxies: Proxies,
    /// For URLs that users write: each request must pass, and connections are made to approved addresses only.
    pub filter: Option<UrlFilter>,
    /// Whether a thread that gives way to those of requests to this service receives the answers: for much data that no request waits for.
    pub in_background: bool,
}

/// Whom to trust, and as whom to appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// PEM certificates that alone are trusted; the system's when `None`.
    pub ca_file: Option<String>,
    /// PEM certificate (chain) to show.
    pub cert_file: Option<String>,
    /// Its key, where it is not in the same file.
    pub key_file: Option<String>,
    /// Trust anyone.
    pub insecure: bool,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// From the first step to the last byte of the answer, redirects included.
    Whole(Duration),
    /// For answers of any length.
    Step {
        /// Until there is a connection.
        connect: Duration,
        /// Between two signs of life of the server.
        read: Duration,
    },
}

impl Default for Timeout {
    fn default() -> Self {
        Self::Whole(Duration::from_secs(60))
    }
}

/// What becomes of an answer that leads elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// It is followed within the origin (scheme, host and port) with the same method, headers and body; leading out of it is an
    /// error, as requests carry tokens and passwords. keystoneauth follows it anywhere.
    #[default]
    SameOrigin,
    /// The caller gets it and decides. A request to where it leads has to pass the filter like any other.
    Returned,
}

/// Who stands between us and the servers. A proxy looks names up by itself: what the filter approved is then a condition for
/// asking the proxy, and the address is the proxy's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proxies {
    /// As `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// For a scheme (`http`, `https` or `all`) the proxy's URL or `host:port`. None where the list is empty.
    Listed(Vec<(String, String)>),
}

const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

impl Tls {
    /// Whether the options name files.
    pub(super) fn has_files(&self) -> bool {
        self.cert_file.is_some() || !self.insecure && self.ca_file.is_some()
    }

    /// The files that a client is made from: once one of them has changed, another client would trust, or appear as, somebody
    /// else. Where no CA file is named these are the system's certificates. Blocks.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let named = [self.ca_file.as_ref().filter(|_| !self.insecure), self.cert_file.as_ref(), self.key_file.as_ref()];
        let mut files: Vec<PathBuf> = named.into_iter().flatten().map(PathBuf::from).collect();
        if self.ca_file.is_none() && !self.insecure {
            files.extend(certificates::of_system(|name| std::env::var_os(name)));
        }
        files
    }

    /// Reads files.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, ClientError> {
        let mut builder = builder.tls_danger_accept_invalid_certs(self.insecure);
        if let Some(path) = self.ca_file.as_ref().filter(|_| !self.insecure) {
            let part = TlsPart::Authority;
            let bad = |source| ClientError::Pem { part, path: path.into(), source };
            let certificates = Certificate::from_pem_bundle(&read(part, path)?).map_err(bad)?;
            if certificates.is_empty() {
                return Err(ClientError::NoCertificate { path: path.into() });
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(path) = &self.cert_file {
            let part = TlsPart::Certificate;
            let mut pem = read(part, path)?;
            if let Some(key) = &self.key_file {
                pem.push(b'\n');
                pem.extend(read(TlsPart::Key, key)?);
            }
            let bad = |source| ClientError::Pem { part, path: path.into(), source };
            builder = builder.identity(Identity::from_pem(&pem).map_err(bad)?);
        }
        Ok(builder)
    }
}

fn read(part: TlsPart, path: &str) -> Result<Vec<u8>, ClientError> {
    fs::read(path).map_err(|source| ClientError::File { part, path: path.into(), source })
}

impl Proxies {
    pub(super) fn apply(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, ClientError> {
        let Self::Listed(proxies) = self else { return Ok(builder) };
        builder = builder.no_proxy();
        for (scheme, proxy) in proxies {
            let url = with_scheme(proxy);
            let proxy = match scheme.as_str() {
                "http" => Proxy::http(url),
                "https" => Proxy::https(url),
                "all" => Proxy::all(url),
                _ => return Err(ClientError::ProxyScheme { scheme: scheme.clone() }),
            };
            builder = builder.proxy(proxy.map_err(|_| ClientError::Proxy { scheme: scheme.clone() })?);
        }
        Ok(builder)
    }

    /// The names of the proxies' hosts, in lower case; addresses among them are of no use to anybody.
    pub(super) fn hosts(&self) -> Vec<String> {
        let of_environment = || PROXY_VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).collect();
        let urls: Vec<String> = match self {
            Self::Environment => of_environment(),
            Self::Listed(proxies) => proxies.iter().map(|(_, proxy)| proxy.clone()).collect(),
        };
        let host = |url: &String| url::Url::parse(&with_scheme(url)).ok()?.host_str().map(str::to_owned);
        urls.iter().filter_map(host).collect()
    }
}

fn with_scheme(proxy: &str) -> String {
    if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") }
}
