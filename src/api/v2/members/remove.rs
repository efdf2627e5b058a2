//! `DELETE /v2/images/{id}/members/{member}`

use super::{find, is_shared};
use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// Shares the image with the project no longer.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, member: &str) -> Result<Response, Error> {
    let image = find(api, call, id).await?;
    let viewer = viewer(call.context);
    let is_own = !call.policy.checks_owner || viewer.is_admin || viewer.project == image.owner;
    if !is_shared(&image) || !is_own {
        return Err(Refusal::MembersForbidden { action: "delete", id }.into());
    }
    call.policy.enforce_on_members("get_member", &image).await?;
    let found = api.images.member(&viewer, &image, member).await?;
    call.policy.enforce_on_members(call.rule, &image).await?;
    api.images.remove_member(&image, &found.member).await?;
    Ok(reply::nothing())
}
