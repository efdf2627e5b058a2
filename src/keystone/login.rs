//! The credentials of a service account (upstream: `keystoneauth1/loading` and `keystoneauth1/identity/v3`).

use serde_json::{Value, json};
use url::Url;

use super::error::KeystoneError;
use crate::config::{BarbicanServiceUserSection, KeystoneAuthtokenSection, OsloLimitSection, Secret, given};

/// The options that all sections with a service account have in common. An empty text is as good as none.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginOptions {
    /// For error messages.
    pub section: &'static str,
    pub auth_type: Option<String>,
    pub auth_url: Option<String>,
    pub username: Option<String>,
    pub user_id: Option<String>,
    pub user_domain_id: Option<String>,
    pub user_domain_name: Option<String>,
    pub password: Option<Secret>,
    pub project_id: Option<String>,
    pub project_name: Option<String>,
    pub project_domain_id: Option<String>,
    pub project_domain_name: Option<String>,
    pub domain_id: Option<String>,
    pub domain_name: Option<String>,
    pub default_domain_id: Option<String>,
    pub default_domain_name: Option<String>,
    pub system_scope: Option<String>,
    pub trust_id: Option<String>,
    pub application_credential_id: Option<String>,
    pub application_credential_name: Option<String>,
    pub application_credential_secret: Option<Secret>,
}

/// How to get a token: where, as whom, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(super) url: Url,
    /// Whether Keystone may be asked which versions it has, and where.
    pub(super) discover: bool,
    identity: Identity,
    scope: Option<Scope>,
}

#[derive(Clone, Debug)]
enum Identity {
    Password { user: Named, password: Secret },
    ApplicationCredential { credential: Credential, secret: Secret },
}

#[derive(Clone, Debug)]
enum Credential {
    Id(String),
    Name { name: String, user: Named },
}

#[derive(Clone, Debug)]
enum Scope {
    Domain(Named),
    Project(Named),
    Trust(String),
    System,
}

/// Something known by its id, or by its name within a domain.
#[derive(Clone, Debug)]
enum Named {
    Id(String),
    Name { name: String, domain: Option<Box<Named>> },
}

impl Login {
    /// # Errors
    /// An option is missing, or two contradict each other.
    pub(crate) fn new(options: &LoginOptions) -> Result<Self, KeystoneError> {
        let section = options.section;
        let missing = |option| KeystoneError::Missing { section, option };
        let auth_type = given(&options.auth_type).ok_or_else(|| missing("auth_type"))?;
        let url = given(&options.auth_url).ok_or_else(|| missing("auth_url"))?;
        let url =
            Url::parse(&url).map_err(|source| KeystoneError::OptionUrl { section, option: "auth_url", source })?;
        let identity = match auth_type.as_str() {
            "password" | "v3password" => Identity::Password {
                user: options.user().ok_or_else(|| missing("username"))?,
                password: options.password.clone().ok_or_else(|| missing("password"))?,
            },
            "v3applicationcredential" => Identity::ApplicationCredential {
                credential: options.credential().ok_or_else(|| missing("application_credential_id"))?,
                secret: options
                    .application_credential_secret
                    .clone()
                    .ok_or_else(|| missing("application_credential_secret"))?,
            },
            _ => return Err(KeystoneError::AuthType { section, auth_type }),
        };
        Ok(Self { url, discover: auth_type == "password", identity, scope: options.scope()? })
    }

    /// The body of `POST /v3/auth/tokens`. It holds the password.
    pub(super) fn body(&self) -> Value {
        let identity = match &self.identity {
            Identity::Password { user, password } => {
                let mut user = user.json();
                insert(&mut user, "password", json!(password.expose()));
                json!({"methods": ["password"], "password": {"user": user}})
            }
            Identity::ApplicationCredential { credential, secret } => {
                let mut credential = match credential {
                    Credential::Id(id) => json!({"id": id}),
                    Credential::Name { name, user } => json!({"name": name, "user": user.json()}),
                };
                insert(&mut credential, "secret", json!(secret.expose()));
                json!({"methods": ["application_credential"], "application_credential": credential})
            }
        };
        let mut auth = json!({"identity": identity});
        if let Some(scope) = &self.scope {
            let scope = match scope {
                Scope::Domain(domain) => json!({"domain": domain.json()}),
                Scope::Project(project) => json!({"project": project.json()}),
                Scope::Trust(id) => json!({"OS-TRUST:trust": {"id": id}}),
                Scope::System => json!({"system": {"all": true}}),
            };
            insert(&mut auth, "scope", scope);
        }
        json!({"auth": auth})
    }
}

impl LoginOptions {
    fn user(&self) -> Option<Named> {
        let domain = self.domain(&self.user_domain_id, &self.user_domain_name);
        Named::new(&self.user_id, &self.username, domain)
    }

    fn credential(&self) -> Option<Credential> {
        if let Some(id) = given(&self.application_credential_id) {
            return Some(Credential::Id(id));
        }
        Some(Credential::Name { name: given(&self.application_credential_name)?, user: self.user()? })
    }

    fn scope(&self) -> Result<Option<Scope>, KeystoneError> {
        let section = self.section;
        let project_domain = self.domain(&self.project_domain_id, &self.project_domain_name);
        let system = match given(&self.system_scope).as_deref() {
            Some("all") => Some(Scope::System),
            Some(_) => return Err(KeystoneError::SystemScope { section }),
            None => None,
        };
        let scopes = [
            Named::new(&self.domain_id, &self.domain_name, None).map(Scope::Domain),
            Named::new(&self.project_id, &self.project_name, project_domain).map(Scope::Project),
            given(&self.trust_id).map(Scope::Trust),
            system,
        ];
        let mut scopes = scopes.into_iter().flatten();
        let scope = scopes.next();
        if scopes.next().is_some() { Err(KeystoneError::Scope { section }) } else { Ok(scope) }
    }

    /// The domain of a user or project, or the one for both.
    fn domain(&self, id: &Option<String>, name: &Option<String>) -> Option<Named> {
        let id = given(id).or_else(|| given(name).is_none().then(|| given(&self.default_domain_id)).flatten());
        let name = given(name).or_else(|| given(&self.default_domain_name));
        Named::new(&id, &name, None)
    }
}

impl Named {
    fn new(id: &Option<String>, name: &Option<String>, domain: Option<Self>) -> Option<Self> {
        match given(id) {
            Some(id) => Some(Self::Id(id)),
            None => Some(Self::Name { name: given(name)?, domain: domain.map(Box::new) }),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Id(id) => json!({"id": id}),
            Self::Name { name, domain: None } => json!({"name": name}),
            Self::Name { name, domain: Some(domain) } => json!({"name": name, "domain": domain.json()}),
        }
    }
}

/// The sections that have these options.
macro_rules! sections {
    ($($section:ident $name:literal)+) => { $(
        impl From<&$section> for LoginOptions {
            fn from(section: &$section) -> Self {
                Self {
                    section: $name,
                    auth_type: section.auth_type.clone(),
                    auth_url: section.auth_url.clone(),
                    username: section.username.clone(),
                    user_id: section.user_id.clone(),
                    user_domain_id: section.user_domain_id.clone(),
                    user_domain_name: section.user_domain_name.clone(),
                    password: section.password.clone(),
                    project_id: section.project_id.clone(),
                    project_name: section.project_name.clone(),
                    project_domain_id: section.project_domain_id.clone(),
                    project_domain_name: section.project_domain_name.clone(),
                    domain_id: section.domain_id.clone(),
                    domain_name: section.domain_name.clone(),
                    default_domain_id: section.default_domain_id.clone(),
                    default_domain_name: section.default_domain_name.clone(),
                    system_scope: section.system_scope.clone(),
                    trust_id: section.trust_id.clone(),
                    application_credential_id: section.application_credential_id.clone(),
                    application_credential_name: section.application_credential_name.clone(),
                    application_credential_secret: section.application_credential_secret.clone(),
                }
            }
        }
    )+ };
}

sections! {
    BarbicanServiceUserSection "barbican_service_user"
    KeystoneAuthtokenSection "keystone_authtoken"
    OsloLimitSection "oslo_limit"
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> LoginOptions {
        let mut options =
            LoginOptions { section: "s", auth_url: Some("http://k".to_owned()), ..LoginOptions::default() };
        for (name, value) in pairs {
            let text = Some((*value).to_owned());
            match *name {
                "auth_type" => options.auth_type = text,
                "username" => options.username = text,
                "user_id" => options.user_id = text,
                "user_domain_id" => options.user_domain_id = text,
                "user_domain_name" => options.user_domain_name = text,
                "password" => options.password = Some(Secret::from(*value)),
                "project_id" => options.project_id = text,
                "project_name" => options.project_name = text,
                "project_domain_name" => options.project_domain_name = text,
                "domain_name" => options.domain_name = text,
                "default_domain_id" => options.default_domain_id = text,
                "system_scope" => options.system_scope = text,
                "trust_id" => options.trust_id = text,
                "ac_id" => options.application_credential_id = text,
                "ac_name" => options.application_credential_name = text,
                "ac_secret" => options.application_credential_secret = Some(Secret::from(*value)),
                other => panic!("{other}"),
            }
        }
        options
    }

    #[test]
    fn bodies_are_as_keystone_wants_them() {
        let user = [("auth_type", "password"), ("username", "u"), ("password", "p")];
        let by_password = |user: Value, scope: Value| json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}});
        for (more, expected) in [
            (
                vec![("user_domain_id", "d"), ("project_name", "x"), ("project_domain_name", "e")],
                by_password(
                    json!({"name": "u", "domain": {"id": "d"}, "password": "p"}),
                    json!({"project": {"name": "x", "domain": {"name": "e"}}}),
                ),
            ),
            (
                vec![("user_id", "i"), ("project_id", "y"), ("project_name", "")],
                by_password(json!({"id": "i", "password": "p"}), json!({"project": {"id": "y"}})),
            ),
            (
                vec![("default_domain_id", "d"), ("user_domain_name", "n"), ("project_name", "x")],
                by_password(
                    json!({"name": "u", "domain": {"name": "n"}, "password": "p"}),
                    json!({"project": {"name": "x", "domain": {"id": "d"}}}),
                ),
            ),
            (
                vec![("system_scope", "all")],
                by_password(json!({"name": "u", "password": "p"}), json!({"system": {"all": true}})),
            ),
            (
                vec![("domain_name", "d")],
                by_password(json!({"name": "u", "password": "p"}), json!({"domain": {"name": "d"}})),
            ),
            (
                vec![("trust_id", "t")],
                by_password(json!({"name": "u", "password": "p"}), json!({"OS-TRUST:trust": {"id": "t"}})),
            ),
        ] {
            let all: Vec<_> = user.iter().copied().chain(more).collect();
            assert_eq!(Login::new(&options(&all)).unwrap().body(), expected, "{all:?}");
        }
    }

    #[test]
    fn application_credentials_have_an_id_or_a_name() {
        let credential = [("auth_type", "v3applicationcredential"), ("ac_secret", "s")];
        for (more, expected) in [
            (vec![("ac_id", "i")], json!({"id": "i", "secret": "s"})),
            (
                vec![("ac_name", "n"), ("username", "u"), ("user_domain_id", "d")],
                json!({"name": "n", "user": {"name": "u", "domain": {"id": "d"}}, "secret": "s"}),
            ),
        ] {
            let all: Vec<_> = credential.iter().copied().chain(more).collect();
            let body = Login::new(&options(&all)).unwrap().body();
            let expected = json!({"methods": ["application_credential"], "application_credential": expected});
            assert_eq!(body, json!({"auth": {"identity": expected}}), "{all:?}");
        }
    }

    #[test]
    fn wrong_options_are_named() {
        let user = [("username", "u"), ("password", "p")];
        for (all, expected) in [
            (vec![], "[s] auth_type is missing"),
            (vec![("auth_type", "password")], "[s] username is missing"),
            (vec![("auth_type", "v3password"), ("username", "u")], "[s] password is missing"),
            (
                vec![("auth_type", "v3applicationcredential"), ("ac_id", "i")],
                "[s] application_credential_secret is missing",
            ),
            (
                vec![("auth_type", "v3applicationcredential"), ("ac_name", "n")],
                "[s] application_credential_id is missing",
            ),
            (
                [("auth_type", "password"), ("project_id", "x"), ("system_scope", "all")]
                    .into_iter()
                    .chain(user)
                    .collect(),
                "[s] names more than one of project, domain, trust and system to log in to",
            ),
            (
                [("auth_type", "password"), ("system_scope", "some")].into_iter().chain(user).collect(),
                "[s] system_scope can only be all",
            ),
            (
                vec![("auth_type", "v3kerberos")],
                "[s] auth_type v3kerberos is not supported: use password, v3password or v3applicationcredential",
            ),
        ] {
            assert_eq!(Login::new(&options(&all)).unwrap_err().to_string(), expected, "{all:?}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let login =
            Login::new(&options(&[("auth_type", "password"), ("username", "u"), ("password", "hush")])).unwrap();
        assert!(!format!("{login:?}").contains("hush"));
    }
}
