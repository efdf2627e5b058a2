//! `DELETE /v2/tasks/{id}`

use crate::api::domain_errors::Refusal;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response};

/// Tasks go by themselves when their time is over.
pub(in crate::api) async fn handle(_api: &Api, call: &Call<'_>, _id: &str) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    Err(Refusal::TaskDeletion.into())
}
