//! The routes: parse the request, ask the policy, call the domain, render the answer.

mod endpoint;
mod error;
mod header;
pub mod json;
mod message;
mod policy;
pub mod query;
mod reply;
mod v2;
mod words;

pub use endpoint::{Endpoint, Routes};
pub use error::{Error, Text};
pub use message::{Body, Request, RequestBody, Response};

use http::StatusCode;

use crate::config::Config;
use crate::identity::Context;
use crate::image::Images;
use crate::image::schema::ImageSchema;
use crate::policy::{Enforcer, Rules};
use policy::Gate;
use query::PageLimits;
use v2::images::Shown;
use v2::info::StoreView;

/// All routes below `/v2`, with one configuration's view of the world. A reload makes a new one.
pub struct Api {
    routes: Routes,
    images: Images,
    enforcer: Enforcer,
    /// With the operator's own properties.
    schema: ImageSchema,
    /// Without them.
    base_schema: ImageSchema,
    shown: Shown,
    page: PageLimits,
    import_methods: Vec<String>,
    /// Ids of the stores that clients may name; empty in a single-store cloud.
    store_ids: Vec<String>,
    /// What clients are told of them; `None` in a single-store cloud.
    stores: Option<Vec<StoreView>>,
    /// Bytes.
    max_json_body: u64,
    checks_owner: bool,
}

/// What every handler needs to know of a request.
struct Call<'a> {
    context: &'a Context,
    gate: Gate<'a>,
    /// Scheme and authority for absolute links, without a trailing slash.
    host_url: &'a str,
}

impl Api {
    /// `schema`: see [`ImageSchema::load`].
    ///
    /// # Errors
    /// The table of routes contradicts itself.
    pub fn new(
        config: &Config,
        images: Images,
        enforcer: Enforcer,
        schema: ImageSchema,
    ) -> Result<Self, matchit::InsertError> {
        let backends = config.default.enabled_backends.as_deref().unwrap_or_default();
        Ok(Self {
            routes: Routes::new()?,
            images,
            enforcer,
            shown: Shown::new(config, &schema),
            schema,
            base_schema: ImageSchema::new(config),
            page: PageLimits::new(config),
            import_methods: config.default.enabled_import_methods.clone(),
            stores: StoreView::all(config),
            store_ids: backends.iter().map(|(id, _)| id.clone()).collect(),
            max_json_body: u64::try_from(config.service.max_json_body).unwrap_or(0),
            checks_owner: !config.oslo_policy.enforce_new_defaults,
        })
    }

    /// Answers one authenticated request.
    ///
    /// # Errors
    /// What the client is to be told, not yet rendered for its Accept header.
    pub async fn handle(&self, request: Request) -> Result<Response, Error> {
        let endpoint = match self.routes.find(&request.method, request.uri.path()) {
            // Upstream refuses the method when it has read the body.
            Err(refused) if refused.status == StatusCode::METHOD_NOT_ALLOWED => {
                if json::has_body(&request.method, &request.headers) {
                    json::read_json(&request.headers, request.body, self.max_json_body).await?;
                }
                return Err(refused);
            }
            found => found?,
        };
        if endpoint.refuses_body() {
            json::reject_body(&request.method, &request.headers, &request.body)?;
        }
        let Request { uri, headers, body, context, host_url, .. } = request;
        if context.read_only && endpoint.changes() {
            return Err(Error::detail(StatusCode::FORBIDDEN, "Read-only access"));
        }
        let rules = self.enforcer.rules().await;
        let call = Call { context: &context, gate: self.gate(&rules, &context), host_url: &host_url };
        let query = uri.query();
        use v2::{actions, images, info, members, schemas, tags};
        match endpoint {
            Endpoint::ListImages => images::list::handle(self, &call, query).await,
            Endpoint::CreateImage => images::create::handle(self, &call, &headers, body).await,
            Endpoint::ShowImage { image } => images::show::handle(self, &call, &image).await,
            Endpoint::UpdateImage { image } => images::update::handle(self, &call, &image, &headers, body).await,
            Endpoint::DeleteImage { image } => images::delete::handle(self, &call, &image).await,
            Endpoint::UploadImage { image } => images::upload::handle(self, &call, &image, &headers, body).await,
            Endpoint::DownloadImage { image } => images::download::handle(self, &call, &image, &headers, query).await,
            Endpoint::DeactivateImage { image } => actions::deactivate::handle(self, &call, &image).await,
            Endpoint::ReactivateImage { image } => actions::reactivate::handle(self, &call, &image).await,
            Endpoint::AddTag { image, tag } => tags::add::handle(self, &call, &image, &tag).await,
            Endpoint::RemoveTag { image, tag } => tags::remove::handle(self, &call, &image, &tag).await,
            Endpoint::ListMembers { image } => members::list::handle(self, &call, &image).await,
            Endpoint::AddMember { image } => members::add::handle(self, &call, &image, &headers, body).await,
            Endpoint::ShowMember { image, member } => members::show::handle(self, &call, &image, &member).await,
            Endpoint::UpdateMember { image, member } => {
                members::update::handle(self, &call, (&image, &member), &headers, body).await
            }
            Endpoint::RemoveMember { image, member } => members::remove::handle(self, &call, &image, &member).await,
            Endpoint::ShowSchema { name } => schemas::show::handle(self, name),
            Endpoint::ShowImportMethods => info::import::handle(self),
            Endpoint::ListStores => info::stores::handle(self),
        }
    }

    fn gate<'a>(&self, rules: &'a Rules, context: &'a Context) -> Gate<'a> {
        Gate { rules, context, checks_owner: self.checks_owner }
    }
}
