//! The caller of one request, as the handlers see it.

use std::sync::Arc;

use crate::config::Secret;

/// Who asks, on whose behalf, with which rights (upstream: `glance/context.py`).
#[derive(Clone, Debug)]
pub struct Context {
    /// `req-<uuid>`, or the caller's own id.
    pub request_id: String,
    /// Keystone's user id.
    pub user_id: Option<String>,
    /// For logs.
    pub user_name: Option<String>,
    /// The project of the token's scope; its images are the caller's own.
    pub project_id: Option<String>,
    /// For logs.
    pub project_name: Option<String>,
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
    /// Whose service token came along.
    pub service: Option<Arc<ServiceUser>>,
    /// What the policy rule `context_is_admin` said, or that there is no authentication.
    pub is_admin: bool,
    /// Whether the token's project is the one that Keystone calls its admin project; true where Keystone does not say.
    pub is_admin_project: bool,
    /// The caller is anonymous and may only read.
    pub read_only: bool,
    /// The token itself, to act on the caller's behalf.
    pub token: Option<Secret>,
    /// Keystone's service catalog of the token, as Keystone writes it.
    pub service_catalog: Option<Arc<serde_json::Value>>,
}

/// The service that passes on a user's request with a token of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceUser {
    /// Keystone's user id of the service.
    pub user_id: Option<String>,
    /// Its domain.
    pub user_domain_id: Option<String>,
    /// The project of the service token.
    pub project_id: Option<String>,
    /// Its domain.
    pub project_domain_id: Option<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            request_id: String::new(),
            user_id: None,
            user_name: None,
            project_id: None,
            project_name: None,
            domain_id: None,
            user_domain_id: None,
            project_domain_id: None,
            system_scope: None,
            roles: Vec::new(),
            service_roles: Vec::new(),
            service: None,
            is_admin: false,
            is_admin_project: true,
            read_only: false,
            token: None,
            service_catalog: None,
        }
    }
}

impl Context {
    /// A caller without a valid token who may look at public images (`allow_anonymous_access`).
    pub fn anonymous(request_id: String) -> Self {
        Self { request_id, read_only: true, ..Self::default() }
    }
}
