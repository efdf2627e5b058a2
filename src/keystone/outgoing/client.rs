//! The client itself: what its requests have in common.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use reqwest::{Client, ClientBuilder, redirect};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::approved::ApprovedAddresses;
use super::error::ClientError;
use super::options::{Options, Timeout};
use super::request::Request;

/// Idle connections are kept so long; the servers in front of OpenStack's services usually close them after 5 to 75 seconds.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests. Clones share connections.
///
/// Where the system's certificates are to be trusted, they are read when the first request needs them, or in the background:
/// that takes longer than all the rest of a start.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    client: OnceCell<Client>,
}

impl Outgoing {
    /// Makes no connection. Reads the files that the options name, so it blocks.
    ///
    /// # Errors
    /// A file or a proxy cannot be used.
    pub(crate) fn new(options: Options) -> Result<Self, ClientError> {
        let client = if options.tls.has_files() {
            OnceCell::new_with(Some(build(&options)?))
        } else {
            drop(options.proxies.apply(Client::builder())?);
            OnceCell::new()
        };
        Ok(Self(Arc::new(Inner { options, client })))
    }

    /// The same for answers that no request waits for, with connections of its own. Files that the options name are read when the first
    /// request needs them.
    pub(crate) fn in_background(&self) -> Self {
        let options = Options { in_background: true, ..self.0.options.clone() };
        Self(Arc::new(Inner { options, client: OnceCell::new() }))
    }

    /// Gets ready for the first request in the background; only within a runtime.
    pub(crate) fn prepare(&self) {
        if let Ok(runtime) = Handle::try_current() {
            let client = self.clone();
            // Should it fail, the first request says so.
            runtime.spawn(async move { client.ready().await.map(drop) });
        }
    }

    /// A request to a URL that is absolute.
    pub(crate) fn request(&self, method: Method, url: impl Into<String>) -> Request {
        Request::new(self.clone(), method, url.into())
    }

    pub(crate) fn get(&self, url: impl Into<String>) -> Request {
        self.request(Method::GET, url)
    }

    pub(crate) fn post(&self, url: impl Into<String>) -> Request {
        self.request(Method::POST, url)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) async fn ready(&self) -> Result<&Client, ClientError> {
        let make = async || {
            let options = self.0.options.clone();
            spawn_blocking(move || build(&options)).await.map_err(ClientError::Interrupted)?
        };
        self.0.client.get_or_try_init(make).await
    }
}

fn build(options: &Options) -> Result<Client, ClientError> {
    let made = options.tls.apply(builder(options)?)?.build();
    let client = match made {
        // Plain HTTP goes without certificates: a system that has none is no reason not to be able to speak it.
        Err(error) if !options.tls.has_files() => {
            tracing::warn!(%error, "no CA certificates could be loaded: https URLs cannot be used");
            builder(options)?.tls_certs_only([]).build()
        }
        made => made,
    };
    client.map_err(ClientError::Tls)
}

/// Everything but TLS. Redirects are followed by [`Request`].
fn builder(options: &Options) -> Result<ClientBuilder, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("glance-api/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(IDLE)
        .referer(false)
        .redirect(redirect::Policy::none());
    if let Timeout::Step { connect, read } = options.timeout {
        builder = builder.connect_timeout(connect).read_timeout(read);
    }
    if let Some(filter) = &options.filter {
        builder = builder.dns_resolver(ApprovedAddresses::new(filter.clone(), options.proxies.hosts()));
    }
    options.proxies.apply(builder)
}
