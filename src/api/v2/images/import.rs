//! `POST /v2/images/{id}/import`

use http::{Method as HttpMethod, StatusCode};
use serde_json::Value;

use crate::api::header::{IMAGE_STORE, joined};
use crate::api::peers::Peers;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::image::Resource;
use crate::task::{ImportRequest, Method};

/// Begins an import. What comes of it, the image and its task tell.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    // What it holds beside the content, until the end: that lives on in the request.
    let held = api.read_document(call, body, |value: Value, _| Ok(value)).await?;
    let request = ImportRequest::parse(held.content, &api.import_methods)?;
    api.images.enforce_limit(call.context.project_id.as_deref(), Resource::ImageSizeTotal, 0).await?;
    let found = api.images.get(&viewer(call.context), id).await?;
    request.check(&found)?;
    match request.method {
        Method::CopyImage => call.policy.enforce_on("copy_image", &found).await?,
        _ => call.policy.enforce_on_own(call.rule, &found).await?,
    }
    // Counts where the document names no store.
    let header = joined(call.headers, IMAGE_STORE);
    let host = api.peers.host_of(&found).filter(|_| request.method == Method::GlanceDirect).map(str::to_owned);
    let (document, path) = (request.document.clone(), format!("/v2/images/{}/import", found.id));
    let accepted = reply::empty(StatusCode::ACCEPTED);
    if let Some(prepared) = api.tasks.prepare_import(found, request, header).await? {
        // Where the data is recorded under another URL of this host, that is no reason to leave it alone.
        let is_here = Peers::is_sent_on(call) && api.images.has_staged(id).await;
        if let Some(host) = host.filter(|_| !is_here) {
            return Ok(api.peers.forward(call, HttpMethod::POST, &host, &path, Some(&document), accepted).await?);
        }
        api.tasks.begin_import(prepared, call.context).await?;
    }
    Ok(reply::about_task(accepted, true))
}
