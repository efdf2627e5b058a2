//! HTTP clients for other services, with the TLS options that OpenStack's clients share.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity};

/// Whom to trust, and as whom to appear.
#[derive(Clone, Debug, Default)]
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
}

/// Idle connections are kept so long; Keystone's servers usually close them after 5 to 75 seconds.
const IDLE: Duration = Duration::from_secs(30);

/// A client without limits on time but for `connect_timeout`; the caller sets them for each request.
///
/// # Errors
/// A file cannot be read or used.
pub async fn client(tls: &Tls, connect_timeout: Option<Duration>) -> Result<Client, ClientError> {
    let mut builder = Client::builder().pool_idle_timeout(IDLE).tls_danger_accept_invalid_certs(tls.insecure);
    if let Some(timeout) = connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(path) = tls.ca_file.as_ref().filter(|_| !tls.insecure) {
        let pem = read(path).await?;
        let bad = |source| ClientError::Pem { path: path.into(), source };
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(bad)?);
    }
    if let Some(path) = &tls.cert_file {
        let mut pem = read(path).await?;
        if let Some(key) = &tls.key_file {
            pem.push(b'\n');
            pem.extend(read(key).await?);
        }
        let bad = |source| ClientError::Pem { path: path.into(), source };
        builder = builder.identity(Identity::from_pem(&pem).map_err(bad)?);
    }
    builder.build().map_err(ClientError::Tls)
}

async fn read(path: &str) -> Result<Vec<u8>, ClientError> {
    tokio::fs::read(path).await.map_err(|source| ClientError::File { path: path.into(), source })
}
