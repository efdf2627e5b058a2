//! `POST /v2/images`

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::view::ImageView;
use crate::api::domain_errors::Refusal;
use crate::api::policy::ProposedImage;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::image::schema::{DISALLOWED, ImageSchema, RESERVED, is_base};
use crate::image::{RESERVED_NAMESPACE, Resource};

const IMPORT_METHODS: HeaderName = HeaderName::from_static("openstack-image-import-methods");
const STORE_IDS: HeaderName = HeaderName::from_static("openstack-image-store-ids");

/// Registers an image without data.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Response, Error> {
    let schema = Arc::clone(&api.schema);
    let held = api.read_document(call, body, move |value, _| check(value, &schema)).await?;
    let document = &held.content;
    let owner = match document.base.get("owner") {
        Some(owner) => owner.as_str(),
        None => call.context.project_id.as_deref(),
    };
    check_policy(call, &document.base, owner).await?;
    let owner = owner.map(str::to_owned);
    api.images.enforce_limit(call.context.project_id.as_deref(), Resource::ImageCountTotal, 1).await?;
    call.properties.check_new(document.properties.keys()).await?;
    let mut image = api.images.create(&document.base, &document.properties, owner).await?;
    call.properties.hide(std::slice::from_mut(&mut image)).await?;
    let mut response = reply::json(StatusCode::CREATED, &ImageView::new(&image, &api.shown, call.context))?;
    add_headers(api, call, &image.id, response.headers_mut())?;
    Ok(response)
}

/// A body that has passed the schema: the fields every image has, and the others.
struct Document {
    base: Map<String, Value>,
    properties: Map<String, Value>,
}

fn check(value: Value, schema: &ImageSchema) -> Result<Document, Error> {
    let sent = value.as_object().ok_or(Refusal::NoObject)?;
    if let Some(key) = DISALLOWED.iter().find(|key| sent.contains_key(**key)) {
        return Err(Refusal::ReadOnlyAttribute(key).into());
    }
    schema.validate(&value)?;
    let Value::Object(document) = value else { return Err(Refusal::NoObject.into()) };
    let (base, properties): (Map<_, _>, Map<_, _>) = document.into_iter().partition(|(name, _)| is_base(name));
    for key in properties.keys() {
        if key.chars().count() > 255 {
            return Err(Refusal::LongProperty.into());
        }
        if RESERVED.contains(&key.as_str()) || key.starts_with(RESERVED_NAMESPACE) {
            return Err(Refusal::ReservedAttribute(key).into());
        }
    }
    Ok(Document { base, properties })
}

async fn check_policy(call: &Call<'_>, base: &Map<String, Value>, owner: Option<&str>) -> Result<(), Error> {
    let visibility = base.get("visibility").and_then(Value::as_str).unwrap_or("private");
    let target = ProposedImage { owner, visibility };
    let own = call.context.project_id.as_deref();
    if !call.policy.allows(call.rule, &target).await? {
        let is_own = owner == own;
        return Err(if is_own { Refusal::NotAuthorized(call.rule) } else { Refusal::OwnerNotPermitted(owner) }.into());
    }
    call.policy.enforce_visibility(Some(visibility), &target).await?;
    if call.policy.checks_owner && !call.context.is_admin && owner != own {
        return Err(Refusal::OwnerForeign(owner).into());
    }
    Ok(())
}

fn add_headers(api: &Api, call: &Call<'_>, id: &str, headers: &mut HeaderMap) -> Result<(), Error> {
    headers.insert(LOCATION, HeaderValue::try_from(format!("{}/v2/images/{id}", call.host_url))?);
    if !api.import_methods.is_empty() {
        headers.insert(IMPORT_METHODS, HeaderValue::try_from(api.import_methods.join(","))?);
    }
    if !api.store_ids.is_empty() {
        headers.insert(STORE_IDS, HeaderValue::try_from(api.store_ids.join(","))?);
    }
    Ok(())
}
