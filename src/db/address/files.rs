//! Files that addresses of databases refer to.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::db::error::DbError;

/// A file of certificates is not larger.
const LARGEST_CERTIFICATES: u64 = 16 << 20;

/// Whether a file is there that nobody has named. One in a home that may not be looked into is not.
pub(super) fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(false)
}

/// The text of a file that holds certificates.
///
/// # Errors
/// It cannot be read, or holds none: that must not first be found at the next connection.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<u8>, DbError> {
    let wrong = |reason: &dyn std::fmt::Display| DbError::Url(format!("certificates in {}: {reason}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if size > LARGEST_CERTIFICATES {
        return Err(wrong(&"the file is too large"));
    }
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(pem),
        _ => Err(wrong(&"there is none")),
    }
}

/// The file of the authorities that this system trusts.
pub(super) fn system_certificates() -> Result<PathBuf, DbError> {
    let missing = || DbError::Url("nothing says which authorities to trust, and this system names none".to_owned());
    openssl_probe::probe().cert_file.ok_or_else(missing)
}
