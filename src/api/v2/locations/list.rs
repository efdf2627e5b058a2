//! `GET /v2/images/{id}/locations`

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct LocationView<'a> {
    url: &'a str,
    metadata: &'a Map<String, Value>,
}

/// Where the image's data lies, whether or not the configuration shows it in images.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let image = api.images.get(&viewer(call.context), id).await?;
    call.policy.enforce_on(call.rule, &image).await?;
    let known = image.locations_for(call.context.is_admin);
    let locations = known.iter().map(|location| LocationView { url: &location.url, metadata: &location.metadata });
    reply::json(StatusCode::OK, &locations.collect::<Vec<_>>())
}
