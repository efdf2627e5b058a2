//! What rules may know of the caller (upstream: `RequestContext.to_policy_values` in oslo_context), and the caller as a target.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::target::Target;
use crate::identity::{Context, ServiceUser};
use crate::schema::python::{boolean, or_none};

/// One credential.
pub(super) enum Credential<'a> {
    /// A text; a missing one reads `None`, as in Python.
    Text(&'a str),
    /// Any of these.
    List(&'a [String]),
}

/// Looks a credential up by the name that rules use.
pub(super) fn find<'a>(context: &'a Context, name: &str) -> Option<Credential<'a>> {
    let service =
        |field: fn(&ServiceUser) -> &Option<String>| context.service.as_deref().and_then(|s| field(s).as_deref());
    let text = match name {
        "user_id" => context.user_id.as_deref(),
        "user_domain_id" => context.user_domain_id.as_deref(),
        "system_scope" => context.system_scope.as_deref(),
        // Known only to system-scoped callers; others have no such credential at all.
        "system" => return system(context).map(Credential::Text),
        "domain_id" => context.domain_id.as_deref(),
        "project_id" => context.project_id.as_deref(),
        "project_domain_id" => context.project_domain_id.as_deref(),
        "is_admin_project" => Some(boolean(context.is_admin_project)),
        "service_user_id" => service(|s| &s.user_id),
        "service_user_domain_id" => service(|s| &s.user_domain_id),
        "service_project_id" => service(|s| &s.project_id),
        "service_project_domain_id" => service(|s| &s.project_domain_id),
        "roles" => return Some(Credential::List(&context.roles)),
        "service_roles" => return Some(Credential::List(&context.service_roles)),
        _ => return None,
    };
    Some(Credential::Text(or_none(text)))
}

/// The scope of the caller's token, as rules name scopes.
pub(super) fn scope(context: &Context) -> &'static str {
    if system(context).is_some() {
        "system"
    } else if context.domain_id.as_deref().is_some_and(|id| !id.is_empty()) {
        "domain"
    } else {
        "project"
    }
}

/// Everything that [`find`] finds, for a server that decides in our place.
pub(super) fn document(context: &Context) -> Value {
    let service = context.service.as_deref();
    let mut document = json!({
        "user_id": context.user_id,
        "user_domain_id": context.user_domain_id,
        "system_scope": context.system_scope,
        "domain_id": context.domain_id,
        "project_id": context.project_id,
        "project_domain_id": context.project_domain_id,
        "roles": context.roles,
        "is_admin_project": context.is_admin_project,
        "service_user_id": service.map(|s| &s.user_id),
        "service_user_domain_id": service.map(|s| &s.user_domain_id),
        "service_project_id": service.map(|s| &s.project_id),
        "service_project_domain_id": service.map(|s| &s.project_domain_id),
        "service_roles": context.service_roles,
    });
    if let (Some(scope), Some(fields)) = (system(context), document.as_object_mut()) {
        fields.insert("system".to_owned(), Value::from(scope));
    }
    document
}

fn system(context: &Context) -> Option<&str> {
    context.system_scope.as_deref().filter(|scope| !scope.is_empty())
}

/// The caller as the target of a rule, for `context_is_admin` (upstream: `RequestContext.to_dict`). The token is left out.
pub(super) struct Caller<'a>(pub(super) &'a Context);

impl Target for Caller<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        let context = self.0;
        let text = match key {
            "user" => context.user_id.as_deref(),
            "project_id" | "project" => context.project_id.as_deref(),
            "system_scope" => context.system_scope.as_deref(),
            "domain" => context.domain_id.as_deref(),
            "user_domain" => context.user_domain_id.as_deref(),
            "project_domain" => context.project_domain_id.as_deref(),
            "is_admin" => Some(boolean(context.is_admin)),
            "read_only" => Some(boolean(context.read_only)),
            "show_deleted" => Some(boolean(false)),
            "request_id" => Some(context.request_id.as_str()),
            "is_admin_project" => Some(boolean(context.is_admin_project)),
            "user_identity" => return Some(Cow::Owned(identity(context))),
            _ => return None,
        };
        Some(Cow::Borrowed(or_none(text)))
    }

    fn document(&self) -> Map<String, Value> {
        let context = self.0;
        let document = json!({
            "user": context.user_id,
            "project_id": context.project_id,
            "project": context.project_id,
            "system_scope": context.system_scope,
            "domain": context.domain_id,
            "user_domain": context.user_domain_id,
            "project_domain": context.project_domain_id,
            "is_admin": context.is_admin,
            "read_only": context.read_only,
            "show_deleted": false,
            "request_id": context.request_id,
            "roles": context.roles,
            "user_identity": identity(context),
            "is_admin_project": context.is_admin_project,
        });
        match document {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

fn identity(context: &Context) -> String {
    let or_dash = |id: &Option<String>| id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "-".to_owned());
    [&context.user_id, &context.project_id, &context.domain_id, &context.user_domain_id, &context.project_domain_id]
        .map(or_dash)
        .join(" ")
}
