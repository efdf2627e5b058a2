//! `DELETE /v2/cache`

use http::HeaderMap;
use http::header::HeaderName;

use super::open;
use crate::api::domain_errors::Refusal;
use crate::api::header::joined;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

const TARGET: HeaderName = HeaderName::from_static("x-image-cache-clear-target");

/// Empties the cache, its queue, or both, as a header says.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let cache = open(api, call, &NoTarget).await?;
    let (cached, queued) = what_to_clear(call.headers)?;
    if cached {
        cache.delete_all_cached().await?;
    }
    if queued {
        cache.delete_all_queued().await?;
    }
    Ok(reply::no_content())
}

/// Whether the images in the cache go, and those in its queue.
fn what_to_clear(headers: &HeaderMap) -> Result<(bool, bool), Refusal<'static>> {
    match joined(headers, TARGET).unwrap_or_default().to_lowercase().as_str() {
        "" => Ok((true, true)),
        "cache" => Ok((true, false)),
        "queue" => Ok((false, true)),
        _ => Err(Refusal::ClearTarget),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_header_says_what_is_emptied() {
        assert_eq!(what_to_clear(&HeaderMap::new()).unwrap(), (true, true));
        for (text, expected) in
            [("", Some((true, true))), ("Cache", Some((true, false))), ("QUEUE", Some((false, true))), ("both", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(TARGET, HeaderValue::from_static(text));
            assert_eq!(what_to_clear(&headers).ok(), expected, "{text}");
        }
    }
}
