//! `/v2/cached_images` and `/v2/queued_images`, which the filter `cachemanage` answers. They take any name for an image's id.

use http::StatusCode;

use super::open;
use super::view::{CachedView, DeletedView, QueuedView, cached};
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};
use crate::cache::Cache;

/// `GET /v2/cached_images`
pub(in crate::api) async fn list_cached(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let cache = manage(api, call).await?;
    reply::json(StatusCode::OK, &CachedView { cached_images: cached(cache).await? })
}

/// `DELETE /v2/cached_images`
pub(in crate::api) async fn delete_all_cached(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let num_deleted = manage(api, call).await?.delete_all_cached().await?;
    reply::json(StatusCode::OK, &DeletedView { num_deleted })
}

/// `DELETE /v2/cached_images/{image}`
pub(in crate::api) async fn delete_cached(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    manage(api, call).await?.delete_cached(id).await?;
    done()
}

/// `GET /v2/queued_images`
pub(in crate::api) async fn list_queued(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let queued_images = manage(api, call).await?.queued().await?;
    reply::json(StatusCode::OK, &QueuedView { queued_images })
}

/// `DELETE /v2/queued_images`
pub(in crate::api) async fn delete_all_queued(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let num_deleted = manage(api, call).await?.delete_all_queued().await?;
    reply::json(StatusCode::OK, &DeletedView { num_deleted })
}

/// `PUT /v2/queued_images/{image}`. It waits for the prefetcher, as `PUT /v2/cache/{image}` does not.
pub(in crate::api) async fn queue(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    manage(api, call).await?.queue(id).await?;
    done()
}

/// `DELETE /v2/queued_images/{image}`
pub(in crate::api) async fn delete_queued(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    manage(api, call).await?.delete_queued(id).await?;
    done()
}

async fn manage<'a>(api: &'a Api, call: &Call<'_>) -> Result<&'a Cache, Error> {
    if !call.filters.cache_manage {
        return Err(Error::not_found_path());
    }
    open(api, call, &NoTarget).await
}

/// What upstream makes of an action that has nothing to say.
fn done() -> Result<Response, Error> {
    reply::json(StatusCode::OK, &())
}
