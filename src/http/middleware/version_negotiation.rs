//! The version in the path or the Accept header (upstream: `glance/api/middleware/version_negotiation.py`).

use http::StatusCode;

use crate::api::{Error, Response};
use crate::http::accept::{self, Accept};
use crate::http::exchange::Exchange;
use crate::http::path;
use crate::http::versions::Versions;

const VENDOR: &str = "application/vnd.openstack.images-";

/// Makes the path begin with `/v2`, or answers with the list of versions.
///
/// # Errors
/// 404 for a path that is not UTF-8, where upstream drops the connection.
pub(in crate::http) fn negotiate(exchange: &mut Exchange, versions: &Versions) -> Result<Option<Response>, Error> {
    let whole = exchange.path.as_deref().ok_or_else(Error::not_found_path)?;
    let (first, rest) = path::split_first(whole);
    if first == "versions" {
        return versions.document(StatusCode::OK, &exchange.application_url()).map(Some);
    }
    let header = accept::header(&exchange.headers);
    let (name, rest) = match Accept::parse(header.as_deref()).vendor(VENDOR) {
        Some(name) => (name, whole),
        None => (first, rest),
    };
    if !versions.knows(name) {
        return versions.document(StatusCode::MULTIPLE_CHOICES, &exchange.application_url()).map(Some);
    }
    exchange.path = Some(format!("/v2{rest}"));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::Body;
    use crate::config::Config;
    use crate::http::exchange::tests::exchange;
    use crate::http::upstream;

    #[test]
    fn versions_are_chosen_and_listed_as_upstream_does() {
        for case in upstream::cases(include_str!("../upstream/versions.json")) {
            let mut config = Config::default();
            config.default.image_cache_dir = case["cache"].as_str().map(str::to_owned);
            config.default.enabled_backends =
                case["multi"].as_bool().unwrap().then(|| vec![("fast".to_owned(), "file".to_owned())]);
            config.default.public_endpoint = case["public"].as_str().map(str::to_owned);
            let mut headers = vec![("host", "h:9292")];
            headers.extend(case["accept"].as_str().map(|value| ("accept", value)));
            let mut exchange = exchange("GET", case["path"].as_str().unwrap(), &headers);
            match negotiate(&mut exchange, &Versions::new(&config)).unwrap() {
                None => {
                    assert_eq!(case["status"], "222", "{case}");
                    assert_eq!(exchange.path.as_deref(), case["passed"].as_str(), "{case}");
                }
                Some(response) => {
                    assert_eq!(case["status"], response.status().as_str(), "{case}");
                    if !case["versions"].is_null() {
                        assert_eq!(listed(&response), case["versions"], "{case}");
                    }
                }
            }
        }
    }

    fn listed(response: &Response) -> Value {
        let Body::Bytes(text) = response.body() else { panic!("no document") };
        let document: Value = serde_json::from_slice(text).unwrap();
        let line = |v: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            Value::from([text(&v["id"]), text(&v["status"]), text(&v["links"][0]["href"])].join(" "))
        };
        document["versions"].as_array().unwrap().iter().map(line).collect()
    }

    /// As the running upstream sent it.
    #[test]
    fn the_document_is_spelled_as_upstream_spells_it() {
        let mut config = Config::default();
        config.default.image_cache_dir = Some("/c".to_owned());
        let response = Versions::new(&config).document(StatusCode::OK, "http://h").unwrap();
        let Body::Bytes(text) = response.body() else { panic!("no document") };
        let start = r#"{"versions": [{"id": "v2.18", "status": "CURRENT", "links": [{"rel": "self", "href": "http://h/v2/"}]}, {"#;
        assert!(text.starts_with(start.as_bytes()), "{text:?}");
    }

    #[test]
    fn a_path_that_is_no_text_is_not_found() {
        let error = negotiate(&mut exchange("GET", "/v2/%ff", &[]), &Versions::new(&Config::default())).err().unwrap();
        assert_eq!(error.status, StatusCode::NOT_FOUND);
    }
}
