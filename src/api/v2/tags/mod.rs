//! `/v2/images/{id}/tags/{tag}`: single tags of an image.

pub(in crate::api) mod add;
pub(in crate::api) mod remove;

use crate::api::domain_errors::{of_tags, tags_forbidden};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error};
use crate::image::Image;

/// The image, which the caller may change.
async fn find(api: &Api, call: &Call<'_>, id: &str, action: &str) -> Result<Image, Error> {
    let viewer = viewer(call.context);
    let image = api.images.get(&viewer, id).await.map_err(|error| of_tags(error, id, action))?;
    call.policy.enforce_on(call.rule, &image).await?;
    if call.policy.checks_owner && !viewer.may_change(image.owner.as_deref()) {
        return Err(tags_forbidden(id, action));
    }
    Ok(image)
}
