//! `PUT /v2/images/{id}/members/{member}`

use http::StatusCode;

use super::view::MemberView;
use super::{find, is_shared, read};
use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::image::{MemberStatus, UnknownMemberStatus};

/// Sets the status of a membership: whether the member accepts the image. The owner of the image may not.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    id: &str,
    member: &str,
) -> Result<Response, Error> {
    let status = wanted_status(api, call, body).await?;
    let image = find(api, call, id).await?;
    let viewer = viewer(call.context);
    let is_forced = call.policy.checks_owner && !viewer.is_admin && viewer.project == image.owner;
    if !is_shared(&image) || is_forced {
        return Err(Refusal::MembersForbidden { action: "update", id }.into());
    }
    call.policy.enforce_on_members("get_member", &image).await?;
    let found = api.images.member(&viewer, &image, member).await?;
    call.policy.enforce_on_members(call.rule, &image).await?;
    let status = status.map_err(Refusal::MemberStatus)?;
    let updated = api.images.set_member_status(&image, &found.member, status).await?;
    reply::json(StatusCode::OK, &MemberView::new(&updated))
}

/// The status in the body. One that does not exist is refused only after the checks whether the caller may set one.
async fn wanted_status(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
) -> Result<Result<MemberStatus, UnknownMemberStatus>, Error> {
    let held = read(api, call, body).await?;
    match held.content.as_ref().ok_or(Refusal::MemberStatusForm)?.get("status") {
        None => Err(Refusal::NoMemberStatus.into()),
        Some(status) => Ok(status.as_str().unwrap_or("").parse()),
    }
}
