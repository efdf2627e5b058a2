//! `/v2/images/{id}/tags/{tag}`: single tags of an image.

pub(in crate::api) mod add;
pub(in crate::api) mod remove;

use http::StatusCode;

use crate::api::policy::viewer;
use crate::api::{Api, Call, Error};
use crate::image::{self, Image};

/// The image, which the caller may change.
async fn find(api: &Api, call: &Call<'_>, id: &str, action: &str) -> Result<Image, Error> {
    let viewer = viewer(call.context);
    let image = api.images.get(&viewer, id).await.map_err(|error| in_words_of_tags(error, id, action))?;
    call.gate.enforce_on(call.rule, &image).await?;
    if call.gate.checks_owner && !viewer.may_change(image.owner.as_deref()) {
        return Err(not_allowed(id, action));
    }
    Ok(image)
}

fn in_words_of_tags(error: image::Error, id: &str, action: &str) -> Error {
    match error {
        image::Error::NotFound(_) => Error::explanation(StatusCode::NOT_FOUND, format!("Image {id} not found.")),
        image::Error::Forbidden(_) => not_allowed(id, action),
        other => other.into(),
    }
}

fn not_allowed(id: &str, action: &str) -> Error {
    Error::explanation(StatusCode::FORBIDDEN, format!("Not allowed to {action} tags for image {id}."))
}
