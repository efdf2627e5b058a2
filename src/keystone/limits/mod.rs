//! Limits on resources that Keystone keeps for this service (upstream: `oslo_limit/limit.py`).

mod endpoint;
mod options;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderName, StatusCode};
use moka::future::Cache;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::endpoint::{Endpoint, Wanted};
use self::options::{LimitOptions, Origin};
use super::error::KeystoneError;
use super::identity_url::IdentityUrl;
use super::outgoing::{Answer, Outgoing};
use super::session::{Grant, Session};
use super::single_flight::SingleFlight;
use super::{answer, discovery};
use crate::config::Config;

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Answers that are kept, at most.
const CAPACITY: u64 = 10_000;

/// Asks for limits, with a service account of its own.
///
/// Callers that want to know about one project at the same time share one question. An answer may be kept for a while.
#[derive(Debug)]
pub(crate) struct UnifiedLimits {
    keystone: Account,
    wanted: Wanted,
    endpoint: Mutex<Option<Arc<Endpoint>>>,
    /// To look up the endpoint.
    flight: SingleFlight,
    /// By project; `None` is nobody's.
    answers: Cache<Option<String>, Arc<ProjectLimits>>,
    /// How long an answer is good for those who come later.
    keep: Duration,
    made_from: Origin,
}

/// The limits of a project. What is not listed is limited to nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProjectLimits {
    limits: HashMap<String, i64>,
    /// What holds for the whole tree to which the project belongs, in the model of two strict levels.
    pub(crate) tree: Option<TreeLimits>,
}

/// Limits on what all projects of a domain have together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TreeLimits {
    limits: HashMap<String, i64>,
    /// The domain, whose id Keystone's messages name.
    pub(crate) domain: String,
    /// Ids of its projects.
    pub(crate) projects: Vec<String>,
}

impl ProjectLimits {
    /// The limit on a resource; a negative one is none.
    pub(crate) fn of(&self, resource: &str) -> i64 {
        self.limits.get(resource).copied().unwrap_or(0)
    }
}

impl TreeLimits {
    /// As [`ProjectLimits::of`].
    pub(crate) fn of(&self, resource: &str) -> i64 {
        self.limits.get(resource).copied().unwrap_or(0)
    }
}

impl UnifiedLimits {
    /// Makes no request yet, but reads the files of the TLS options.
    ///
    /// # Errors
    /// `[oslo_limit]` does not say how to log in or which endpoint the limits belong to, or a file cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, KeystoneError> {
        let options = LimitOptions::new(config)?;
        // Before the client reads the files: a change in between is then one to the next reload.
        let made_from = Origin::read(config);
        let client = options.client()?;
        client.prepare();
        let url = IdentityUrl::new(options.interfaces, options.region, options.url);
        let session = Session::new(client.clone(), options.login);
        let mut answers = Cache::builder().max_capacity(CAPACITY);
        if !options.keep.is_zero() {
            answers = answers.time_to_live(options.keep);
        }
        Ok(Self {
            keystone: Account { client, session, url },
            wanted: options.endpoint,
            endpoint: Mutex::new(None),
            flight: SingleFlight::default(),
            answers: answers.build(),
            keep: options.keep,
            made_from,
        })
    }

    /// Whether one made from these options would be the same, so that this one, with its session, can go on. Looks at the files
    /// that the TLS options depend on, so it blocks.
    pub(crate) fn is_made_from(&self, config: &Config) -> bool {
        self.made_from == Origin::read(config)
    }

    /// The limits of a project.
    ///
    /// # Errors
    /// Keystone is not there, does not know the endpoint, or does not tell this account.
    pub(crate) async fn of_project(&self, project: Option<&str>) -> Result<Arc<ProjectLimits>, Arc<KeystoneError>> {
        let key = project.map(str::to_owned);
        let found = Box::pin(self.answers.try_get_with_by_ref(&key, self.ask(project))).await;
        if self.keep.is_zero() {
            self.answers.invalidate(&key).await;
        }
        found.map_err(Arc::unwrap_or_clone)
    }

    async fn ask(&self, project: Option<&str>) -> Result<Arc<ProjectLimits>, Arc<KeystoneError>> {
        let endpoint = self.endpoint().await?;
        let asked = self.ask_about(&endpoint, project).await;
        let may_be_another = match &asked {
            // Keystone answers a question about a service that is gone with an empty list.
            Ok((registered, _)) => *registered == 0,
            Err(error) => error.is_missing() || error.is_unreachable(),
        };
        if may_be_another {
            self.forget(&endpoint);
        }
        asked.map(|(_, limits)| Arc::new(limits))
    }

    /// How many limits are registered for the endpoint, and those of the project.
    async fn ask_about(
        &self,
        endpoint: &Endpoint,
        project: Option<&str>,
    ) -> Result<(usize, ProjectLimits), Arc<KeystoneError>> {
        let keystone = &self.keystone;
        let own = async {
            match project {
                Some(project) => self.limits(endpoint, "project_id", project).await,
                None => Ok(HashMap::new()),
            }
        };
        let model = keystone.get::<Model>(&["limits", "model"], &[], "the model of limits");
        let (model, registered, own) = tokio::try_join!(model, self.registered(endpoint), own)?;
        let tree = match model.model.name.as_str() {
            "flat" => None,
            "strict_two_level" | "strict-two-level" => self.tree(endpoint, project, &registered).await?,
            _ => return Err(Arc::new(KeystoneError::LimitModel(model.model.name))),
        };
        Ok((registered.len(), ProjectLimits { limits: over(registered, own), tree }))
    }

    async fn tree(
        &self,
        endpoint: &Endpoint,
        project: Option<&str>,
        registered: &HashMap<String, i64>,
    ) -> Result<Option<TreeLimits>, Arc<KeystoneError>> {
        let Some(project) = project else { return Ok(None) };
        let found = self.keystone.get::<OneProject>(&["projects", project], &[], "a project").await?;
        // A domain that acts as a project is the top itself.
        let domain = found.project.domain_id.unwrap_or_else(|| project.to_owned());
        // With two levels, each of them has the domain as its parent. Keystone does not take `default` for `parent_id`.
        let query = [("domain_id", Some(domain.as_str()))];
        let projects = self.keystone.get::<Projects>(&["projects"], &query, "the projects of a domain");
        let (projects, own) = tokio::try_join!(projects, self.limits(endpoint, "domain_id", &domain))?;
        let mut projects: Vec<String> = projects.projects.into_iter().map(|project| project.id).collect();
        projects.push(domain.clone());
        if !projects.iter().any(|known| known == project) {
            projects.push(project.to_owned());
        }
        Ok(Some(TreeLimits { limits: over(registered.clone(), own), domain, projects }))
    }

    async fn registered(&self, endpoint: &Endpoint) -> Result<HashMap<String, i64>, Arc<KeystoneError>> {
        let what = "the registered limits";
        let found = self.keystone.get::<Registered>(&["registered_limits"], &endpoint.query(), what).await?;
        Ok(found.registered_limits.into_iter().map(|limit| (limit.resource_name, limit.default_limit)).collect())
    }

    /// Limits of their own that a project or a domain has.
    async fn limits(
        &self,
        endpoint: &Endpoint,
        kind: &'static str,
        id: &str,
    ) -> Result<HashMap<String, i64>, Arc<KeystoneError>> {
        let mut query = endpoint.query().to_vec();
        query.push((kind, Some(id)));
        let found = self.keystone.get::<Limits>(&["limits"], &query, "the limits of a project").await?;
        // Of several for one resource the first counts.
        let mut limits = HashMap::new();
        for limit in found.limits {
            limits.entry(limit.resource_name).or_insert(limit.resource_limit);
        }
        Ok(limits)
    }

    /// Looked up by one task, whose failure others share, and kept until it may have been made anew.
    async fn endpoint(&self) -> Result<Arc<Endpoint>, Arc<KeystoneError>> {
        let known = || self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let look = async {
            let found = Arc::new(self.wanted.find(&self.keystone).await?);
            *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
            Ok(found)
        };
        self.flight.get(known, look).await
    }

    /// Unless somebody has looked it up again meanwhile.
    fn forget(&self, endpoint: &Arc<Endpoint>) {
        let mut known = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, endpoint)) {
            *known = None;
        }
    }
}

fn over(registered: HashMap<String, i64>, own: HashMap<String, i64>) -> HashMap<String, i64> {
    let mut limits = registered;
    limits.extend(own);
    limits
}

/// Keystone, as its own client.
#[derive(Debug)]
struct Account {
    client: Outgoing,
    session: Session,
    url: IdentityUrl,
}

impl Account {
    /// A document. `what`: what it tells, for messages.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, Option<&str>)],
        what: &'static str,
    ) -> Result<T, Arc<KeystoneError>> {
        let mut relogin = true;
        loop {
            let grant = self.session.grant().await?;
            let response = self.ask(&grant, path, query).await?;
            if response.status() == StatusCode::UNAUTHORIZED && relogin {
                tracing::info!("Keystone does not accept the token of [oslo_limit], logging in again");
                self.session.discard(&grant);
                relogin = false;
                continue;
            }
            let response = answer::successful(response, what)?;
            let (found, _) = answer::json(response, what).await?;
            return Ok(found);
        }
    }

    async fn ask(
        &self,
        grant: &Arc<Grant>,
        path: &[&str],
        query: &[(&'static str, Option<&str>)],
    ) -> Result<Answer, Arc<KeystoneError>> {
        let mut url = discovery::below(&self.url.find(&self.client, grant).await?, path);
        if query.iter().any(|(_, value)| value.is_some()) {
            let given = query.iter().filter_map(|(name, value)| Some((name, (*value)?)));
            url.query_pairs_mut().extend_pairs(given);
        }
        let request = self.client.get(url.as_str()).header(ACCEPT, "application/json");
        let sent = request.header(X_AUTH_TOKEN, grant.token.expose()).send().await;
        sent.map_err(|error| Arc::new(error.into()))
    }
}

#[derive(Deserialize)]
struct Model {
    model: ModelName,
}

#[derive(Deserialize)]
struct ModelName {
    name: String,
}

#[derive(Deserialize)]
struct Registered {
    registered_limits: Vec<RegisteredLimit>,
}

#[derive(Deserialize)]
struct RegisteredLimit {
    resource_name: String,
    default_limit: i64,
}

#[derive(Deserialize)]
struct Limits {
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    resource_name: String,
    resource_limit: i64,
}

#[derive(Deserialize)]
struct OneProject {
    project: Project,
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    #[serde(default)]
    domain_id: Option<String>,
}

#[cfg(test)]
mod tests;
