//! `DELETE /v2/images/{id}`

use std::sync::Arc;

use crate::api::domain_errors::of_delete;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// Deletes the image and its data, or with `delayed_delete` leaves the data to the scrubber.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = api.images.get(&viewer(call.context), id).await.map_err(|error| of_delete(error, id))?;
    call.policy.enforce_on_own(call.rule, &found).await?;
    api.images.delete(Arc::clone(call.context), found).await.map_err(|error| of_delete(error, id))?;
    Ok(reply::no_content())
}
