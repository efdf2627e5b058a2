//! `PUT /v2/images/{id}/tags/{tag}`

use http::StatusCode;
use serde_json::{Map, json};

use super::{find, in_words_of_tags};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};
use crate::image;

const ACTION: &str = "update";

/// Gives the image the tag, which it may have already.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str, tag: &str) -> Result<Response, Error> {
    let document = Map::from_iter([("tags".to_owned(), json!([tag]))]);
    api.base_schema.validate(&document).map_err(|mismatch| Error::bad_request(mismatch.to_string()))?;
    let image = find(api, call, id, ACTION).await?;
    api.images.add_tag(&viewer(call.context), &image, tag).await.map_err(|error| in_words_of_add(error, id))?;
    Ok(reply::no_content())
}

fn in_words_of_add(error: image::Error, id: &str) -> Error {
    match error {
        image::Error::Invalid(_) => Error::bad_request(format!("Could not update image: {error}")),
        image::Error::TooMany { .. } => Error::explanation(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Image tag limit exceeded for image {id}: {error}:"),
        ),
        other => in_words_of_tags(other, id, ACTION),
    }
}
