//! From a request to its handler.

use std::sync::Arc;

use http::StatusCode;
use tracing::Span;

use super::content::RequestContent;
use super::documents::Documents;
use super::domain_errors::Refusal;
use super::peers::Peers;
use super::policy::PolicyCheck;
use super::property_access::PropertyAccess;
use super::query::PageLimits;
use super::router::{Effect, PathIndex};
use super::v2::images::Shown;
use super::v2::info::StoreView;
use super::{Api, Call, Error, Request, Response, json, reply, routes};
use crate::cache::Cache;
use crate::config::Config;
use crate::image::Images;
use crate::image::schema::ImageSchema;
use crate::keystone::outgoing::ClientError;
use crate::metadef::Metadefs;
use crate::policy::{Enforcer, Protections};
use crate::store::Stores;
use crate::store::demand::{self, About};
use crate::task::Tasks;

/// The routes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Routes(#[from] matchit::InsertError),
    #[error("requests to other hosts: {0}")]
    Peers(#[from] ClientError),
}

impl Api {
    /// `schema`: see [`ImageSchema::load`].
    ///
    /// # Errors
    /// The table of routes contradicts itself, or other hosts cannot be asked.
    pub fn new(
        config: &Config,
        images: Images,
        tasks: Tasks,
        stores: Arc<Stores>,
        metadefs: Metadefs,
        enforcer: Enforcer,
        schema: ImageSchema,
    ) -> Result<Self, SetupError> {
        let max_json_body = u64::try_from(config.service.max_json_body).unwrap_or(0);
        let backends = config.default.enabled_backends.as_deref().unwrap_or_default();
        Ok(Self {
            paths: PathIndex::new(routes::TABLE)?,
            images,
            tasks,
            metadefs,
            peers: Peers::new(config)?,
            enforcer,
            protections: None,
            shown: Shown::new(config, &schema),
            schema: Arc::new(schema),
            base_schema: ImageSchema::new(config),
            page: PageLimits::new(config),
            import_methods: config.default.enabled_import_methods.clone(),
            stores: StoreView::all(config),
            opened_stores: stores,
            store_ids: backends.iter().map(|(id, _)| id.clone()).collect(),
            cache: None,
            documents: Documents::new(max_json_body),
            max_json_body,
            checks_owner: !config.oslo_policy.enforce_new_defaults,
        })
    }

    /// The same, with protected properties.
    #[must_use]
    pub(crate) fn with_protections(self, protections: Option<Protections>) -> Self {
        Self { protections, ..self }
    }

    /// The same, with an image cache.
    #[must_use]
    pub(crate) fn with_cache(self, cache: Option<Cache>) -> Self {
        Self { cache, ..self }
    }

    /// Answers one authenticated request.
    ///
    /// # Errors
    /// What the client is to be told, not yet rendered for its Accept header.
    pub async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Request { method, path, query, headers, body, context, host_url, filters } = request;
        let endpoint = match routes::find(&self.paths, &method, &path) {
            // Upstream refuses the method when it has read the body.
            Err(refused) if refused.status == StatusCode::METHOD_NOT_ALLOWED => {
                if json::has_body(&method, &headers) {
                    self.documents.read(&headers, body, self.max_json_body, |_, _| Ok(())).await?;
                }
                return Err(refused);
            }
            found => found?,
        };
        let route = endpoint.route();
        Span::current().record("endpoint", route.label);
        if route.content == RequestContent::Refused {
            json::reject_body(&method, &headers, &body)?;
        }
        if context.read_only && route.effect == Effect::Changes {
            return Err(Refusal::ReadOnlyAccess.into());
        }
        let rules = self.enforcer.rules().await;
        let properties = &PropertyAccess::new(self.protections.as_ref(), &rules, &context);
        let (checks_owner, knows_properties) = (self.checks_owner, false);
        let policy = PolicyCheck { rules: &rules, context: &context, properties, knows_properties, checks_owner };
        let (query, rule, content) = (query.as_deref(), route.rule, route.content);
        let (headers, host_url, context) = (&headers, &*host_url, &context);
        let call = Call { context, policy, properties, rule, content, headers, query, host_url, filters };
        let answer = endpoint.answer(self, &call, body).await;
        let is_about_task = answer.as_ref().is_ok_and(reply::is_about_task);
        demand::request_was(if is_about_task { About::Task } else { About::Other });
        answer
    }
}
