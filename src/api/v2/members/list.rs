//! `GET /v2/images/{id}/members`

use http::StatusCode;
use serde::Serialize;

use super::view::MemberView;
use super::{find, is_shared};
use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct MembersView<'a> {
    members: Vec<MemberView<'a>>,
    schema: &'static str,
}

/// The members that the caller may know. Where `get_member` refuses, that is none.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let image = find(api, call, id).await?;
    if !is_shared(&image) {
        return Err(Refusal::MembersOfUnshared(id).into());
    }
    call.policy.enforce_on_members(call.rule, &image).await?;
    let mut members = api.images.members(&viewer(call.context), &image).await?;
    // The rule speaks of the image, so it has one answer for all.
    if !members.is_empty() && !call.policy.allows("get_member", &call.policy.target(&image).await?).await? {
        members.clear();
    }
    let members = members.iter().map(MemberView::new).collect();
    reply::json(StatusCode::OK, &MembersView { members, schema: "/v2/schemas/members" })
}
