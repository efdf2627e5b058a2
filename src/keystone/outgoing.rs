//! HTTP clients for other services, with the TLS options that OpenStack's clients share.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::{JoinError, spawn_blocking};

/// Whom to trust, and as whom to appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificates that alone are trusted; the system's when `None`.
    pub ca_file: Option<String>,
    /// PEM certificate (chain) to show.
    pub cert_file: Option<String>,
    /// Its key, where it is not in the same file.
    pub key_file: Option<String>,
    /// Trust anyone.
    pub insecure: bool,
}

/// A client cannot be made of its options.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no usable PEM: {source}", path.display())]
    Pem { path: PathBuf, source: reqwest::Error },
    #[error("TLS: {0}")]
    Tls(#[source] reqwest::Error),
    #[error("{0}")]
    Interrupted(#[source] JoinError),
}

/// A client that does not hold the start up: where the system's certificates are to be trusted, they are read in the
/// background, which takes longer than all the rest of a start.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<OnceCell<Client>>);

impl Outgoing {
    /// Within a runtime, the client is being made when this returns. Reads the files of the options, so it blocks.
    ///
    /// # Errors
    /// As [`client`], for the files that the options name.
    pub fn new(tls: &Tls) -> Result<Self, ClientError> {
        if *tls != Tls::default() {
            return Ok(Self(Arc::new(OnceCell::new_with(Some(client(tls)?)))));
        }
        let made = Self(Arc::default());
        if let Ok(runtime) = Handle::try_current() {
            let made = made.clone();
            // Should it fail, the first request says so.
            runtime.spawn(async move { made.ready().await.map(drop) });
        }
        Ok(made)
    }

    /// The client, as soon as there is one.
    ///
    /// # Errors
    /// The process ends.
    pub async fn ready(&self) -> Result<&Client, ClientError> {
        self.0.get_or_try_init(async || spawn_blocking(system_client).await.map_err(ClientError::Interrupted)?).await
    }
}

/// Plain HTTP goes without certificates: a system that has none is no reason not to be able to speak it.
fn system_client() -> Result<Client, ClientError> {
    client(&Tls::default()).or_else(|error| {
        tracing::warn!(%error, "no server can be trusted, only http URLs can be used");
        builder().tls_certs_only([]).build().map_err(ClientError::Tls)
    })
}

/// A request that got no answer. Shown with all its causes, but without the URL, which may hold credentials.
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0))]
pub struct TransportError(reqwest::Error);

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

/// Idle connections are kept so long; the servers in front of OpenStack's services usually close them after 5 to 75 seconds.
const IDLE: Duration = Duration::from_secs(30);

const MAX_REDIRECTS: usize = 5;

/// A client that sets no limit on time: the caller does that for each request. Reads files, so it blocks.
///
/// # Errors
/// A file cannot be read or used.
pub fn client(tls: &Tls) -> Result<Client, ClientError> {
    let mut builder = builder().tls_danger_accept_invalid_certs(tls.insecure);
    if let Some(path) = tls.ca_file.as_ref().filter(|_| !tls.insecure) {
        let pem = read(path)?;
        let bad = |source| ClientError::Pem { path: path.into(), source };
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(bad)?);
    }
    if let Some(path) = &tls.cert_file {
        let mut pem = read(path)?;
        if let Some(key) = &tls.key_file {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let bad = |source| ClientError::Pem { path: path.into(), source };
        builder = builder.identity(Identity::from_pem(&pem).map_err(bad)?);
    }
    builder.build().map_err(ClientError::Tls)
}

/// Follows redirects within one host only, as requests carry tokens.
fn builder() -> ClientBuilder {
    Client::builder().user_agent(concat!("glance-api/", env!("CARGO_PKG_VERSION"))).pool_idle_timeout(IDLE).redirect(
        Policy::custom(|attempt| {
            let host = |url: Option<&reqwest::Url>| url.and_then(|url| url.host_str().map(str::to_owned));
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("too many redirects")
            } else if host(Some(attempt.url())) == host(attempt.previous().first()) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }),
    )
}

fn read(path: &str) -> Result<Vec<u8>, ClientError> {
    fs::read(path).map_err(|source| ClientError::File { path: path.into(), source })
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
