//! TLS of the listener: certificate, key, client certificates, session tickets.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::TlsFiles;

/// Why there can be no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or not for us.
    #[error("[DEFAULT] {option} {}: cannot be read: {source}", path.display())]
    Unreadable { option: &'static str, path: PathBuf, source: io::Error },
    /// A file that is not PEM, or has nothing of use in it.
    #[error("[DEFAULT] {option} {}: {reason}", path.display())]
    Content { option: &'static str, path: PathBuf, reason: String },
    /// The key belongs to another certificate.
    #[error("[DEFAULT] key_file {}: the private key does not belong to the certificate in cert_file {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    /// What the TLS library says.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What new connections negotiate with.
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
    authority: Option<Vec<CertificateDer<'static>>>,
}

impl Tls {
    /// Reads the files. With `previous`, clients resume sessions that began before a reload.
    ///
    /// # Errors
    /// Names the option and the file.
    pub(super) fn load(files: &TlsFiles, previous: Option<&Self>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = certified_key(files, &provider)?;
        let authority = files.authority.as_deref().map(|path| certificates("ca_file", path)).transpose()?;
        // A ticket stands for a client certificate that was checked against the authority of its time.
        let tickets = match previous.filter(|previous| previous.authority == authority) {
            Some(previous) => Arc::clone(&previous.tickets),
            None => aws_lc_rs::Ticketer::new()?,
        };

        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match (&files.authority, &authority) {
            (Some(path), Some(trusted)) => {
                let refused = |reason: String| TlsError::Content { option: "ca_file", path: path.clone(), reason };
                let mut roots = RootCertStore::empty();
                for certificate in trusted {
                    roots.add(certificate.clone()).map_err(|error| refused(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| refused(error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&tickets);
        Ok(Self { config: Arc::new(config), tickets, authority })
    }
}

fn certified_key(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("cert_file", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Content {
            option: "key_file",
            path: files.key.clone(),
            reason: "has no private key (PKCS#1, PKCS#8 or SEC1, not encrypted, as PEM)".to_owned(),
        },
        other => from_pem("key_file", &files.key, other),
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| TlsError::Content {
        option: "key_file",
        path: files.key.clone(),
        reason: format!("the private key cannot be used: {error}"),
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() })
        }
        Err(error) => Err(TlsError::Content {
            option: "cert_file",
            path: files.certificate.clone(),
            reason: format!("the certificate cannot be used: {error}"),
        }),
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(|items| items.collect::<Result<Vec<_>, _>>())
        .map_err(|error| from_pem(option, path, error))?;
    if found.is_empty() {
        let reason = "has no certificate in PEM form".to_owned();
        return Err(TlsError::Content { option, path: path.to_owned(), reason });
    }
    Ok(found)
}

fn from_pem(option: &'static str, path: &Path, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Unreadable { option, path, source },
        other => TlsError::Content { option, path, reason: format!("is not a PEM file: {}", in_words(&other)) },
    }
}

/// The library shows lines as lists of bytes. A line that is out of place may be part of a key.
fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line -----END {}----- is missing", String::from_utf8_lossy(end_marker))
        }
        pem::Error::IllegalSectionStart { .. } => "a line that begins with -----BEGIN does not end in -----".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn files(directory: &Path, certificate: &str, key: &str, authority: Option<&str>) -> TlsFiles {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: write("cert.pem", certificate),
            key: write("key.pem", key),
            authority: authority.map(|text| write("ca.pem", text)),
        }
    }

    #[test]
    fn a_pair_is_accepted_and_a_wrong_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (pair(), pair());
        Tls::load(&files(directory.path(), &one.certificate, &one.key, None), None).unwrap();
        let cut = one.certificate.split("-----END").next().unwrap();
        let cases = [
            (one.certificate.as_str(), two.key.as_str(), None, "does not belong to the certificate"),
            ("", one.key.as_str(), None, "cert_file"),
            (one.certificate.as_str(), "", None, "has no private key"),
            (one.certificate.as_str(), one.certificate.as_str(), None, "has no private key"),
            (one.certificate.as_str(), one.key.as_str(), Some("not PEM"), "ca_file"),
            (cut, one.key.as_str(), None, "not a PEM file: the line -----END CERTIFICATE----- is missing"),
        ];
        for (certificate, key, authority, words) in cases {
            let error = Tls::load(&files(directory.path(), certificate, key, authority), None).err().unwrap();
            assert!(error.to_string().contains(words), "{error} should say {words}");
        }
        let mut absent = files(directory.path(), &one.certificate, &one.key, None);
        absent.key = directory.path().join("absent.pem");
        let error = Tls::load(&absent, None).err().unwrap().to_string();
        assert!(error.contains("key_file") && error.contains("absent.pem"), "{error}");
    }

    #[test]
    fn tickets_outlive_a_reload_but_not_a_change_of_authority() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (pair(), pair());
        let first = Tls::load(&files(directory.path(), &one.certificate, &one.key, None), None).unwrap();
        let renewed = Tls::load(&files(directory.path(), &two.certificate, &two.key, None), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first.tickets, &renewed.tickets));
        let with_authority = files(directory.path(), &two.certificate, &two.key, Some(&one.certificate));
        let mutual = Tls::load(&with_authority, Some(&renewed)).unwrap();
        assert!(!Arc::ptr_eq(&renewed.tickets, &mutual.tickets));
    }
}
