//! What the handlers share.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use super::content::RequestContent;
use super::documents::{Documents, Held, Progress};
use super::domain_errors::Refusal;
use super::message::Filters;
use super::peers::Peers;
use super::policy::PolicyCheck;
use super::property_access::PropertyAccess;
use super::query::PageLimits;
use super::router::PathIndex;
use super::v2::images::Shown;
use super::v2::info::StoreView;
use super::{Error, RequestBody};
use crate::cache::Cache;
use crate::identity::Context;
use crate::image::Images;
use crate::image::schema::ImageSchema;
use crate::metadef::Metadefs;
use crate::policy::{Enforcer, Protections};
use crate::store::Stores;
use crate::task::Tasks;

/// All routes below `/v2`, with one configuration's view of the world. A reload makes a new one.
pub struct Api {
    pub(super) paths: PathIndex,
    pub(super) images: Images,
    pub(super) tasks: Tasks,
    pub(super) metadefs: Metadefs,
    pub(super) peers: Peers,
    pub(super) enforcer: Enforcer,
    /// Who may do what with single properties; `None` where the operator protects none.
    pub(super) protections: Option<Protections>,
    /// With the operator's own properties.
    pub(super) schema: Arc<ImageSchema>,
    /// Without them.
    pub(super) base_schema: ImageSchema,
    pub(super) shown: Shown,
    pub(super) page: PageLimits,
    pub(super) import_methods: Vec<String>,
    /// Ids of the stores that clients may name; empty in a single-store cloud.
    pub(super) store_ids: Vec<String>,
    /// What clients are told of them; `None` in a single-store cloud.
    pub(super) stores: Option<Vec<StoreView>>,
    /// The stores themselves.
    pub(super) opened_stores: Arc<Stores>,
    /// `None` where no cache is configured.
    pub(super) cache: Option<Cache>,
    pub(super) documents: Documents,
    /// Bytes of a document, unless the table of routes says that it is to be short.
    pub(super) max_json_body: u64,
    pub(super) checks_owner: bool,
}

/// What every handler may need to know of a request.
pub(super) struct Call<'a> {
    pub context: &'a Arc<Context>,
    pub policy: PolicyCheck<'a>,
    pub properties: &'a PropertyAccess<'a>,
    /// The policy's rule for this route, from the table of routes.
    pub rule: &'static str,
    /// What the route makes of the body, from there as well.
    pub content: RequestContent,
    pub headers: &'a HeaderMap,
    pub query: Option<&'a str>,
    /// Scheme and authority for absolute links, without a trailing slash.
    pub host_url: &'a str,
    pub filters: Filters,
}

impl Api {
    /// The document in the body of a request, of no more bytes than the table of routes allows; see [`Documents::read`].
    ///
    /// # Errors
    /// As there, and 400 where there is no body.
    pub(super) async fn read_document<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        body: RequestBody,
        take: impl FnOnce(Value, &Progress) -> Result<T, Error> + Send + 'static,
    ) -> Result<Held<T>, Error> {
        let limit = call.content.limit(self.max_json_body);
        let held = self.documents.read(call.headers, body, limit, take).await?;
        Ok(held.ok_or(Refusal::NoBody)?)
    }

    /// The cache through which the data of a request goes, where it goes through one.
    pub(super) fn cache_for(&self, call: &Call<'_>) -> Option<&Cache> {
        self.cache.as_ref().filter(|_| call.filters.cache)
    }
}
