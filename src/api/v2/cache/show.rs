//! `GET /v2/cache`

use http::StatusCode;

use super::open;
use super::view::{CacheView, cached};
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// What is in the cache of this host, and what is to come into it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let cache = open(api, call, &NoTarget).await?;
    let cached_images = cached(cache).await?;
    reply::json(StatusCode::OK, &CacheView { cached_images, queued_images: cache.queued().await? })
}
