//! Images that lie on web servers: read-only. Upstream: `glance_store/_drivers/http.py`.

mod options;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::driver::{Driver, Setup, Store, Writer};
use super::{Capability, Location, Priority, Reader, StoreContext, StoreError};
use crate::config::StoreKind;
use crate::config::option::Options as _;
use crate::keystone::outgoing::{
    Answer, ClientError, Options, Outgoing, Proxies, Redirects, Refused, RequestError, Timeout, Tls, UrlFilter,
};
use options::HttpOptions;

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
        options: HttpOptions::OPTIONS,
        sections: &[],
        folder: None,
        unverified: |options| {
            let options: HttpOptions = options.read();
            (options.https_insecure && options.https_ca_certificates_file.is_none()).then_some("https_insecure")
        },
    },
    private_schemes: &[],
    is_filtered: true,
    is_open_to_users: true,
    make: Some(|setup| {
        let Setup { name, options, filter, .. } = *setup;
        Ok(Arc::new(HttpStore::open(name, &options.read(), filter.clone())?))
    }),
    lasts: Some(|options| tls(&options.read()).files()),
    make_disabled: None,
};

/// The store of images registered by an `http:` or `https:` location.
struct HttpStore {
    name: String,
    client: Outgoing,
    /// For data that no request waits for.
    background: Outgoing,
}

impl HttpStore {
    /// Reads the CA file; makes no connection. `filter`: what each URL must pass when it is read, redirections included.
    ///
    /// # Errors
    /// `Configuration`, with words for the operator.
    fn open(name: &str, options: &HttpOptions, filter: UrlFilter) -> Result<Self, StoreError> {
        let proxies = match options.http_proxy_information.as_slice() {
            [] => Proxies::Environment,
            listed => Proxies::Listed(listed.to_vec()),
        };
        let client = Outgoing::new(Options {
            tls: tls(options),
            timeout: Timeout::Step { connect: CONNECT, read: SILENCE },
            redirects: Redirects::Returned,
            proxies,
            filter: Some(filter),
            in_background: false,
        });
        let client = client.map_err(|error| {
            let option = match error {
                ClientError::ProxyScheme { .. } | ClientError::Proxy { .. } => "http_proxy_information",
                _ => "https_ca_certificates_file",
            };
            StoreError::Configuration { store: name.to_owned(), reason: format!("{option}: {error}") }
        })?;
        Ok(Self { name: name.to_owned(), background: client.in_background(), client })
    }

    /// Sends a request and follows its redirections; the answer's status is a success.
    async fn query(&self, context: &StoreContext, method: Method, location: &Location) -> Result<Answer, StoreError> {
        let client = match context.priority {
            Priority::Request => &self.client,
            Priority::Background => &self.background,
        };
        let mut text = location.url().to_owned();
        for _ in 0..MAX_REQUESTS {
            let url = check(&text)?;
            let answer = client.request(method.clone(), text.as_str()).send().await;
            let answer = answer.map_err(|error| self.failure(&method, error))?;
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
            text = target.to_owned();
        }
        Err(StoreError::TooManyRedirects { redirects: MAX_REQUESTS })
    }

    fn failure(&self, method: &Method, error: RequestError) -> StoreError {
        match error {
            RequestError::Refused(reason) if !matches!(reason, Refused::Unresolved(_)) => {
                tracing::warn!(store = self.name, %reason, "an image is where nothing may be fetched");
                StoreError::BadLocation { reason: "The HTTP URL leads to a forbidden host".to_owned() }
            }
            error if *method == Method::HEAD => {
                StoreError::BadLocation { reason: format!("The HTTP URL is invalid: {error}") }
            }
            error => StoreError::RemoteUnavailable { source: Some(Box::new(error)) },
        }
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
        context: &'a StoreContext,
        location: &'a Location,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>> {
        async move {
            if let Some(range) = range {
                let (store, capability) = (self.name.clone(), Capability::of_range(&range));
                return Err(StoreError::Unsupported { store, capability });
            }
            let answer = self.query(context, Method::GET, location).await?;
            Ok(Reader::Stream(Box::pin(answer.stream())))
        }
        .boxed()
    }

    fn size<'a>(&'a self, context: &'a StoreContext, location: &'a Location) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            let answer = self.query(context, Method::HEAD, location).await?;
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
        async { Err(StoreError::Unsupported { store: self.name.clone(), capability: Capability::Delete }) }.boxed()
    }
}

fn tls(options: &HttpOptions) -> Tls {
    let ca_file = options.https_ca_certificates_file.clone().filter(|path| !path.is_empty());
    Tls { insecure: options.https_insecure && ca_file.is_none(), ca_file, ..Tls::default() }
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
