//! `GET /v2/images/{id}`

use http::StatusCode;

use super::view::ImageView;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};
use crate::image::LOCK;

/// The image, if the caller can see it and `get_image` allows it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let mut image = api.images.get(&viewer(call.context), id).await?;
    let is_being_imported = image.property(LOCK).is_some();
    call.properties.hide(std::slice::from_mut(&mut image)).await?;
    call.policy.enforce_on(call.rule, &image).await?;
    let response = reply::json(StatusCode::OK, &ImageView::new(&image, &api.shown, call.context))?;
    Ok(reply::about_task(response, is_being_imported))
}
