//! `/v2/cache`, and the routes `/v2/cached_images` and `/v2/queued_images` of the pipelines with `cachemanagement` (upstream:
//! `glance/api/v2/cached_images.py`, `glance/api/middleware/cache_manage.py`).

pub(in crate::api) mod clean;
pub(in crate::api) mod clear;
pub(in crate::api) mod delete;
pub(in crate::api) mod nodes;
pub(in crate::api) mod old;
pub(in crate::api) mod prune;
pub(in crate::api) mod queue;
pub(in crate::api) mod show;
mod view;

use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error};
use crate::cache::Cache;
use crate::image::{self, Image};
use crate::policy::Target;

/// The cache, for callers to whom the route's rule allows it.
///
/// # Errors
/// 403; 404 where there is no cache.
async fn open<'a>(api: &'a Api, call: &Call<'_>, target: &dyn Target) -> Result<&'a Cache, Error> {
    call.policy.enforce(call.rule, target).await?;
    Ok(api.cache.as_ref().ok_or(Refusal::NoCache)?)
}

/// The image as the caller sees it, if it does.
///
/// # Errors
/// Those of the domain but that it is not there.
async fn find(api: &Api, call: &Call<'_>, id: &str) -> Result<Option<Image>, Error> {
    match api.images.get(&viewer(call.context), id).await {
        Ok(image) => Ok(Some(image)),
        Err(image::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
