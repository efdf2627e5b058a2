//! `DELETE /v2/images/{id}/tags/{tag}`

use super::find;
use crate::api::domain_errors::{Refusal, of_tags};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

const ACTION: &str = "delete";

/// Takes the tag from the image.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, tag: &str) -> Result<Response, Error> {
    let image = find(api, call, id, ACTION).await?;
    let removed = api.images.remove_tag(&viewer(call.context), &image, tag).await;
    if removed.map_err(|error| of_tags(error, id, ACTION))? {
        Ok(reply::no_content())
    } else {
        Err(Refusal::NoTag.into())
    }
}
