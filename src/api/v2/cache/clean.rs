//! `POST /v2/cache/clean`

use http::StatusCode;

use super::open;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// Removes what came only in part, or was found to be bad.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    open(api, call, &NoTarget).await?.clean().await?;
    Ok(reply::empty(StatusCode::OK))
}
