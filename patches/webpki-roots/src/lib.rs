//! Stands in for the crate of this name, which brings Mozilla's list of certificate authorities.
//!
//! sqlx adds that list to whatever authorities its user names. A server of the database would be believed that has a certificate of
//! any public authority, though the operator has named their own. With an empty list, those that are named count alone.

/// No authority.
pub const TLS_SERVER_ROOTS: &[rustls_pki_types::TrustAnchor<'static>] = &[];
