//! `GET /v2/images/{id}/members/{member}`

use http::StatusCode;

use super::view::MemberView;
use super::{find, is_shared};
use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// The membership. What is refused does not exist, so that nobody learns who is a member.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, member: &str) -> Result<Response, Error> {
    let image = find(api, call, id).await?;
    if !is_shared(&image) {
        return Err(Refusal::NotShared.into());
    }
    if !call.policy.allows_on_members(call.rule, &image).await? {
        return Err(Refusal::MembershipUnseen(call.rule).into());
    }
    let member = api.images.member(&viewer(call.context), &image, member).await?;
    reply::json(StatusCode::OK, &MemberView::new(&member))
}
