//! The caller of one request, as the handlers see it.

use std::sync::Arc;

use crate::config::Secret;

/// Who asks, on whose behalf, with which rights (upstream: `glance/context.py`).
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// `req-<uuid>`, or the caller's own id.
    pub request_id: String,
    /// Keystone's user id.
    pub user_id: Option<String>,
    /// The project of the token's scope; its images are the caller's own.
    pub project_id: Option<String>,
    /// The domain of the token's scope, for a domain-scoped token.
    pub domain_id: Option<String>,
    /// The domain of the user.
    pub user_domain_id: Option<String>,
    /// The domain of the project.
    pub project_domain_id: Option<String>,
    /// `all` for a system-scoped token.
    pub system_scope: Option<String>,
    /// Role names, in lower case.
    pub roles: Vec<String>,
    /// Role names of the service token that came along.
    pub service_roles: Vec<String>,
    /// What the policy rule `context_is_admin` said, or that there is no authentication.
    pub is_admin: bool,
    /// The caller is anonymous and may only read.
    pub read_only: bool,
    /// The token itself, to act on the caller's behalf.
    pub token: Option<Secret>,
    /// Keystone's service catalog of the token.
    pub service_catalog: Option<Arc<serde_json::Value>>,
}
