//! `PATCH /v2/images/{id}`

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use tokio::task::coop::consume_budget;

use super::view::ImageView;
use crate::api::documents::{Held, Progress};
use crate::api::domain_errors::{Refusal, of_patch_type};
use crate::api::policy::{PolicyCheck, viewer};
use crate::api::{Api, Call, Error, RequestBody, Response, json, reply};
use crate::image::patch::{self, MediaType, Operation, OperationKind};
use crate::image::{Edit, Image};

/// Applies the changes in order to one copy of the image and saves it once: all or nothing.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    let held = read(api, call, body).await?;
    let operations = &held.content;
    let viewer = viewer(call.context);
    let mut edit: Edit = api.images.edit(&viewer, call.context, id).await?;
    call.properties.hide_in(&mut edit).await?;
    let policy = PolicyCheck { knows_properties: true, ..call.policy };
    for operation in operations {
        // Thousands of changes let other requests have their turn, and end here when the client is gone.
        consume_budget().await;
        check_policy(call, &policy, edit.image(), operation).await?;
        call.properties.learn(std::iter::once(operation.root())).await?;
        call.properties.check_operation(&edit, operation).await?;
        edit.apply(operation, &viewer).await?;
    }
    let mut image = if operations.is_empty() { edit.into_image() } else { api.images.save(&viewer, edit).await? };
    call.properties.hide(std::slice::from_mut(&mut image)).await?;
    reply::json(StatusCode::OK, &ImageView::new(&image, &api.shown, call.context))
}

async fn read(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Held<Vec<Operation>>, Error> {
    let Some(media_type) = json::media_type(call.headers).as_deref().and_then(MediaType::named) else {
        return Err(of_patch_type(call.headers, call.content.media_types()));
    };
    let schema = Arc::clone(&api.schema);
    let take = move |value, progress: &Progress| {
        let mut operations = Vec::new();
        for operation in patch::parse(media_type, value, &schema)? {
            if progress.is_abandoned() {
                return Err(Refusal::Abandoned.into());
            }
            operations.push(operation?);
        }
        Ok(operations)
    };
    api.read_document(call, body, take).await
}

async fn check_policy(
    call: &Call<'_>,
    policy: &PolicyCheck<'_>,
    image: &Image,
    operation: &Operation,
) -> Result<(), Error> {
    match (operation.root(), operation.op) {
        ("locations", OperationKind::Remove) => policy.enforce_on_own("delete_image_location", image).await,
        // Refused below whatever the policy says.
        ("locations", OperationKind::Replace) if operation.value.as_ref().is_none_or(is_empty) => Ok(()),
        ("locations", _) => policy.enforce_on("set_image_location", image).await,
        ("owner", OperationKind::Add | OperationKind::Replace) if !call.context.is_admin => Ok(()),
        (root, _) => {
            if root == "visibility" {
                let wanted = operation.value.as_ref().and_then(Value::as_str);
                policy.enforce_visibility(wanted, &policy.target(image).await?).await?;
            }
            policy.enforce_on_own(call.rule, image).await
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null => true,
        _ => false,
    }
}
