//! `PUT /v2/images/{id}/file`

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName};
use http_body_util::BodyDataStream;

use crate::api::domain_errors::{Refusal, of_upload};
use crate::api::header::{IMAGE_STORE, joined};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, json, reply};
use crate::image::{Resource, Upload, mebibytes};
use crate::schema::python::integer::integer;
use crate::store::Priority;

/// The size of the data, for clients that must send it chunked.
const IMAGE_SIZE: HeaderName = HeaderName::from_static("x-openstack-image-size");

/// Takes the data of a queued image.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    json::content_type(call.headers, call.content.media_types())?;
    let announced = announced_size(call.headers)?;
    let project = call.context.project_id.as_deref();
    api.images.enforce_limit(project, Resource::ImageSizeTotal, mebibytes(announced.unwrap_or(0))).await?;
    let store = wanted_store(api, call.headers)?;
    let found = api.images.get(&viewer(call.context), id).await?;
    call.policy.enforce_on(call.rule, &found).await?;
    if call.policy.checks_owner && !viewer(call.context).may_change(found.owner.as_deref()) {
        return Err(Refusal::UploadForbidden(id).into());
    }
    let project = call.context.project_id.clone();
    let length = content_length(call.headers);
    let caller = Arc::clone(call.context);
    let (priority, data) = (Priority::Request, BodyDataStream::new(body));
    let upload = Upload { store, announced, length, project, caller, priority, data };
    api.images.upload(found, upload).await.map_err(of_upload)?;
    Ok(reply::no_content())
}

/// Bytes that will come, as far as the client says. Zero in Content-Length says nothing, as upstream has it.
pub(super) fn announced_size(headers: &HeaderMap) -> Result<Option<i128>, Refusal<'static>> {
    if let Some(text) = joined(headers, IMAGE_SIZE) {
        // To Python, a header has the characters of Latin-1, and none of them but ASCII's is a digit.
        let size = Some(text).filter(|text| text.is_ascii()).and_then(|text| integer(&text));
        return size.map(Some).ok_or(Refusal::AnnouncedSize);
    }
    Ok(content_length(headers).filter(|length| *length != 0).map(i128::from))
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn wanted_store(api: &Api, headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(wanted) = joined(headers, IMAGE_STORE).filter(|_| !api.store_ids.is_empty()) else { return Ok(None) };
    // The reserved stores have names too, but they are the service's own.
    if api.store_ids.contains(&wanted) { Ok(Some(wanted)) } else { Err(Refusal::StoreNotFound(&wanted).into()) }
}
