//! From the tokens of a request to its context (upstream: `keystonemiddleware/auth_token` and `glance/api/middleware/context.py`).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};

use super::binding::Binding;
use super::cache::TokenCache;
use super::{Context, ServiceUser, access_rules};
use crate::config::{Config, FileStates, KeystoneAuthtokenSection, Secret, given};
use crate::keystone::outgoing::{Options, Outgoing, Timeout, Tls};
use crate::keystone::{
    Entity, KeystoneError, Login, LoginOptions, Region, Session, Token, Validator, ValidatorOptions,
};

/// Knows callers by their tokens. Other headers that say who somebody is (`X-Roles`, `X-Project-Id`, …) are never looked at.
#[derive(Debug)]
pub struct Authenticator {
    tokens: TokenCache,
    service_roles: Vec<String>,
    service_roles_required: bool,
    binding: Binding,
    service_type: Option<String>,
    /// A service token that does not hold is only ignored where others decide what becomes of the request.
    ignores_bad_service: bool,
    challenge: Option<HeaderValue>,
    made_from: Origin,
}

/// What an [`Authenticator`] is made from: its section, and the state of the files that its TLS options depend on.
#[derive(Debug, PartialEq)]
struct Origin {
    section: KeystoneAuthtokenSection,
    files: FileStates,
}

const SECTION: &str = "keystone_authtoken";

/// For one request to Keystone where `http_connect_timeout` is not set: upstream waits for ever.
const TIMEOUT: Duration = Duration::from_secs(60);

/// More than that and a request would wait for minutes.
const MAX_RETRIES: u32 = 6;

impl Authenticator {
    /// Does not talk to Keystone yet, but reads the files of the TLS options.
    ///
    /// # Errors
    /// `[keystone_authtoken]` does not say how to log in, or a file cannot be used.
    pub fn new(config: &Config) -> Result<Self, KeystoneError> {
        let section = &config.keystone_authtoken;
        let login = Login::new(&LoginOptions::from(section))?;
        warn(section);
        // Before the client reads the files: a change in between is then one to the next reload.
        let made_from = Origin::read(section);
        let timeout = section.http_connect_timeout.and_then(|seconds| u64::try_from(seconds).ok());
        let timeout = timeout.filter(|seconds| *seconds > 0).map_or(TIMEOUT, Duration::from_secs);
        let options = Options { tls: tls(section), timeout: Timeout::Whole(timeout), ..Options::default() };
        let client = Outgoing::new(options).map_err(|source| KeystoneError::client(SECTION, "cafile", source))?;
        client.prepare();
        let options = ValidatorOptions {
            interface: section.interface.clone(),
            region: Region::of_option(config, SECTION, "region_name", section.region_name.as_deref()),
            retries: u32::try_from(section.http_request_max_retries).unwrap_or(0).min(MAX_RETRIES),
            with_catalog: section.include_service_catalog,
        };
        let validator = Validator::new(client.clone(), Session::new(client, login), options);
        Ok(Self {
            tokens: TokenCache::new(validator, section.token_cache_time),
            service_roles: section.service_token_roles.clone(),
            service_roles_required: section.service_token_roles_required,
            binding: Binding::from(section.enforce_token_bind.as_str()),
            service_type: section.service_type.clone(),
            ignores_bad_service: section.delay_auth_decision,
            challenge: challenge(section),
            made_from,
        })
    }

    /// Whether one made from these options would be the same, so that this one, with its session and the tokens that it knows, can
    /// go on. Looks at the files that the TLS options depend on, so it blocks.
    pub fn is_made_from(&self, config: &Config) -> bool {
        self.made_from == Origin::read(&config.keystone_authtoken)
    }

    /// Who makes a request: `None` without a token that holds (`X-Identity-Status: Invalid`). The path is the one behind version
    /// negotiation. The context lacks the request's id and whether the caller is an administrator.
    ///
    /// # Errors
    /// Keystone cannot be asked (503). The text is for the log only.
    pub async fn authenticate(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Context>, Arc<KeystoneError>> {
        let name = if headers.contains_key("x-auth-token") { "x-auth-token" } else { "x-storage-token" };
        let Some(token) = header(headers, name) else { return Ok(None) };
        let service_token = header(headers, "x-service-token");
        let service = match &service_token {
            Some(token) => self.service(token).await?,
            None => None,
        };
        let trusted = service.as_deref().is_some_and(|service| self.is_service(service));
        let service_holds = service.filter(|_| trusted || !self.service_roles_required);
        if service_token.is_some() && service_holds.is_none() && !self.ignores_bad_service {
            return Ok(None);
        }
        let Some(found) = self.tokens.look_up(&token, trusted).await? else {
            tracing::info!("invalid user token");
            return Ok(None);
        };
        let bound = service_holds.is_some() || self.binding.confirms(&found);
        if !bound || !access_rules::allow(&found, self.service_type.as_deref(), trusted, method, path) {
            tracing::info!(user_id = found.user.id, "user token may not be used for this request");
            return Ok(None);
        }
        Ok(Some(context(&found, &token, service_holds.as_deref())))
    }

    /// The `WWW-Authenticate` of every 401: where to get a token.
    pub fn challenge(&self) -> Option<HeaderValue> {
        self.challenge.clone()
    }

    async fn service(&self, token: &HeaderValue) -> Result<Option<Arc<Token>>, Arc<KeystoneError>> {
        let service = self.tokens.look_up(token, false).await?.filter(|service| self.binding.confirms(service));
        if service.is_none() {
            tracing::info!("invalid service token");
        }
        Ok(service)
    }

    fn is_service(&self, token: &Token) -> bool {
        token.roles().any(|role| self.service_roles.iter().any(|wanted| wanted == role))
    }
}

impl Origin {
    fn read(section: &KeystoneAuthtokenSection) -> Self {
        Self { section: section.clone(), files: FileStates::read(tls(section).files()) }
    }
}

fn tls(section: &KeystoneAuthtokenSection) -> Tls {
    Tls {
        ca_file: section.cafile.clone(),
        cert_file: section.certfile.clone(),
        key_file: section.keyfile.clone(),
        insecure: section.insecure,
    }
}

/// A token from a header, without white space around it. Repeated headers count as one with commas, as in WSGI: no such token
/// holds.
fn header(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let joined = values.join(&b","[..]);
    let token = joined.trim_ascii();
    if token.is_empty() { None } else { HeaderValue::from_bytes(token).ok() }
}

fn context(token: &Token, text: &HeaderValue, service: Option<&Token>) -> Context {
    let domain_id = |entity: &Entity| entity.domain.as_ref().map(|domain| domain.id.clone());
    let secret = text.to_str().ok().map(Secret::from);
    Context {
        user_id: Some(token.user.id.clone()),
        user_name: token.user.name.clone(),
        project_id: token.project.as_ref().map(|project| project.id.clone()),
        project_name: token.project.as_ref().and_then(|project| project.name.clone()),
        domain_id: token.domain.as_ref().map(|domain| domain.id.clone()),
        user_domain_id: domain_id(&token.user),
        project_domain_id: token.project.as_ref().and_then(domain_id),
        system_scope: token.is_system().then(|| "all".to_owned()),
        roles: token.roles().map(|role| role.trim().to_lowercase()).collect(),
        service_roles: service.iter().flat_map(|service| service.roles()).map(str::to_owned).collect(),
        service: service.map(|service| {
            Arc::new(ServiceUser {
                user_id: Some(service.user.id.clone()),
                user_domain_id: domain_id(&service.user),
                project_id: service.project.as_ref().map(|project| project.id.clone()),
                project_domain_id: service.project.as_ref().and_then(domain_id),
            })
        }),
        is_admin_project: token.is_admin_project,
        token: secret,
        service_catalog: token.catalog.clone(),
        ..Context::default()
    }
}

fn challenge(section: &KeystoneAuthtokenSection) -> Option<HeaderValue> {
    let uri = given(&section.www_authenticate_uri).or_else(|| given(&section.auth_url))?;
    HeaderValue::try_from(format!("Keystone uri=\"{uri}\"")).ok()
}

/// What operators should know about their options.
fn warn(section: &KeystoneAuthtokenSection) {
    if section.www_authenticate_uri.as_deref().unwrap_or_default().is_empty() {
        tracing::warn!("www_authenticate_uri is not set: clients are sent to auth_url, which they may not reach");
    }
    if !section.service_token_roles_required {
        tracing::warn!("service_token_roles_required is off: any valid token counts as a service token");
    }
    if section.insecure {
        tracing::warn!("insecure is on: Keystone's certificate is not verified");
    }
}
