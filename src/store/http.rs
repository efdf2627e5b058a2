//! Images that lie on web servers: read-only. Upstream: `glance_store/_drivers/http.py`.

use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Certificate, Client, Method, Proxy, Response, StatusCode, redirect};
use serde_json::{Map, Value};
use url::Url;

use super::driver::{Driver, Setup, Store, Writer};
use super::{Location, Operation, Reader, StoreContext, StoreError};
use crate::config::{GlanceStoreSection, StoreKind};
use crate::keystone::UrlFilter;

/// Requests made for one image: the first and what it is redirected to.
const MAX_REQUESTS: usize = 5;

/// Upstream waits for ever; a server that says nothing for this long is unavailable.
const CONNECT: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);

pub(super) const DRIVER: Driver = Driver {
    kind: StoreKind {
        name: "http",
        old_name: "glance.store.http.Store",
        schemes: &["http", "https"],
        is_read_only: true,
        options: &["http"],
        unverified: |options| {
            (options.https_insecure && options.https_ca_certificates_file.is_none()).then_some("https_insecure")
        },
    },
    private_schemes: &[],
    is_filtered: true,
    make: Some(|setup| {
        let Setup { name, options, filter, .. } = *setup;
        Ok(Arc::new(HttpStore::open(name, options, filter.clone())?))
    }),
    make_disabled: None,
};

/// The store of images registered by an `http:` or `https:` location.
struct HttpStore {
    name: String,
    client: Arc<LazyClient>,
    /// What redirections must pass.
    filter: UrlFilter,
}

/// Made for the first image that needs it: reading the system's certificates takes longer than all the rest of a start.
type LazyClient = LazyLock<Result<Client, String>, Box<dyn FnOnce() -> Result<Client, String> + Send>>;

impl HttpStore {
    /// Reads the CA file; makes no connection.
    ///
    /// # Errors
    /// `Configuration`, with words for the operator.
    fn open(name: &str, options: &GlanceStoreSection, filter: UrlFilter) -> Result<Self, StoreError> {
        let wrong = |reason| StoreError::Configuration { store: name.to_owned(), reason };
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .referer(false)
            .user_agent(concat!("glance-api/", env!("CARGO_PKG_VERSION")));
        match options.https_ca_certificates_file.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => {
                let bad = |error: &dyn std::fmt::Display| wrong(format!("https_ca_certificates_file {path}: {error}"));
                let text = std::fs::read(path).map_err(|error| bad(&error))?;
                let certificates = Certificate::from_pem_bundle(&text).map_err(|error| bad(&error))?;
                if certificates.is_empty() {
                    return Err(bad(&"no certificate in it"));
                }
                builder = builder.tls_certs_only(certificates);
            }
            None => builder = builder.tls_danger_accept_invalid_certs(options.https_insecure),
        }
        for (scheme, proxy) in &options.http_proxy_information {
            let proxy = if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") };
            let proxy = match scheme.as_str() {
                "http" => Proxy::http(proxy),
                "https" => Proxy::https(proxy),
                "all" => Proxy::all(proxy),
                _ => return Err(wrong(format!("http_proxy_information: {scheme} is neither http, https nor all"))),
            };
            // The error's text would show the proxy's password.
            builder = builder.proxy(proxy.map_err(|_| wrong(format!("http_proxy_information: bad URL for {scheme}")))?);
        }
        let make = move || builder.build().map_err(|error| error.without_url().to_string());
        Ok(Self { name: name.to_owned(), client: Arc::new(LazyLock::new(Box::new(make))), filter })
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let client = Arc::clone(&self.client);
        let made = tokio::task::spawn_blocking(move || LazyLock::force(&client).clone()).await;
        made.unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|reason| StoreError::RemoteUnavailable { source: Some(reason.into()) })
    }

    /// Sends a request and follows its redirections; the answer's status is a success.
    async fn query(&self, method: Method, location: &Location) -> Result<Response, StoreError> {
        let mut url = check(location.url())?;
        let client = self.client().await?;
        for _ in 0..MAX_REQUESTS {
            let answer = client.request(method.clone(), url.clone()).send().await.map_err(|error| {
                let error = error.without_url();
                if method == Method::HEAD {
                    StoreError::BadLocation { reason: format!("The HTTP URL is invalid: {error}") }
                } else {
                    StoreError::RemoteUnavailable { source: Some(Box::new(error)) }
                }
            })?;
            let status = answer.status();
            if status.as_u16() < 300 {
                return Ok(answer);
            }
            if status == StatusCode::NOT_FOUND {
                return Err(StoreError::NotFound { image: url.path().to_owned() });
            }
            let target = answer.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let Some(target) = target.filter(|_| matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND))
            else {
                return Err(StoreError::BadLocation {
                    reason: format!("HTTP URL {} returned a {} status code.", url.path(), status.as_u16()),
                });
            };
            url = check(target)?;
            // Where the first URL leads was looked at when it was registered; the server there may send us anywhere.
            if let Err(reason) = self.filter.addresses(url.as_str()).await {
                tracing::warn!(store = self.name, %reason, "an image is redirected to where nothing may be fetched");
                return Err(StoreError::BadLocation {
                    reason: "The HTTP URL is redirected to a forbidden host".to_owned(),
                });
            }
        }
        Err(StoreError::TooManyRedirects { redirects: MAX_REQUESTS })
    }
}

impl Store for HttpStore {
    fn can_add(&self) -> bool {
        false
    }

    fn can_seek(&self) -> bool {
        false
    }

    fn owns(&self, url: &str) -> bool {
        url.starts_with("http")
    }

    fn candidates<'a>(&'a self, _image_id: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn properties(&self) -> Map<String, Value> {
        Map::new()
    }

    fn begin<'a>(
        &'a self,
        _context: &'a StoreContext,
        _image_id: &'a str,
        _size: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        async { Err(StoreError::AddDisabled { store: self.name.clone() }) }.boxed()
    }

    fn open<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>> {
        async move {
            if let Some(range) = range {
                let (store, operation) = (self.name.clone(), Operation::of_range(&range));
                return Err(StoreError::Unsupported { store, operation });
            }
            let answer = self.query(Method::GET, location).await?;
            let data = answer.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
            Ok(Reader::Stream(Box::pin(data)))
        }
        .boxed()
    }

    fn size<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            let answer = self.query(Method::HEAD, location).await?;
            let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            Ok(length.and_then(|length| length.parse().ok()).unwrap_or(0))
        }
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        _context: &'a StoreContext,
        _location: &'a Location,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Err(StoreError::Unsupported { store: self.name.clone(), operation: Operation::Delete }) }.boxed()
    }
}

/// Upstream's checks of an HTTP location, before the URL is parsed.
fn check(url: &str) -> Result<Url, StoreError> {
    let bad = |reason: &str| Err(StoreError::BadLocation { reason: reason.to_owned() });
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return bad("Location URI must start with one of the following schemas: https://, http://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once('@') {
        Some((credentials, _)) if credentials.matches(':').count() != 1 => {
            return bad("Credentials are not well-formatted.");
        }
        Some((_, host)) => host,
        None => authority,
    };
    if host.is_empty() {
        return bad("The Store URI was malformed");
    }
    Url::parse(url).or_else(|_| bad("The Store URI was malformed"))
}

#[cfg(test)]
mod tests;
