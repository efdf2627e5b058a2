//! `DELETE /v2/stores/{store}/{id}`

use crate::api::domain_errors::{Refusal, of_copy_removal};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};

/// Removes the image's data from one of the stores that hold it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, store: &str, id: &str) -> Result<Response, Error> {
    if api.store_ids.is_empty() {
        return Err(Error::not_found_path());
    }
    if !api.store_ids.iter().any(|known| known == store) {
        return Err(Refusal::StoreNotHere(store).into());
    }
    let viewer = viewer(call.context);
    let found = api.images.edit(&viewer, call.context, id).await;
    let mut edit = found.map_err(|error| of_copy_removal(error, id))?;
    call.policy.enforce_on("get_image_location", edit.image()).await?;
    call.policy.enforce_on_own(call.rule, edit.image()).await?;
    edit.remove_copy(store)?;
    api.images.save(&viewer, edit).await.map_err(|error| of_copy_removal(error, id))?;
    Ok(reply::no_content())
}
