//! The policy as Glance asks it about metadata definitions (upstream: `MetadefAPIPolicy` in `glance/api/v2/policy.py`).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::api::domain_errors::Refusal;
use crate::api::policy::OwnProject;
use crate::api::{Call, Error};
use crate::metadef::Namespace;
use crate::policy::Target;
use crate::schema::python::or_none;

/// The rule that says who may see a namespace.
const SEE: &str = "get_metadef_namespace";

/// Whether `rule` allows something with a namespace, or with none in particular. A caller who may not even see it gets 404.
///
/// # Errors
/// 403 or 404.
pub(super) async fn enforce(call: &Call<'_>, rule: &str, namespace: Option<&Namespace>) -> Result<(), Error> {
    if allows(call, rule, namespace).await? {
        return Ok(());
    }
    if rule == SEE || !allows(call, SEE, namespace).await? {
        return Err(Refusal::Unseen.into());
    }
    Err(Refusal::NotAuthorized(rule).into())
}

/// Whether `rule` allows it, for what vanishes from a list otherwise.
///
/// # Errors
/// 500 when the policy itself cannot be asked.
pub(super) async fn allows(call: &Call<'_>, rule: &str, namespace: Option<&Namespace>) -> Result<bool, Error> {
    match namespace {
        Some(namespace) => call.policy.allows(rule, &NamespaceTarget(namespace)).await,
        None => call.policy.allows(rule, &OwnProject(call.context.project_id.as_deref())).await,
    }
}

/// A namespace as the rules see it.
struct NamespaceTarget<'a>(&'a Namespace);

impl Target for NamespaceTarget<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "project_id" => Some(Cow::Borrowed(or_none(self.0.fields().owner.as_deref()))),
            "visibility" => Some(Cow::Borrowed(self.0.visibility())),
            _ => None,
        }
    }

    fn document(&self) -> Map<String, Value> {
        let owner = self.0.fields().owner.clone();
        Map::from_iter([
            ("project_id".to_owned(), Value::from(owner)),
            ("visibility".to_owned(), Value::from(self.0.visibility())),
        ])
    }
}
