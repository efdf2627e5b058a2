//! `GET /v2/images/{id}/members/{member}`

use http::StatusCode;

use super::view::MemberView;
use super::{NOT_SHARED, find, is_shared};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// The membership. What is refused does not exist, so that nobody learns who is a member.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, member: &str) -> Result<Response, Error> {
    let image = find(api, call, id).await?;
    if !is_shared(&image) {
        return Err(Error::explanation(StatusCode::NOT_FOUND, NOT_SHARED));
    }
    call.policy.enforce_on_members(call.rule, &image).await.map_err(|error| match error.status {
        StatusCode::FORBIDDEN => Error { status: StatusCode::NOT_FOUND, ..error },
        _ => error,
    })?;
    let member = api.images.member(&viewer(call.context), &image, member).await?;
    reply::json(StatusCode::OK, &MemberView::new(&member))
}
