//! `GET /v2/cache/nodes/{image}`

use http::StatusCode;

use super::{find, open};
use crate::api::domain_errors::{Refusal, image_missing};
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// The URLs of the nodes that have an image in their cache.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let cache = open(api, call, &NoTarget).await?;
    if !cache.is_central() {
        return Err(Refusal::CacheNotCentral.into());
    }
    if find(api, call, id).await?.is_none() {
        return Err(image_missing(id));
    }
    reply::json(StatusCode::OK, &cache.nodes(id).await?)
}
