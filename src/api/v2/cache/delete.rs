//! `DELETE /v2/cache/{image}`

use super::{find, open};
use crate::api::domain_errors::image_missing;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// Takes an image from the cache and its queue. One that is not there any more, or that the caller does not see, is looked for in both.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let cache = match find(api, call, id).await? {
        Some(image) => open(api, call, &call.policy.target(&image).await?).await?,
        None if is_known(api, id).await? => open(api, call, &NoTarget).await?,
        None => return Err(image_missing(id)),
    };
    cache.delete_cached(id).await?;
    cache.delete_queued(id).await?;
    Ok(reply::no_content())
}

async fn is_known(api: &Api, id: &str) -> Result<bool, Error> {
    let Some(cache) = &api.cache else { return Ok(false) };
    Ok(cache.is_queued(id).await? || cache.is_cached(id).await?)
}
