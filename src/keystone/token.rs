//! What Keystone says about a token.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A token that Keystone knows (upstream: `keystoneauth1/access/access.py`, `AccessInfoV3`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Token {
    /// When it ends.
    #[serde(rename = "expires_at", deserialize_with = "time")]
    pub expires: OffsetDateTime,
    pub user: Entity,
    pub project: Option<Entity>,
    /// The scope of a domain-scoped token.
    pub domain: Option<Entity>,
    #[serde(default)]
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Role>,
    /// Absent where Keystone has no admin project: then each may be it.
    #[serde(default = "yes")]
    pub is_admin_project: bool,
    /// Absent where it was not asked for.
    #[serde(default, deserialize_with = "shared")]
    pub catalog: Option<Arc<Value>>,
    /// What the token is bound to, by the kind of binding.
    pub bind: Option<Map<String, Value>>,
    application_credential: Option<ApplicationCredential>,
}

/// A user, project or domain.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entity {
    pub id: String,
    pub name: Option<String>,
    pub domain: Option<Box<Entity>>,
}

/// One request that an application credential may be used for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AccessRule {
    pub method: String,
    pub path: String,
    pub service: String,
}

#[derive(Clone, Debug, Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Role {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ApplicationCredential {
    access_rules: Option<Vec<AccessRule>>,
}

/// The form of the answers to validation and login.
#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) token: Token,
}

impl Token {
    /// Names as Keystone has them.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| role.name.as_str())
    }

    /// Whether it is for the whole system.
    pub(crate) fn is_system(&self) -> bool {
        self.system.as_ref().is_some_and(|system| system.all)
    }

    /// All that the token may be used for, when that is restricted.
    pub(crate) fn access_rules(&self) -> Option<&[AccessRule]> {
        self.application_credential.as_ref()?.access_rules.as_deref()
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Value>>, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.map(Arc::new))
}

fn yes() -> bool {
    true
}
