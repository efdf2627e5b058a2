//! `PUT /v2/images/{id}/stage`

use std::sync::Arc;

use http_body_util::BodyDataStream;

use super::upload::{announced_size, content_length};
use crate::api::domain_errors::{Refusal, of_stage};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, json, reply};
use crate::image::{Resource, Upload, mebibytes};
use crate::store::Priority;

/// Takes the data of a queued image into the staging area.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    if !api.import_methods.iter().any(|method| method == "glance-direct") {
        return Err(Refusal::NoStaging.into());
    }
    json::content_type(call.headers, call.content.media_types())?;
    let announced = announced_size(call.headers)?;
    let size = mebibytes(announced.unwrap_or(0));
    api.images.enforce_limit(call.context.project_id.as_deref(), Resource::ImageStageTotal, size).await?;
    let found = api.images.get(&viewer(call.context), id).await?;
    call.policy.enforce_on_own(call.rule, &found).await?;
    let upload = Upload {
        store: None,
        announced,
        length: content_length(call.headers),
        project: call.context.project_id.clone(),
        caller: Arc::clone(call.context),
        priority: Priority::Request,
        data: BodyDataStream::new(body),
    };
    api.images.stage(found, upload).await.map_err(of_stage)?;
    Ok(reply::no_content())
}
