//! `POST /v2/images/{id}/actions/reactivate`

use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// Makes the data of a deactivated image available again.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let viewer = viewer(call.context);
    let image = api.images.get(&viewer, id).await?;
    call.policy.enforce_on_own(call.rule, &image).await?;
    api.images.reactivate(&viewer, &image).await?;
    Ok(reply::no_content())
}
