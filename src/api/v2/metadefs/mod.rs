//! `/v2/metadefs`: metadata definitions, a folder for each resource (upstream: `glance/api/v2/metadef_*.py`).

pub(in crate::api) mod namespaces;
pub(in crate::api) mod objects;
mod policy;
pub(in crate::api) mod properties;
mod query;
pub(in crate::api) mod resource_types;
pub(in crate::api) mod tags;
mod view;

use serde_json::{Map, Value};

use self::policy::enforce;
use crate::api::documents::Held;
use crate::api::domain_errors::{of_namespace, of_visible_namespace};
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody};
use crate::metadef::{Document, Namespace};

/// The document in the body.
async fn read(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    kind: Document,
) -> Result<Held<Map<String, Value>>, Error> {
    let take = move |value: Value, _: &_| Ok(kind.read(value)?);
    api.read_document(call, body, take).await
}

/// The namespace, if the route's rule allows what is about to be done with it.
async fn find(api: &Api, call: &Call<'_>, name: &str) -> Result<Namespace, Error> {
    let namespace = look_up(api, call, name).await?;
    enforce(call, call.rule, Some(&namespace)).await?;
    Ok(namespace)
}

/// The namespace, whatever the rules say.
async fn look_up(api: &Api, call: &Call<'_>, name: &str) -> Result<Namespace, Error> {
    api.metadefs.namespace(&viewer(call.context), name).await.map_err(of_namespace)
}

/// As [`find`], in the words of the routes of objects.
async fn find_for_objects(api: &Api, call: &Call<'_>, name: &str) -> Result<Namespace, Error> {
    let found = api.metadefs.namespace(&viewer(call.context), name).await;
    let namespace = found.map_err(of_visible_namespace)?;
    enforce(call, call.rule, Some(&namespace)).await?;
    Ok(namespace)
}
