//! `PUT /v2/images/{id}/tags/{tag}`

use serde_json::json;

use super::find;
use crate::api::domain_errors::of_tags;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

const ACTION: &str = "update";

/// Gives the image the tag, which it may have already.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, tag: &str) -> Result<Response, Error> {
    api.base_schema.validate(&json!({"tags": [tag]}))?;
    let image = find(api, call, id, ACTION).await?;
    api.images.add_tag(&viewer(call.context), &image, tag).await.map_err(|error| of_tags(error, id, ACTION))?;
    Ok(reply::no_content())
}
