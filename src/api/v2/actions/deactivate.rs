//! `POST /v2/images/{id}/actions/deactivate`

use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// Makes the image's data available to administrators alone.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let viewer = viewer(call.context);
    let image = api.images.get(&viewer, id).await?;
    call.policy.enforce_on_own(call.rule, &image).await?;
    api.images.deactivate(&viewer, &image).await?;
    Ok(reply::no_content())
}
