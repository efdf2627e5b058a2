//! `DELETE /v2/images/{id}`

use std::sync::Arc;

use http::Method;

use crate::api::domain_errors::of_delete;
use crate::api::peers::NotForwarded;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};
use crate::image::{Image, KEY_PROPERTIES};

/// Deletes the image and its data, or with `delayed_delete` leaves the data to the scrubber.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = api.images.get(&viewer(call.context), id).await.map_err(|error| of_delete(error, id))?;
    call.policy.enforce_on_own(call.rule, &found).await?;
    if let Some(host) = api.peers.host_of(&found) {
        let path = format!("/v2/images/{}", found.id);
        match api.peers.forward(call, Method::DELETE, host, &path, None, reply::no_content()).await {
            Ok(answer) => return Ok(answer),
            Err(NotForwarded::Refused(error)) => return Err(error),
            // The client gets what it wants; the staged data goes when the other host looks at what it has.
            Err(NotForwarded::Unreachable(_)) => {}
        }
    }
    let key = key_to_delete(call, &found).await?;
    api.images.delete(Arc::clone(call.context), found, key).await.map_err(|error| of_delete(error, id))?;
    if let Some(cache) = api.cache_for(call)
        && let Err(error) = cache.forget(id).await
    {
        // Nobody finds it there any more, and it goes when others need the room.
        tracing::warn!(image_id = id, %error, "a deleted image stays in the cache for now");
    }
    Ok(reply::no_content())
}

/// The key that goes with the image, unless the caller may not read the properties that say so: for upstream, they are not there then.
async fn key_to_delete(call: &Call<'_>, image: &Image) -> Result<Option<String>, Error> {
    let Some(key) = image.key_to_delete() else { return Ok(None) };
    let hidden = call.properties.hidden_in(image).await?;
    let is_hidden = KEY_PROPERTIES.iter().any(|property| hidden.iter().any(|name| name == property));
    Ok((!is_hidden).then(|| key.to_owned()))
}
