//! The member document (upstream: `ResponseSerializer` in `glance/api/v2/image_members.py`).

use serde::Serialize;

use crate::api::v2::images::timestamp;
use crate::image::Member;

#[derive(Serialize)]
pub(super) struct MemberView<'a> {
    member_id: &'a str,
    image_id: &'a str,
    status: &'a str,
    created_at: String,
    updated_at: String,
    schema: &'static str,
}

impl<'a> MemberView<'a> {
    pub(super) fn new(member: &'a Member) -> Self {
        Self {
            member_id: &member.member,
            image_id: &member.image_id,
            status: member.status.as_str(),
            created_at: timestamp(member.created_at),
            updated_at: timestamp(member.updated_at),
            schema: "/v2/schemas/member",
        }
    }
}
