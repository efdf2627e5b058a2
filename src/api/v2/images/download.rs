//! `GET /v2/images/{id}/file`

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RANGE};

use super::range::Part;
use super::validator::Validator;
use crate::api::domain_errors::{Refusal, of_download};
use crate::api::policy::viewer;
use crate::api::{Api, Body, Call, Error, Response, query, reply};
use crate::cache::Cached;
use crate::image::{self, Image, Status};
use crate::store::StoreError;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Sends the data, or the part of it that a Range names.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let cache = api.cache_for(call);
    let mut hit = match cache {
        Some(cache) => cache.find(id).await,
        None => None,
    };
    // Upstream's cache stands before the routes and knows no parts: a whole image that it has is sent whatever the query says.
    let asks_for_part = call.headers.contains_key(RANGE) || call.headers.contains_key(CONTENT_RANGE);
    let ignores_query = hit.is_some() && !asks_for_part;
    // A query that cannot be read is refused before the image is looked for.
    let preferred = match query::preferred_stores(call.query.unwrap_or("")) {
        Err(_) if ignores_query => Vec::new(),
        preferred => preferred?,
    };
    let mut found = api.images.get(&viewer(call.context), id).await?;
    if found.status == Status::Deactivated && !call.context.is_admin {
        return Err(Refusal::Deactivated.into());
    }
    match cache {
        // Upstream's cache lets the rule see what is hidden from the caller: of an image that it has nothing else is asked, of others that
        // besides, and of a part never. Here all get one answer.
        Some(_) => call.policy.enforce_on_whole(call.rule, &found).await?,
        None => call.policy.enforce_on(call.rule, &found).await?,
    }
    if let (Some(cache), Some(there)) = (cache, hit.take()) {
        hit = cache.confirm(there, &found).await;
    }
    let validator = Validator::of(&found);
    if let Some(validator) = validator.as_ref().filter(|validator| validator.is_known(call.headers)) {
        return Ok(not_modified(validator));
    }
    if hit.is_none() || asks_for_part {
        prefer_stores(api, call, &mut found, &preferred).await?;
    }

    let known = hit.as_ref().map(Cached::size).or_else(|| found.size.and_then(|size| u64::try_from(size).ok()));
    let size = known.unwrap_or(0);
    let part = match Validator::allows_range(validator.as_ref(), call.headers) {
        true => Part::requested(call.headers, size)?,
        false => None,
    };
    let wanted = part.map(|part| part.first..part.first + part.length);
    let opened = match (cache, &hit) {
        (Some(cache), Some(hit)) => Ok(cache.serve(hit, &found, wanted)),
        (Some(cache), None) => cache.read(&api.images, call.context, &found, wanted).await,
        (None, _) => api.images.open(Some(call.context), &found, wanted).await,
    };
    let reader = match opened {
        Ok(reader) => reader,
        Err(image::Error::Store(StoreError::NotFound { .. })) => return Ok(reply::nothing()),
        Err(error) => return Err(of_download(error)),
    };
    let length = part.map(|part| part.length).or(known).or_else(|| reader.length());
    let (project, user) = (call.context.project_id.as_deref(), call.context.user_id.as_deref());
    let sending = api.images.sending(&found, length, project, user);
    let mut response = Response::new(Body::Data { reader, length });
    // For whoever sees the last byte leave.
    response.extensions_mut().insert(sending);
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = part.first + part.length.saturating_sub(1);
        let range = format!("bytes {}-{last}/{size}", part.first);
        response.headers_mut().insert(CONTENT_RANGE, HeaderValue::try_from(range)?);
    }
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(length) = length {
        answer.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(checksum) = found.checksum.as_deref().and_then(|text| HeaderValue::try_from(text).ok()) {
        answer.insert(CONTENT_MD5, checksum);
    }
    if let Some(etag) = validator.as_ref().and_then(Validator::value) {
        answer.insert(ETAG, etag);
    }
    Ok(response)
}

fn not_modified(validator: &Validator) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().extend(validator.value().map(|etag| (ETAG, etag)));
    response
}

/// `?prefer=a,b` puts the locations in these stores first.
async fn prefer_stores(api: &Api, call: &Call<'_>, image: &mut Image, preferred: &[String]) -> Result<(), Error> {
    if preferred.is_empty() {
        return Ok(());
    }
    call.policy.enforce_on("download_from_store", image).await?;
    if api.store_ids.is_empty() {
        return Err(Refusal::NoStoreSelection.into());
    }
    if let Some(unknown) = preferred.iter().find(|store| !api.store_ids.contains(store)) {
        return Err(Refusal::StoreNotConfigured(unknown).into());
    }
    image
        .locations
        .sort_by_key(|location| !location.store().is_some_and(|store| preferred.iter().any(|wanted| wanted == store)));
    Ok(())
}
