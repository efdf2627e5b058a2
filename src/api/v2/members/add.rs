//! `POST /v2/images/{id}/members`

use http::StatusCode;
use serde_json::{Map, Value};

use super::view::MemberView;
use super::{find, is_shared, read};
use crate::api::domain_errors::{Refusal, of_members};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};

/// Shares the image with a project. Upstream answers 200, not 201.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    let held = read(api, call, body).await?;
    let member = wanted(held.content)?;
    let image = find(api, call, id).await?;
    let is_own = !call.policy.checks_owner || viewer(call.context).may_change(image.owner.as_deref());
    if !is_shared(&image) || !is_own {
        return Err(Refusal::MembersForbidden { action: "create", id }.into());
    }
    call.policy.enforce_on_members(call.rule, &image).await?;
    let Value::String(wanted) = member else { return Err(Refusal::MemberForm.into()) };
    let member = api.images.add_member(&image, &wanted).await.map_err(|error| of_members(error, id))?;
    reply::json(StatusCode::OK, &MemberView::new(&member))
}

/// What stands for the member. Whether it is a text upstream leaves to its database, so that other faults are told before.
fn wanted(document: Option<Map<String, Value>>) -> Result<Value, Refusal<'static>> {
    match document.ok_or(Refusal::MemberForm)?.remove("member") {
        None => Err(Refusal::NoMember),
        Some(value) if is_empty(&value) => Err(Refusal::EmptyMember),
        Some(member) => Ok(member),
    }
}

/// What Python takes for false.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}
