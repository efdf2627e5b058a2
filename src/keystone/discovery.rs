//! Where a Keystone has its v3 API (upstream: `keystoneauth1/discover.py`).

use http::header::ACCEPT;
use serde::Deserialize;
use url::Url;

use super::answer;
use super::error::KeystoneError;
use super::outgoing::Outgoing;

/// The URL below which `auth/tokens` lies. One that ends in `/v3` is taken as it is. Another one is asked for its versions,
/// unless `ask` forbids that; where that leads to nothing, `/v3` is put behind it.
pub(super) async fn v3(client: &Outgoing, url: &Url, ask: bool) -> Result<Url, KeystoneError> {
    if url.path().trim_end_matches('/').ends_with("/v3") {
        return Ok(url.clone());
    }
    let found = if ask { self::ask(client, url).await? } else { None };
    Ok(found.unwrap_or_else(|| below(url, &["v3"])))
}

/// `url` with more segments.
pub(crate) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

async fn ask(client: &Outgoing, url: &Url) -> Result<Option<Url>, KeystoneError> {
    let response = client.get(url.as_str()).header(ACCEPT, "application/json").send().await?;
    let Ok(response) = answer::successful(response, "version discovery") else { return Ok(None) };
    let document = match answer::json::<Document>(response, "version discovery").await {
        Ok((document, _)) => document,
        Err(KeystoneError::Answer { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(document.v3().and_then(|href| advertised(url, href)))
}

/// Where a version is that a Keystone asked at `asked` says to be at `href`. Passwords go there, so it is never another scheme,
/// host or port, which a Keystone behind a proxy often gets wrong; such a URL only tells the name of the version (upstream:
/// `_combine_relative_url`).
fn advertised(asked: &Url, href: &str) -> Option<Url> {
    let asked = below(asked, &[""]);
    let found = asked.join(href).ok()?;
    let same_place = (found.host(), found.port()) == (asked.host(), asked.port());
    if same_place && found.has_host() {
        let mut url = asked;
        url.set_path(found.path());
        return Some(url);
    }
    let version = href.trim_end_matches('/').rsplit('/').next()?;
    let path = asked.path().trim_end_matches('/');
    Some(if path.ends_with(version) { asked.clone() } else { below(&asked, &[version]) })
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
    fn advertised_urls_stay_with_the_server_that_was_asked() {
        for (asked, href, expected) in [
            ("http://k", "http://k/v3/", "http://k/v3/"),
            ("http://k:5000/identity", "v3/", "http://k:5000/identity/v3/"),
            ("http://k:5000/identity/", "/v3/", "http://k:5000/v3/"),
            ("https://k/", "http://k/v3", "https://k/v3"),
            ("https://k:5000/identity", "http://other/keystone/v3/", "https://k:5000/identity/v3"),
            ("https://k:5000/", "https://k:35357/v3", "https://k:5000/v3"),
            ("https://k/v3", "//evil.example/v3/", "https://k/v3/"),
            ("https://k/", "javascript:v3", "https://k/javascript:v3"),
        ] {
            let url = advertised(&Url::parse(asked).unwrap(), href);
            assert_eq!(url.unwrap().as_str(), expected, "{asked} {href}");
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
