//! Where a Keystone has its v3 API (upstream: `keystoneauth1/discover.py`).

use std::time::Duration;

use http::header::ACCEPT;
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::answer;
use super::error::KeystoneError;
use super::outgoing::TransportError;

/// The URL below which `auth/tokens` lies. One that ends in `/v3` is taken as it is. Another one is asked for its versions,
/// unless `ask` forbids that; where that leads to nothing, `/v3` is put behind it.
pub(super) async fn v3(client: &Client, url: &Url, ask: bool, timeout: Duration) -> Result<Url, KeystoneError> {
    if url.path().trim_end_matches('/').ends_with("/v3") {
        return Ok(url.clone());
    }
    let found = if ask { self::ask(client, url, timeout).await? } else { None };
    Ok(found.unwrap_or_else(|| below(url, &["v3"])))
}

/// `url` with more segments.
pub(super) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

async fn ask(client: &Client, url: &Url, timeout: Duration) -> Result<Option<Url>, KeystoneError> {
    let request = client.get(url.clone()).timeout(timeout).header(ACCEPT, "application/json");
    let response = request.send().await.map_err(TransportError::from)?;
    let Ok(response) = answer::successful(response, "version discovery") else { return Ok(None) };
    let document = match answer::json::<Document>(response, "version discovery").await {
        Ok((document, _)) => document,
        Err(KeystoneError::Answer { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(document.v3().and_then(|href| url.join(href).ok()))
}

/// `{"versions": {"values": […]}}`, `{"versions": […]}` or `{"version": {…}}`.
#[derive(Deserialize)]
struct Document {
    versions: Option<Versions>,
    version: Option<Version>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Versions {
    Values { values: Vec<Version> },
    List(Vec<Version>),
}

#[derive(Deserialize)]
struct Version {
    id: String,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: String,
}

impl Document {
    fn v3(&self) -> Option<&str> {
        let listed = match &self.versions {
            Some(Versions::Values { values } | Versions::List(values)) => values.as_slice(),
            None => &[],
        };
        let version = listed.iter().chain(&self.version).find(|version| version.id.starts_with("v3"))?;
        Some(version.links.iter().find(|link| link.rel == "self")?.href.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_any_form_are_read() {
        for (document, expected) in [
            (
                r#"{"versions": {"values": [{"id": "v2.0"}, {"id": "v3.14", "links": [{"rel": "self", "href": "a"}]}]}}"#,
                Some("a"),
            ),
            (
                r#"{"versions": [{"id": "v3.0", "links": [{"rel": "doc", "href": "x"}, {"rel": "self", "href": "b"}]}]}"#,
                Some("b"),
            ),
            (r#"{"version": {"id": "v3.14", "links": [{"rel": "self", "href": "c"}]}}"#, Some("c")),
            (r#"{"versions": []}"#, None),
            ("{}", None),
        ] {
            assert_eq!(serde_json::from_str::<Document>(document).unwrap().v3(), expected, "{document}");
        }
    }

    #[test]
    fn paths_are_joined() {
        for (url, expected) in
            [("http://k", "http://k/v3"), ("http://k/", "http://k/v3"), ("http://k/identity/", "http://k/identity/v3")]
        {
            assert_eq!(below(&Url::parse(url).unwrap(), &["v3"]).as_str(), expected);
        }
    }
}
