//! The versions of the API: which names are known, and the document that lists them (upstream: `glance/api/versions.py`
//! and `glance/api/middleware/version_negotiation.py`).

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use crate::api::{Body, Error, Response, json};
use crate::config::{Config, given};

/// What the configuration makes of the list of versions.
#[derive(Clone, Debug)]
pub(in crate::http) struct Versions {
    has_cache: bool,
    has_stores: bool,
    /// Replaces the host in links.
    public_endpoint: Option<String>,
}

#[derive(Serialize)]
struct Document {
    versions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    status: &'static str,
    links: [Link; 1],
}

#[derive(Serialize)]
struct Link {
    rel: &'static str,
    href: String,
}

impl Versions {
    pub(in crate::http) fn new(config: &Config) -> Self {
        Self {
            has_cache: given(&config.default.image_cache_dir).is_some(),
            has_stores: config.default.enabled_backends.as_ref().is_some_and(|stores| !stores.is_empty()),
            public_endpoint: given(&config.default.public_endpoint),
        }
    }

    /// Whether a request may name this version, such as `v2` or `v2.9`.
    pub(in crate::http) fn knows(&self, name: &str) -> bool {
        match name {
            "v2" | "v2.9" | "v2.15" | "v2.17" => true,
            "v2.0" | "v2.1" | "v2.2" | "v2.3" | "v2.4" | "v2.5" | "v2.6" | "v2.7" => true,
            "v2.14" | "v2.16" | "v2.18" => self.has_cache,
            "v2.8" | "v2.10" | "v2.11" | "v2.12" | "v2.13" => self.has_stores,
            _ => false,
        }
    }

    /// The list. `application_url`: where the client sees this service.
    ///
    /// # Errors
    /// 500, if it cannot be written.
    pub(in crate::http) fn document(&self, status: StatusCode, application_url: &str) -> Result<Response, Error> {
        let base = self.public_endpoint.as_deref().unwrap_or(application_url).trim_end_matches('/');
        let href = format!("{base}/v2/");
        let current = if self.has_cache { "2.18" } else { "2.17" };
        let entry = |number: &&str| Entry {
            id: format!("v{number}"),
            status: if *number == current { "CURRENT" } else { "SUPPORTED" },
            links: [Link { rel: "self", href: href.clone() }],
        };
        let versions = self.numbers().iter().map(entry).collect();
        let text = json::to_bytes(&Document { versions }).map_err(Error::internal)?;
        let mut response = Response::new(Body::Bytes(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// In upstream's order, which without a cache is not that of the numbers.
    fn numbers(&self) -> Vec<&'static str> {
        let mut numbers = Vec::with_capacity(19);
        if self.has_cache {
            numbers.extend(["2.18", "2.17", "2.16", "2.15", "2.14"]);
        } else {
            numbers.push("2.15");
        }
        if self.has_stores {
            numbers.extend(["2.13", "2.12", "2.11", "2.10", "2.9", "2.8"]);
        } else {
            numbers.push("2.9");
        }
        if !self.has_cache {
            numbers.push("2.17");
        }
        numbers.extend(["2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"]);
        numbers
    }
}
