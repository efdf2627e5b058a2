//! `POST /v2/images/{id}/locations`

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::identity::Context;
use crate::image::schema::location::check_addition;
use crate::image::{ExpectedDigest, Status};
use crate::schema::Mismatch;
use crate::store;
use crate::task::AddedLocation;

/// Takes a place where the image's data lies; a task looks at it and makes the image active.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody, id: &str) -> Result<Response, Error> {
    let held = api.read_document(call, body, |value, _| Ok(take(value)?)).await?;
    let (url, validation) = held.content;
    let image = api.images.get(&viewer(call.context), id).await?;
    if image.status != Status::Queued {
        return Err(Refusal::NotQueued(image.status).into());
    }
    call.policy.enforce_on(call.rule, &image).await?;
    if !api.opened_stores.is_open_to_users(&url) && !is_service(call.context) {
        return Err(Refusal::LocationOfServices.into());
    }
    let expected = ExpectedDigest::read(&validation)?;
    if store::is_filtered(&url) && !api.opened_stores.url_filter().allows(&url).await {
        return Err(Refusal::LocationFiltered(&url).into());
    }
    let added = AddedLocation { image, url, validation, expected, caller: Arc::clone(call.context) };
    api.tasks.add_location(added).await?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}

/// The URL and what is said of its data.
type Addition = (String, Map<String, Value>);

fn take(mut body: Value) -> Result<Addition, Mismatch> {
    check_addition(&body)?;
    let url = body.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let validation = match body.get_mut("validation_data").map(Value::take) {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    Ok((url, validation))
}

fn is_service(context: &Context) -> bool {
    context.roles.iter().chain(&context.service_roles).any(|role| role == "service")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_told_by_either_of_its_tokens() {
        let context = |roles: &[&str], service_roles: &[&str]| {
            let owned = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect();
            Context { roles: owned(roles), service_roles: owned(service_roles), ..Context::default() }
        };
        assert!(is_service(&context(&["member", "service"], &[])));
        assert!(is_service(&context(&["member"], &["service"])));
        assert!(!is_service(&context(&["admin"], &["reader"])));
    }

    #[test]
    fn the_parts_of_a_body_are_taken_apart() {
        let data = json!({"os_hash_algo": "md5", "os_hash_value": "00"});
        let (url, validation) = take(json!({"url": "x", "validation_data": data})).unwrap();
        assert_eq!((url.as_str(), Value::from(validation)), ("x", data));
        assert_eq!(take(json!({"url": "x", "other": 1})).unwrap(), ("x".to_owned(), Map::new()));
        assert!(take(json!({"url": 1})).is_err());
    }
}
