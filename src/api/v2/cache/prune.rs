//! `POST /v2/cache/prune`

use http::StatusCode;

use super::open;
use super::view::PrunedView;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// Removes the images that were not read for the longest time, until the cache is as small as it is to be.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let pruned = open(api, call, &NoTarget).await?.prune().await?;
    reply::json(StatusCode::OK, &PrunedView { total_files_pruned: pruned.files, total_bytes_pruned: pruned.bytes })
}
