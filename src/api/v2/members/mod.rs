//! `/v2/images/{id}/members`: the projects with which an image is shared.

pub(in crate::api) mod add;
pub(in crate::api) mod list;
pub(in crate::api) mod remove;
pub(in crate::api) mod show;
pub(in crate::api) mod update;
mod view;

use serde_json::{Map, Value};

use crate::api::documents::Held;
use crate::api::domain_errors::of_members;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody};
use crate::image::{Image, Visibility};

/// The image, whatever its visibility.
async fn find(api: &Api, call: &Call<'_>, id: &str) -> Result<Image, Error> {
    api.images.get(&viewer(call.context), id).await.map_err(|error| of_members(error, id))
}

fn is_shared(image: &Image) -> bool {
    image.visibility == Visibility::Shared
}

/// The object in the body, or `None` for a list.
type Read = Held<Option<Map<String, Value>>>;

async fn read(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Read, Error> {
    let object = |value| match value {
        Value::Object(members) => Some(members),
        _ => None,
    };
    api.read_document(call, body, move |value, _| Ok(object(value))).await
}
