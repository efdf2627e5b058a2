//! `PUT /v2/cache/{image}`

use http::StatusCode;

use super::{find, open};
use crate::api::domain_errors::{Refusal, image_missing};
use crate::api::{Api, Call, Error, Response, reply};
use crate::image::Status;

/// Has an image fetched into the cache, which goes on after the answer.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let image = find(api, call, id).await?.ok_or_else(|| image_missing(id))?;
    let cache = open(api, call, &call.policy.target(&image).await?).await?;
    if image.status != Status::Active {
        return Err(Refusal::NotActive.into());
    }
    cache.queue(id).await?;
    cache.fetch_soon(&api.images, id);
    Ok(reply::empty(StatusCode::ACCEPTED))
}
