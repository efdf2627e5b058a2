//! `DELETE /v2/tasks/{id}`

use http::StatusCode;
use http::header::{ALLOW, HeaderValue};

use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, Text};

/// Tasks go by themselves when their time is over.
pub(in crate::api) async fn handle(_api: &Api, call: &Call<'_>, _id: &str) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    let text = "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on \
                their expires_at property.";
    let mut refused = Error { text: Text::Whole(text.to_owned()), ..Error::stock(StatusCode::METHOD_NOT_ALLOWED) };
    refused.headers.insert(ALLOW, HeaderValue::from_static("GET"));
    Err(refused)
}
