//! `PATCH /v2/images/{id}`

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::view::ImageView;
use crate::api::policy::{ImageTarget, viewer};
use crate::api::{Api, Call, Error, RequestBody, Response, json, reply};
use crate::image::patch::{self, Change, MediaType, Operation};
use crate::image::{Edit, Image};

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const MEDIA_TYPES: &str = "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch";

/// Applies the changes in order to one copy of the image and saves it once: all or nothing.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    let changes = read(api, call.headers, body).await?;
    let viewer = viewer(call.context);
    let mut edit: Edit = api.images.edit(&viewer, call.context, id).await?;
    for change in &changes {
        check_policy(call, edit.image(), change).await?;
        edit.apply(change, &viewer).await?;
    }
    let image = if changes.is_empty() { edit.into_image() } else { api.images.save(&viewer, edit).await? };
    reply::json(StatusCode::OK, &ImageView::new(&image, &api.shown, call.context))
}

async fn read(api: &Api, headers: &HeaderMap, body: RequestBody) -> Result<Vec<Change>, Error> {
    let Some(media_type) = json::media_type(headers).as_deref().and_then(MediaType::named) else {
        let text = format!("Image PATCH expects Content-Type one of: {MEDIA_TYPES}");
        let mut error = Error::unsupported_media_type(headers, text);
        error.headers.insert(ACCEPT_PATCH, HeaderValue::from_static(MEDIA_TYPES));
        return Err(error);
    };
    let Some(value) = json::read_json(headers, body, api.max_json_body).await? else {
        return Err(Error::explanation(StatusCode::BAD_REQUEST, "Body expected in request."));
    };
    Ok(patch::parse(media_type, &value, &api.schema)?)
}

async fn check_policy(call: &Call<'_>, image: &Image, change: &Change) -> Result<(), Error> {
    match (change.root(), change.op) {
        ("locations", Operation::Remove) => call.policy.enforce_on_own("delete_image_location", image).await,
        // Refused below whatever the policy says.
        ("locations", Operation::Replace) if change.value.as_ref().is_none_or(is_empty) => Ok(()),
        ("locations", _) => call.policy.enforce_on("set_image_location", image).await,
        ("owner", Operation::Add | Operation::Replace) if !call.context.is_admin => Ok(()),
        (root, _) => {
            if root == "visibility" {
                let wanted = change.value.as_ref().and_then(Value::as_str);
                call.policy.enforce_visibility(wanted, &ImageTarget(image)).await?;
            }
            call.policy.enforce_on_own(call.rule, image).await
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
